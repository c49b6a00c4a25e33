"""The contract of a dataset: counts, canonical columns, and a card that tells where they come from."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from bench.errors import DataError, UnknownNameError
from bench.problem import Note

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

#: Columns of ``obs`` with a meaning to tasks. A dataset's other columns never reach a method.
OBS_FIELDS = (
    "donor",
    "condition",
    "batch",
    "cell_type",
    "subtype",
    "subcluster",
    "is_doublet",
    "exclude",
    "parent_type_a",
    "parent_type_b",
    "split",
)


def lacking_field(reason: str) -> str | None:
    """The field that a dataset lacks by a task's reason why it cannot serve: one that begins ``no FIELD column``."""
    match = re.match(r"no (\w+) column", reason)
    return match[1] if match and match[1] in OBS_FIELDS else None


#: Labels (in lower case, brackets left away) by which files say that a cell has none.
UNLABELLED = frozenset({"", "na", "nan", "none", "unassigned", "unknown", "unlabeled", "unlabelled"})


def without_label(values: pd.Series) -> NDArray[np.bool_]:
    """(cells,): whether a label is missing, empty, or a word for *none* such as ``(none)`` or ``Unassigned``."""
    text = values.astype(object).where(values.notna(), "").astype(str)
    marks: NDArray[np.bool_] = text.str.strip(" \t\r\n()[]{}<>").str.lower().isin(UNLABELLED).to_numpy()
    return marks


@dataclass(frozen=True)
class DatasetCard:
    """Facts of a dataset that are known without opening it.

    Parameters
    ----------
    name
        Name on the command line.
    digest
        sha256 of the file, or of the recipe of a simulated dataset; part of every trial's key.
    fields
        Which of :data:`OBS_FIELDS` it has.
    truth
        ``experimental``, ``computational``, ``generative`` (a simulator knows it) or ``none``.
    n_cells, n_genes, n_donors
        Sizes (``n_donors`` is None where individuals are not identified).
    left_out
        A line about features that are no genes, where a file has such; they do not count.
    n_values
        Field -> how many different values it has, where that is known; of ``is_doublet`` and ``exclude``, how many
        cells are true.
    expected_doublet_rate
        The rate the experimenter would tell a doublet caller, where known; never the true rate.
    weak_labels
        Why its cell type labels are weaker than the study authors' own (derived by someone else from the same counts);
        empty where they are not. Every problem made from them says so.
    reading
        How a file is read (columns, layer), as text; part of every trial's key, as ``digest`` is.
    case, control
        Values of ``condition`` to compare, where somebody has named them; empty: each task's rule decides.
    builtin
        Used when ``--datasets`` is not given.
    embeddings
        Key of ``obsm`` -> names, accessions or digests of the data that it was pre-trained on, as its user says.
    """

    name: str
    summary: str
    digest: str
    fields: frozenset[str]
    truth: Literal["experimental", "computational", "generative", "none"]
    n_cells: int
    n_genes: int
    n_donors: int | None = None
    left_out: str = ""
    n_values: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    accession: str = ""
    licence: str = ""
    organism: str = ""
    tissue: str = ""
    caveat: str = ""
    expected_doublet_rate: float | None = None
    weak_labels: str = ""
    reading: str = ""
    case: str = ""
    control: str = ""
    builtin: bool = False
    embeddings: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedding:
    """Numbers that somebody has computed of each cell elsewhere: the vectors of a pre-trained model, as a rule.

    Parameters
    ----------
    key
        Of ``obsm``.
    values
        (cells, dimensions), finite.
    cells
        Names of the cells, in the dataset's order.
    pretrained_on
        Names, accessions or digests of the data that its model was trained on, as its user says; empty: on none; None:
        nobody has said.
    """

    key: str
    values: NDArray[np.float32]
    cells: pd.Index
    pretrained_on: tuple[str, ...] | None = None

    @property
    def digest(self) -> str:
        """sha256 over shape and values."""
        return hashlib.sha256(repr(self.values.shape).encode() + self.values.tobytes()).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """A card and its cells.

    ``adata.X`` is a ``csr_matrix`` of raw integer counts; ``obs`` holds the canonical columns only
    (:data:`OBS_FIELDS`); ``obs["is_doublet"]`` and ``obs["exclude"]`` are boolean, ``exclude`` marks cells that
    must not be scored or shown; ``split`` (``train``, ``validation``, ``test``) fixes a split; ``var_names`` are
    unique; ``var["symbol"]`` where known. Of simulated diseases ``uns["disease_effects"]`` is the truth, hidden from
    methods: a row per changed gene with ``arm`` (of ``condition``), ``cell_type``, ``ensembl`` (of ``var_names``) and
    ``log2fc``. Where a simulator knows them, ``expected(rows)`` gives the counts that the cells at these positions
    would have on average (rows, genes; float32) without soup, noise and loss: a truth, hidden too.
    """

    card: DatasetCard
    adata: AnnData
    expected: Callable[[NDArray[np.intp]], NDArray[np.float32]] | None = None


class CountStore(Protocol):
    """Cells that need not fit in memory: tables at hand, counts read when asked for."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def digest(self) -> str:
        """The card's digest."""

    @property
    def accession(self) -> str:
        """Accession under which the dataset is published, if known."""

    @property
    def var(self) -> pd.DataFrame:
        """Genes, as in :class:`Dataset`."""

    @property
    def obs(self) -> pd.DataFrame:
        """Cells with canonical columns, as in :class:`Dataset`."""

    @property
    def n_entries(self) -> NDArray[np.int64]:
        """(cells,): how many counts are stored of each cell; unlike a loaded dataset, it may have cells with none."""

    def __len__(self) -> int:
        """Number of cells."""

    def rows(self, index: NDArray[np.intp]) -> csr_matrix:
        """Raw counts (cells, genes), int32, of some cells in the order of ``index``; read now if they are on disk.

        Raises
        ------
        bench.errors.DataError
            If what is read is damaged or no counts.
        """


#: Cells with fewer counts are empty droplets or debris more often than nuclei.
FEW_COUNTS = 100
#: A smaller share of such cells is not worth a word.
_SHARE = 0.01


def few_counts(totals: NDArray[np.number], n_genes: int) -> Note | None:
    """A warning of cells with too few counts to be cells; None if there are hardly any.

    Parameters
    ----------
    totals
        (cells,): counts of each cell over the genes of the data.
    """
    few = int((totals < FEW_COUNTS).sum())
    if few < _SHARE * len(totals):
        return None
    return Note(
        f"{few:,} of {len(totals):,} cells have fewer than {FEW_COUNTS} counts of {n_genes:,} genes: empty "
        "droplets or debris, as a rule; remove them (scanpy.pp.filter_cells(adata, "
        f"min_counts={FEW_COUNTS})), or mark them in a column `exclude` of true and false",
        "warning",
    )


class LoadedCounts:
    """A loaded dataset as :class:`CountStore`."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._card, self._adata = dataset.card, dataset.adata

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self._card.name

    @property
    def digest(self) -> str:
        """The card's digest."""
        return self._card.digest

    @property
    def accession(self) -> str:
        """Accession under which the dataset is published, if known."""
        return self._card.accession

    @property
    def var(self) -> pd.DataFrame:
        """Genes."""
        return self._adata.var

    @property
    def obs(self) -> pd.DataFrame:
        """Cells."""
        return self._adata.obs

    @property
    def n_entries(self) -> NDArray[np.int64]:
        """(cells,): how many counts are stored of each cell."""
        indptr: NDArray[np.int64] = self._adata.X.indptr.astype("int64")
        return indptr[1:] - indptr[:-1]

    def __len__(self) -> int:
        return int(self._adata.n_obs)

    def rows(self, index: NDArray[np.intp]) -> csr_matrix:
        """Counts of some cells in the order of ``index``."""
        counts: csr_matrix = self._adata.X[index]
        return counts


class DatasetSource(ABC):
    """A registered dataset: its card now, its cells when asked.

    Attributes
    ----------
    origin
        Where its name comes from: ``built-in``, ``BENCH_DATA``, ``user``, ``project``, or ``file`` for a bare path.
    """

    origin: str = ""

    @property
    @abstractmethod
    def card(self) -> DatasetCard:
        """The card; reading it must not load the counts."""

    @property
    def files(self) -> Sequence[Path]:
        """Files and folders that the cells are read from, kept from methods where the system can."""
        return ()

    @abstractmethod
    def load(self) -> Dataset:
        """Load and check the cells.

        Raises
        ------
        bench.errors.DataError
            If the file's checksum or one of the semantic checks fails.
        """

    @property
    def mapping(self) -> Mapping[str, str]:
        """Canonical field -> the column of ``obs`` that it is taken from."""
        return {name: name for name in OBS_FIELDS if name in self.card.fields}

    def embedding(self, key: str) -> Embedding:
        """The embedding ``obsm[key]``, read and checked now; no digest of the dataset hangs on it.

        Raises
        ------
        bench.errors.UnknownNameError
            If there is none of that name.
        bench.errors.DataError
            If it is not a table of finite numbers with a row a cell.
        """
        raise UnknownNameError("embedding", key, (), where=f"dataset {self.card.name}")

    def obs_columns(self) -> tuple[str, ...]:
        """Names of all columns of ``obs``."""
        return tuple(self.mapping)

    def offer(self, fields: Collection[str]) -> str:
        """Say how to name the columns of fields that it lacks: the command, and the columns there are; or nothing."""
        return ""

    def columns(self, names: Sequence[str], *, layer: str | None = None, counts: bool = True) -> AnnData:
        """The cells with the columns of ``obs`` that are named, instead of the canonical ones, and as they are.

        Genes too have the names that the data give them, if these are unique.

        Parameters
        ----------
        names
            Of columns that the data have, whatever they hold, or else of canonical fields.
        layer
            Where the values are, if not where the dataset keeps its counts.
        counts
            False: the values need not be counts (logarithms, say), and are neither changed nor rounded.

        Raises
        ------
        bench.errors.DataError
            As by :meth:`load`, or if there is no such column or layer.
        """
        adata = self.load().adata
        where = f"dataset {self.card.name}"
        if layer not in (None, "X") or not counts:
            raise DataError("these data have no layers, only counts", where=where, fix="name no layer")
        for name in names:
            if name not in adata.obs:
                raise DataError(
                    f"the cells have no column {name!r}", where=where, fix=f"columns: {', '.join(adata.obs)}"
                )
        adata.obs = adata.obs[list(names)]
        return adata

    def open(self) -> CountStore:
        """The cells without the counts, which are read as they are asked for where the format allows it.

        Raises
        ------
        bench.errors.DataError
            As by :meth:`load`; of counts on disk only the first are checked now, the others as they are read.
        """
        return LoadedCounts(self.load())
