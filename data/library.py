"""The datasets ``bench`` knows: the built-in cohort, the files of ``$BENCH_DATA``, and what was added by users.

Cards are read without loading counts, and this module imports no scientific package before it must.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from bench.data._builtin import COHORTS, CohortSource
from bench.data._columns import map_columns, weak_labels
from bench.data._facts import n_values
from bench.data._files import digest
from bench.data._lookalikes import alike, lines_about_columns, looks_like, option, taken_unasked
from bench.data._registered import Library, libraries, library_of, read_json
from bench.dataset import OBS_FIELDS, CountStore, Dataset, DatasetCard, DatasetSource, Embedding, few_counts
from bench.errors import BenchError, DataError, UnknownNameError
from bench.system import file_digest

if TYPE_CHECKING:
    from anndata import AnnData

_MANIFEST = "MANIFEST.json"
_Truth = Literal["experimental", "computational", "generative", "none"]
TRUTHS: tuple[str, ...] = get_args(_Truth)


class FileSource(DatasetSource):
    """Counts in a file or folder.

    Parameters
    ----------
    path
        ``.h5ad``, ``.zarr`` of AnnData, 10x ``.h5`` or 10x folder.
    card
        What is known of it; ``card.digest`` is checked when it is loaded.
    columns
        Canonical field -> column of ``obs``.
    layer
        Where the raw counts are, if not in ``X``.
    origin
        Where its name comes from.
    """

    def __init__(
        self, path: Path, card: DatasetCard, columns: Mapping[str, str], layer: str | None = None, origin: str = "file"
    ) -> None:
        self.path, self._card, self._mapping, self._layer = path, card, dict(columns), layer
        self.origin = origin

    @property
    def card(self) -> DatasetCard:
        """The card it was registered with."""
        return self._card

    @property
    def files(self) -> Sequence[Path]:
        """The file or folder."""
        return (self.path,)

    @property
    def mapping(self) -> Mapping[str, str]:
        """Canonical field -> the column of ``obs`` that it is taken from."""
        return self._mapping

    def obs_columns(self) -> tuple[str, ...]:
        """Names of all columns of ``obs``, read from the file."""
        from bench.data._peek import peek

        self._check_there()
        return peek(self.path, self._layer).obs_columns

    def offer(self, fields: Collection[str]) -> str:
        """The command that names the columns of some fields, and the columns there are."""
        from bench.data._offer import offer

        return offer(self, self.path, self._layer, fields)

    @property
    def is_whole(self) -> bool:
        """Return whether the file is an ``.h5ad`` with the genes of this dataset and no others."""
        from bench.data._peek import peek

        return self.path.suffix.lower() == ".h5ad" and self._layer != "raw" and not peek(self.path).left_out

    def load(self) -> Dataset:
        """Verify the checksum, read and check the counts."""
        from bench.data.ingest import read

        self._verify(digest if self.path.is_dir() else file_digest)
        return Dataset(self._card, read(self.path, self._mapping, self._layer))

    def embedding(self, key: str) -> Embedding:
        """Verify the checksum, read and check ``obsm[key]``."""
        from bench.data._embeddings import of_file

        self._verify(digest)
        return of_file(self.path, key, self._card.embeddings)

    def columns(self, names: Sequence[str], *, layer: str | None = None, counts: bool = True) -> AnnData:
        """Verify the checksum, read and check the counts; of ``obs``, take the columns that are asked for."""
        from bench.data.ingest import read

        self._verify(digest)
        layer = layer or (self._layer if counts else None)  # --normalized: the dataset's own layer has counts
        return read(self.path, self._mapping, layer, names, fields=(), counts=counts, own_names=True)

    def open(self) -> CountStore:
        """Verify the checksum (once for each state of the file) and read the tables.

        The counts of an ``.h5ad`` or ``.zarr`` stay on disk if they are stored by cell (CSR); those of other files
        are loaded.
        """
        from bench.data.stream import open_counts

        self._verify(digest)
        return open_counts(self.path, self._card, self._mapping, self._layer) or super().open()

    def _check_there(self) -> None:
        if not self.path.exists():
            raise DataError(
                f"the data of {self._card.name!r} are gone",
                where=str(self.path),
                fix=f"put the file back, or run: bench data remove {self._card.name}",
            )

    def _verify(self, checksum: Callable[[Path], str]) -> None:
        self._check_there()
        from bench.data._door import readable

        with readable(self.path):
            actual = checksum(self.path)
        if actual != self._card.digest:
            raise DataError(
                f"the data of {self._card.name!r} are not the registered ones: sha256 {actual[:12]}…, expected "
                f"{self._card.digest[:12]}…",
                where=str(self.path),
                fix="fetch the file again; if the change is meant, register it again (bench data add, or the manifest)",
            )


def sources() -> dict[str, DatasetSource]:
    """All registered datasets by name.

    Raises
    ------
    bench.errors.DataError
        If ``$BENCH_DATA`` or a library cannot be read, or two datasets share a name that are not the user's and the
        project's.
    """
    by_name: dict[str, DatasetSource] = {
        name: CohortSource(name, spec, builtin=name == "cohort") for name, spec in COHORTS.items()
    }
    folder = os.environ.get("BENCH_DATA")
    more: list[tuple[object, Mapping[str, DatasetSource]]] = [(lib.file, _added(lib)) for lib in libraries()]
    for where, named in [(folder, _manifest_sources(Path(folder)) if folder else {}), *more]:
        for name, source in named.items():
            if name in by_name and by_name[name].origin != "user":
                raise DataError(f"two datasets are called {name!r}", where=str(where), fix="rename one of them")
            by_name[name] = source
    return by_name


def from_path(
    path: Path,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    layer: str | None = None,
    truth: str | None = None,
    expected_doublet_rate: float | None = None,
    case: str = "",
    control: str = "",
    embeddings: Mapping[str, str | Sequence[str]] | None = None,
    about: Mapping[str, str] | None = None,
) -> FileSource:
    """A dataset from a bare path, its card read from the file's own tables.

    Parameters
    ----------
    path
        ``.h5ad``, ``.zarr`` of AnnData, 10x ``.h5`` or 10x folder.
    name
        The file's own name if not given.
    columns
        Canonical field -> column of ``obs``, where the names differ, e.g. ``{"donor": "individual"}``.
    layer
        Where an ``.h5ad`` or ``.zarr`` keeps its raw counts.
    truth
        Where ``is_doublet`` comes from; ``experimental`` is assumed if the file has that column, unless it was
        written by our own simulator.
    expected_doublet_rate
        The rate the protocol promises; told to doublet callers.
    case, control
        Values of ``condition`` to compare, for tasks that compare arms.
    embeddings
        Key of ``obsm`` -> what it was pre-trained on: names, accessions or digests of data, as a list or with commas.
        Each is read and checked. Of others ``uns["NAME_embedding"]["pretrained_on"]`` holds, of ``X_NAME``.
    about
        Facts of the card that no file tells: ``summary``, ``licence``, ``organism``, ``tissue`` and, of the paper,
        ``doi``.
    """
    from bench.data._door import readable
    from bench.data._peek import peek

    path = Path(os.path.abspath(path))
    facts = peek(path, layer)
    mapping = map_columns(facts.obs_columns, columns, str(path))
    if truth is not None and truth not in TRUTHS:
        raise UnknownNameError("kind of truth", truth, TRUTHS)
    counted, truth_known = n_values(path, mapping), truth is not None or facts.is_cohort
    with readable(path):
        checksum = digest(path)
    card = DatasetCard(
        name=name or path.name,
        digest=checksum,
        fields=frozenset(mapping),
        truth=cast("_Truth", truth or _guessed_truth(mapping, facts.is_cohort)),
        n_cells=facts.n_cells,
        n_genes=facts.n_genes,
        n_donors=counted.get("donor"),
        left_out=facts.left_out,
        n_values=counted,
        expected_doublet_rate=expected_doublet_rate,
        weak_labels=facts.weak_labels or weak_labels(mapping),
        reading=_reading(mapping, layer),
        case=case,
        control=control,
        embeddings=_embeddings(embeddings or {}),
        **_told(path, about or {}),
        caveat="; ".join(
            filter(
                None,
                [
                    facts.left_out,
                    facts.weak_labels,
                    facts.labels,
                    _of_labels(mapping, known_truth=truth_known),
                    *_of_columns(facts.obs_columns, mapping, columns or (), counted.get("exclude")),
                ],
            )
        ),
    )
    source = FileSource(path, card, mapping, layer)
    for key in card.embeddings:
        source.embedding(key)
    return source


def _embeddings(told: Mapping[str, Any]) -> dict[str, list[str]]:
    """The words of a user on embeddings, as a card keeps them."""
    if not told:
        return {}
    from bench.data._embeddings import told_names

    if not isinstance(told, Mapping):
        fix = 'give a key of obsm and names of data for each, such as {"X_scgpt": ["GSE140231"]}; [] for none'
        raise DataError(
            f"a {type(told).__name__} does not say what was pre-trained on what", where="embeddings", fix=fix
        )
    names = {key: told_names(each) for key, each in told.items()}
    return {key: list(each) for key, each in names.items() if each is not None}


def add(
    path: Path, name: str, *, layer: str | None = None, replace: bool = False, user: bool = False, **facts: Any
) -> DatasetCard:
    """Register a file under a name, in this project; it is checked first, and neither copied nor changed.

    Parameters
    ----------
    replace
        The name may be taken: what it stood for is forgotten.
    user
        Register it for the user, wherever they work, instead.
    **facts
        As in :func:`from_path`, as are the others.

    Raises
    ------
    bench.errors.DataError
        If the name is taken or the file fails a check.
    """
    if not name or "/" in name or name.strip() != name or "," in name:
        raise DataError(f"{name!r} cannot be a name", where="--name", fix="use letters, digits, '_', '-' and '.'")
    to = library_of(user=user)
    taken = sources().get(name)
    if taken is not None and taken.origin not in ("user", "project"):
        raise DataError(f"there is a dataset called {name!r} already", where="--name", fix="choose another name")
    if name in to.entries() and not replace:
        fix = "choose another --name, or give --replace to put this file in its place"
        raise DataError(f"there is a dataset called {name!r} already", where=str(to.file), fix=fix)
    source = from_path(path, name=name, layer=layer, **facts)
    dataset = source.load()
    _check_arms(dataset)
    card = dataclasses.replace(source.card, caveat="; ".join(filter(None, [_shallow(dataset), source.card.caveat])))
    stat = source.path.stat()
    entry = {
        "path": str(source.path),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "layer": layer,
        "columns": source._mapping,
        "card": {k: sorted(v) if isinstance(v, frozenset) else v for k, v in vars(card).items()},
    }
    to.put(name, entry)
    return card


def _told(path: Path, about: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a card from what its user says of the data."""
    facts = {name: text for name, text in about.items() if name != "doi"}
    doi = about.get("doi", "").strip()
    match = re.fullmatch(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/\S+)", doi, re.IGNORECASE)
    if doi and not match:
        raise DataError(f"{doi!r} is no DOI", where="--doi", fix="write it as 10.1038/s41586-019-1195-2")
    # The report is mailed: it must not tell where files lie.
    return {
        "summary": f"your file {path.name}",
        "source": f"https://doi.org/{match[1]}" if match else path.name,
    } | facts


def _shallow(dataset: Dataset) -> str:
    """A warning of cells with few counts; those that are left out anyhow do not count."""
    from bench.normalise import totals

    obs, X = dataset.adata.obs, dataset.adata.X
    used_cells = ~obs["exclude"].to_numpy() if "exclude" in obs else slice(None)
    return str(few_counts(totals(X)[used_cells], dataset.adata.n_vars) or "")


def column_lines(name: str) -> list[str]:
    """Lines about the columns of a registered dataset: which were taken, which not and how to name them."""
    source = sources()[name]
    lines = lines_about_columns(source.obs_columns(), source.mapping, source.card.n_values)
    return [*lines, *_embedding_lines(source)]


def _embedding_lines(source: DatasetSource) -> list[str]:
    from bench.data._embeddings import keys_of_file

    told = source.card.embeddings
    keys = keys_of_file(source.files[0]) if source.files else ()
    each = [f"{key} ({', '.join(told[key]) or 'no data'})" if key in told else key for key in keys]
    return [f"obsm:     {', '.join(each)} (in brackets: pre-trained on, as --embedding says)"] if each else []


def _check_arms(dataset: Dataset) -> None:
    """Refuse a named case or control that no cell has."""
    obs = dataset.adata.obs
    conditions = sorted(obs["condition"].astype(str).unique()) if "condition" in obs else []
    for flag, value in (("--case", dataset.card.case), ("--control", dataset.card.control)):
        if value and value not in conditions:
            raise DataError(
                f"no cell is of the condition {value!r}",
                where=flag,
                fix=f"conditions: {', '.join(conditions)}" if conditions else "name their column with --condition-key",
            )


def remove(name: str) -> Library:
    """Forget a dataset that was added; the file itself stays. Returns where it was registered.

    Of a name that the project and the user have, the project's goes and the user's is seen again.
    """
    for place in reversed(libraries()):
        if name in place.entries():
            place.drop(name)
            return place
    if name in sources():
        raise BenchError(
            f"{name!r} was not added by you",
            where="bench data remove",
            fix="only datasets of `bench data add` can go",
        )
    raise UnknownNameError("dataset", name, [added for place in libraries() for added in place.entries()])


def _guessed_truth(columns: Mapping[str, str], is_cohort: bool = False) -> _Truth:
    if "is_doublet" not in columns:
        return "none"
    return "generative" if is_cohort else "experimental"


def _of_labels(mapping: Mapping[str, str], known_truth: bool) -> str:
    if "is_doublet" not in mapping or known_truth:
        return ""
    return f"labels in {mapping['is_doublet']!r} are taken as experimental (if not: bench data add --truth)"


def _of_columns(
    columns: Collection[str], mapping: Mapping[str, str], chosen: Collection[str], n_excluded: int | None
) -> list[str]:
    """Return what a reader must know of the columns: taken unasked, or missing though others look like them."""
    lines = taken_unasked(mapping, chosen, n_excluded)
    for field in OBS_FIELDS:
        others = alike(field, columns, mapping) if field not in mapping else []
        hint = f"{looks_like(field, others)}: bench data add {option(field)} {others[0]}" if others else ""
        if field == "donor" and field not in mapping:
            hint = hint or "if not: bench data add --donor-key"
            lines.append(f"no donor column: all cells count as one library ({hint})")
        elif hint:
            lines.append(f"no {field} column ({hint})")
    return lines


def _added(place: Library) -> dict[str, DatasetSource]:
    by_name: dict[str, DatasetSource] = {}
    for name, entry in place.entries().items():
        try:
            card = DatasetCard(**entry["card"] | {"fields": frozenset(entry["card"]["fields"])})
            by_name[name] = FileSource(place.path(entry), card, entry["columns"], entry["layer"], place.origin)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"the entry {name!r} is damaged ({error})",
                where=str(place.file),
                fix="remove the entry and add it again",
            ) from error
    return by_name


def _manifest_sources(folder: Path) -> dict[str, DatasetSource]:
    path = folder / _MANIFEST
    if not path.is_file():
        raise DataError(
            f"BENCH_DATA names a folder without {_MANIFEST}",
            where=str(folder),
            fix="point BENCH_DATA at a folder with a manifest, or unset it and hand over single files by path",
        )
    by_name: dict[str, DatasetSource] = {}
    for i, entry in enumerate(read_json(path, list)):
        try:
            source = _manifest_source(folder, entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"entry {i + 1} of the manifest is incomplete ({type(error).__name__}: {error})",
                where=str(path),
                fix="every entry needs file, sha256, cells, genes and obs",
            ) from error
        if source is not None:
            by_name[source.card.name] = source
    return by_name


def _manifest_source(folder: Path, entry: Mapping[str, Any]) -> FileSource | None:
    """An entry's source; ``file``, ``sha256``, ``cells``, ``genes`` and ``obs`` must be there, the rest may be."""
    file = str(entry["file"])
    if not file.endswith((".h5ad", ".zarr")):
        return None
    about = entry.get("source") or {}
    columns = map_columns(entry["obs"], entry.get("columns"), file)
    card = DatasetCard(
        name=file.removesuffix(".h5ad").removesuffix(".zarr"),
        summary=str(about.get("tissue") or file),
        digest=str(entry["sha256"]),
        fields=frozenset(columns),
        truth=entry.get("truth") or _guessed_truth(columns),
        n_cells=int(entry["cells"]),
        n_genes=int(entry["genes"]),
        n_donors=entry.get("n_donors") if "donor" in columns else None,
        source=str(about.get("citation") or about.get("repo") or file),
        accession=str(about.get("accession") or ""),
        licence=str(about.get("licence") or ""),
        organism=str(about.get("organism") or ""),
        tissue=str(about.get("tissue") or ""),
        n_values={"condition": len(entry["conditions"])} if entry.get("conditions") else {},
        caveat="; ".join(
            filter(None, [str(about.get("labels") or ""), *taken_unasked(columns, entry.get("columns") or ())])
        ),
        weak_labels=str(entry.get("weak_labels") or weak_labels(columns)),
        expected_doublet_rate=entry.get("expected_doublet_rate"),
        reading=_reading(columns, entry.get("layer")),
        case=str(entry.get("case") or ""),
        control=str(entry.get("control") or ""),
        embeddings=_embeddings(entry.get("embeddings") or {}),
    )
    return FileSource(folder / file, card, columns, entry.get("layer"), "BENCH_DATA")


def _reading(columns: Mapping[str, str], layer: str | None) -> str:
    return json.dumps([sorted(columns.items()), layer])
