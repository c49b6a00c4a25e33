"""An AnnData in memory as a dataset: checked as a file is, by the same rules; copied, and never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from bench.data import _counts
from bench.data._builtin import EFFECTS
from bench.data._columns import map_columns, weak_labels
from bench.data._embeddings import facts_key, of_memory
from bench.data._facts import of_columns
from bench.data._features import KINDS, which_genes
from bench.data._offer import offer_in_memory
from bench.data.ingest import assembled, canonical_obs, canonical_var, check_names
from bench.data.library import TRUTHS, _check_arms, _embeddings, _guessed_truth, _of_columns, _of_labels
from bench.dataset import Dataset, DatasetCard, DatasetSource, Embedding
from bench.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class MemorySource(DatasetSource):
    """Counts that were handed over as an AnnData; a checked copy of what counts.

    Parameters
    ----------
    card
        Its ``digest`` is over the copy: cells, genes, counts and the canonical columns.
    mapping
        Canonical field -> the column of ``obs`` that it was taken from.
    columns
        Names of all columns of ``obs``.
    embedded
        Its ``obsm``, and what of its ``uns`` tells of that.
    """

    def __init__(
        self,
        card: DatasetCard,
        adata: AnnData,
        mapping: Mapping[str, str],
        columns: tuple[str, ...],
        embedded: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    ) -> None:
        self._card, self._adata, self._mapping, self._columns = card, adata, mapping, columns
        self._embedded = embedded

    @property
    def card(self) -> DatasetCard:
        """Facts of the cells."""
        return self._card

    @property
    def mapping(self) -> Mapping[str, str]:
        """Canonical field -> the column of ``obs`` that it was taken from."""
        return self._mapping

    def obs_columns(self) -> tuple[str, ...]:
        """Names of all columns of ``obs``."""
        return self._columns

    def embedding(self, key: str) -> Embedding:
        """The embedding ``obsm[key]``, as it was when the AnnData was handed over."""
        obsm, uns = self._embedded
        return of_memory(obsm, uns, key, self._adata.obs_names, self._card.embeddings, f"dataset {self._card.name}")

    def offer(self, fields: Collection[str]) -> str:
        """The call that names the columns of some fields, and the columns there are."""
        return offer_in_memory(self, fields)

    def load(self) -> Dataset:
        """The checked cells."""
        ours = self._adata
        return Dataset(self._card, AnnData(ours.X, ours.obs.copy(), ours.var.copy(), dict(ours.uns)))


def from_anndata(
    adata: AnnData,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    layer: str | None = None,
    truth: str | None = None,
    expected_doublet_rate: float | None = None,
    case: str = "",
    control: str = "",
    embeddings: Mapping[str, str | Sequence[str]] | None = None,
) -> MemorySource:
    """Check the cells of an AnnData and copy what counts of them.

    Parameters as of :func:`bench.data.library.from_path`; without ``name``, it is ``adata-`` and eight digits of the
    digest.

    Raises
    ------
    bench.errors.DataError
        If a check fails, with the sentence that a file would get.
    """
    where = f"AnnData {name}" if name else "the AnnData"
    if adata.isbacked:
        fix = f"hand over the file itself, {str(adata.filename)!r}, or adata.to_memory()"
        raise DataError("the AnnData is backed: its counts are on disk", where=where, fix=fix)
    if truth is not None and truth not in TRUTHS:
        raise UnknownNameError("kind of truth", truth, TRUTHS)
    texts = [column for column in adata.obs.columns if isinstance(column, str)]
    if repeated := sorted({column for column in texts if texts.count(column) > 1}):
        fix = "give each a name of its own"
        raise DataError(f"columns of one name: {', '.join(repeated)}", where=f"obs of {where}", fix=fix)
    mapping = map_columns(texts, columns, where)
    features = adata.raw.var if layer == "raw" and adata.raw is not None else adata.var
    kinds = next((list(features[kind]) for kind in KINDS if kind in features), None)
    genes, left_out = which_genes(kinds, where)
    checked = _checked(adata, features, genes, mapping, layer, where)
    is_cohort = "generator" in adata.uns.get("cohort", ())
    if "cohort" in adata.uns and EFFECTS in adata.uns:
        checked.uns[EFFECTS] = adata.uns[EFFECTS].copy()
    counted, digest = of_columns(checked.obs), _digest(checked)
    weak = _words(adata.uns.get("weak_labels")) or weak_labels(mapping)
    origin = adata.uns.get("source")
    about = [
        left_out,
        _words(adata.uns.get("weak_labels")),
        _words(origin.get("labels")) if isinstance(origin, Mapping) else "",
        _of_labels(mapping, known_truth=truth is not None or is_cohort),
        *_of_columns(texts, mapping, columns or (), counted.get("exclude")),
    ]
    card = DatasetCard(
        name=name or f"adata-{digest[:8]}",
        summary="your AnnData in memory",
        digest=digest,
        fields=frozenset(mapping),
        truth=cast("Any", truth or _guessed_truth(mapping, is_cohort)),
        n_cells=checked.n_obs,
        n_genes=checked.n_vars,
        n_donors=counted.get("donor"),
        left_out=left_out,
        n_values=counted,
        source="an AnnData in memory",
        expected_doublet_rate=expected_doublet_rate,
        weak_labels=weak,
        case=case,
        control=control,
        embeddings=_embeddings(embeddings or {}),
        caveat="; ".join(filter(None, about)),
    )
    about_embeddings = {key: adata.uns[key] for key in map(facts_key, adata.obsm) if key in adata.uns}
    source = MemorySource(
        card,
        checked,
        mapping,
        tuple(texts),
        ({key: deepcopy(adata.obsm[key]) for key in adata.obsm}, deepcopy(about_embeddings)),
    )
    for key in card.embeddings:
        source.embedding(key)
    _check_arms(source.load())
    return source


def _checked(
    adata: AnnData,
    features: pd.DataFrame,
    genes: list[bool] | None,
    mapping: Mapping[str, str],
    layer: str | None,
    where: str,
) -> AnnData:
    var = canonical_var(features if genes is None else features[genes], where)
    check_names(adata.obs_names.astype(str), var.index, where)
    obs = canonical_obs(adata.obs, mapping, where)
    try:
        X = _counts.by_cell(_counts.in_memory(_matrix(adata, layer, where)), where)
    except DataError as error:
        raise _counts_elsewhere(error, adata, layer, where) from error
    return assembled(X if genes is None else X[:, genes], obs, var, {}, where)


def _matrix(adata: AnnData, layer: str | None, where: str) -> Any:
    """The values of a layer as a matrix of its own around the same arrays: not even their order may change."""
    places: dict[str, Any] = {} if adata.X is None else {"X": adata.X}
    places |= {name: adata.layers[name] for name in _layers(adata)}
    places |= {} if adata.raw is None else {"raw": adata.raw.X}
    if (layer or "X") not in places:
        names = ", ".join(places) or "none"
        what = "there is no X" if layer is None else f"there is no layer {layer!r}"
        raise DataError(what, where=where, fix=f"choose one with bench.as_dataset(adata, layer=...); layers: {names}")
    X = places[layer or "X"]
    if not sparse.issparse(X):
        if not isinstance(X, np.ndarray):
            fix = "compute it first: adata.to_memory(), or a numpy array or scipy.sparse.csr_matrix"
            raise DataError(f"the matrix is a {type(X).__name__}, which is not in memory", where=where, fix=fix)
        X = np.asarray(X)
    if X.dtype.kind not in "iufb" or X.dtype.itemsize > 8:
        place = {"X": "X", "raw": "raw/X"}.get(layer or "X", f"layers/{layer}")
        fix = "write it again with numbers that a float64 can hold"
        raise DataError(f"the matrix has type {X.dtype}", where=f"/{place} of {where}", fix=fix)
    if not sparse.issparse(X):
        return X
    compact = X if X.format in ("csr", "csc") else X.tocsr()
    own = sparse.csr_matrix if compact.format == "csr" else sparse.csc_matrix
    return own((compact.data, compact.indices, compact.indptr), shape=compact.shape)


def _layers(adata: AnnData) -> list[str]:
    """Names of the layers, ``counts`` first; to anndata 0.13, ``X`` is one of them, without a name."""
    return sorted((name for name in adata.layers if name not in (None, "X")), key=lambda name: (name != "counts", name))


def _counts_elsewhere(error: DataError, adata: AnnData, layer: str | None, where: str) -> DataError:
    """``error`` about ``X``, or one that names the layer that has counts; none is ever taken silently."""
    names = _layers(adata) if layer is None else []
    names += ["raw"] if layer is None and adata.raw is not None else []
    good = next((name for name in names if _has_counts(adata, name)), None)
    if good is None:
        return error
    place = "raw.X" if good == "raw" else f"layers[{good!r}]"
    fix = f"raw counts are in {place}: bench.as_dataset(adata, layer={good!r})"
    return DataError(error.what, where=f"X of {where}", fix=fix)


def _has_counts(adata: AnnData, layer: str) -> bool:
    """Return whether the first stretch of a layer are counts."""
    try:
        _, block = next(_counts.in_memory(_matrix(adata, layer, "")).blocks())
        return _counts.counts(block, "").nnz > 0
    except DataError:
        return False


def _digest(adata: AnnData) -> str:
    """sha256 over names, counts and canonical columns: the same cells give the same, whatever they were stored as."""
    digest = hashlib.sha256()
    for part in _parts(adata):
        digest.update(part)
        digest.update(b"\x1e")
    return digest.hexdigest()


def _parts(adata: AnnData) -> Iterator[bytes | memoryview]:
    X: csr_matrix = adata.X
    yield from (_bytes(X.indptr.astype("<i8")), _bytes(X.indices.astype("<i4", copy=False)))
    yield _bytes(X.data.astype("<i4", copy=False))
    for table in (adata.obs, adata.var, adata.uns.get(EFFECTS, pd.DataFrame())):
        yield from _texts(table.index)
        for name in sorted(table.columns):
            yield name.encode()
            yield from _texts(table[name])


def _bytes(values: Any) -> memoryview:
    return np.ascontiguousarray(values).view(np.uint8).data


def _texts(values: Any) -> Iterator[bytes]:
    yield "\x1f".join("\x00" if pd.isna(value) else str(value) for value in values).encode("utf-8", "surrogatepass")


def _words(value: object) -> str:
    return value if isinstance(value, str) else ""
