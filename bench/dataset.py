"""The contract of a dataset: counts, canonical columns, and a card that tells where they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from anndata import AnnData

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
)


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a dataset without opening it.

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
    expected_doublet_rate
        The rate the experimenter would tell a doublet caller, where known; never the true rate.
    reading
        How a file is read (columns, layer), as text; part of every trial's key, as ``digest`` is.
    builtin
        Used when ``--datasets`` is not given.
    """

    name: str
    summary: str
    digest: str
    fields: frozenset[str]
    truth: Literal["experimental", "computational", "generative", "none"]
    n_cells: int
    n_genes: int
    n_donors: int | None = None
    source: str = ""
    accession: str = ""
    licence: str = ""
    organism: str = ""
    tissue: str = ""
    caveat: str = ""
    expected_doublet_rate: float | None = None
    reading: str = ""
    builtin: bool = False


@dataclass(frozen=True)
class Dataset:
    """A card and its cells.

    ``adata.X`` is a ``csr_matrix`` of raw integer counts; ``obs`` holds the canonical columns only
    (:data:`OBS_FIELDS`); ``obs["is_doublet"]`` and ``obs["exclude"]`` are boolean, ``exclude`` marks cells that
    must not be scored or shown; ``var_names`` are unique; ``var["symbol"]`` where known.
    """

    card: DatasetCard
    adata: AnnData


class DatasetSource(ABC):
    """A registered dataset: its card now, its cells when asked."""

    @property
    @abstractmethod
    def card(self) -> DatasetCard:
        """The card; reading it must not load the counts."""

    @abstractmethod
    def load(self) -> Dataset:
        """Load and check the cells.

        Raises
        ------
        bench.errors.DataError
            If the file's checksum or one of the semantic checks fails.
        """
