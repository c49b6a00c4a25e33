"""Reading other people's files (``.h5ad``, ``.zarr``, 10x ``.h5``, mtx folders): counts with canonical columns."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.data import _counts, checks
from bench.data import _stored as stored
from bench.data._builtin import EFFECTS
from bench.data._columns import id_column, map_columns, own_column, symbol_column
from bench.data._counts import by_cell
from bench.data._door import readable
from bench.data._layout import by_format
from bench.data._tenx import TenX, opened_10x_folder, opened_10x_h5
from bench.dataset import OBS_FIELDS
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

_MAY_BE_MISSING = ("parent_type_a", "parent_type_b", "split")


def read(
    path: Path,
    keys: Mapping[str, str] | None = None,
    layer: str | None = None,
    extra: Sequence[str] = (),
    *,
    fields: Collection[str] = OBS_FIELDS,
    counts: bool = True,
    own_names: bool = False,
) -> AnnData:
    """Read and check a file of counts; nothing on disk is changed.

    Parameters
    ----------
    path
        ``.h5ad``, ``.zarr`` of AnnData, 10x ``.h5`` (CellRanger 2 or 3), or a folder with ``matrix.mtx`` and its
        tables, gzipped or not.
    keys
        Canonical field (:data:`bench.dataset.OBS_FIELDS`) -> column of ``obs``, where the names differ.
    layer
        Where an ``.h5ad`` or ``.zarr`` keeps its raw counts: ``X`` (default), ``raw`` or the name of a layer.
    extra
        Further columns of ``obs``, kept under their own names with whatever they hold, gaps too. Where the file has no
        column of that name, a canonical field of that name is meant.
    fields
        The canonical fields that are wanted; columns of others are neither read nor checked.
    counts
        False: any finite values that are not negative will do, and are kept as they are.
    own_names
        Genes keep the file's names where these are unique, whatever Ensembl IDs they have.

    Returns
    -------
    ``X``: ``csr_matrix`` of int32; ``obs``: canonical columns and ``extra`` only; ``var_names``: Ensembl IDs
    where every gene has one of its own, else the file's names; ``var["symbol"]``.

    Raises
    ------
    bench.errors.DataError
        If the file cannot be read or fails one of :mod:`bench.data.checks`.
    """
    path = Path(path)
    options = _Options(dict(keys or {}), layer, tuple(extra), fields, counts, own_names)
    with readable(path):
        return by_format(
            path,
            anndata=lambda file: _read_anndata(file, options),
            h5=lambda file: _read_tenx(opened_10x_h5(file), file, options),
            folder=lambda folder: _read_tenx(opened_10x_folder(folder), folder, options),
        )


@dataclass(frozen=True)
class _Options:
    """Options of :func:`read`."""

    keys: Mapping[str, str]
    layer: str | None
    extra: tuple[str, ...]
    fields: Collection[str]
    counts: bool
    own_names: bool

    def obs(self, columns: Sequence[str], where: str) -> tuple[dict[str, str], dict[str, str]]:
        """Columns of ``obs`` by canonical field, and those that are kept as they are by name."""
        mapping = map_columns(columns, self.keys, where)
        chosen = {field: column for field, column in mapping.items() if field in self.fields}
        return chosen, {name: own_column(name, columns, mapping, where) for name in self.extra}

    @property
    def check(self) -> _counts.Check:
        """Check that every block of the matrix must pass."""
        return _counts.counts if self.counts else _counts.values


def _read_anndata(path: Path, options: _Options) -> AnnData:
    where = str(path)
    with stored.opened(path) as root:
        chosen, more = options.obs(stored.columns(root["obs"]), where)
        obs = stored.table(root["obs"], [*chosen.values(), *more.values()])
        features, genes = stored.genes(root, options.layer, where)
        var = canonical_var(features if genes is None else features[genes], where, own_names=options.own_names)
        check_names(obs.index, var.index, where)
        obs = _canonical(obs, chosen, more, where)
        try:
            shape = len(obs), len(features)
            X = by_cell(stored.layout(stored.matrix(root, options.layer, path), shape, path), where, options.check)
            X = X if genes is None else X[:, genes]
        except DataError as error:
            raise counts_elsewhere(error, root, options.layer, path) from error
        truth = root["uns"] if "uns" in root and "cohort" in root["uns"] and EFFECTS in root["uns"] else {}
        return assembled(X, obs, var, {EFFECTS: stored.element(truth[EFFECTS])} if truth else {}, where)


def _read_tenx(opened: AbstractContextManager[TenX], path: Path, options: _Options) -> AnnData:
    where = str(path)
    if options.layer not in (None, "X"):
        raise DataError(f"there is no layer {options.layer!r}", where=where, fix="layers: X")
    chosen, more = options.obs([], where)
    with opened as tenx:
        var = canonical_var(tenx.features, where, own_names=options.own_names)
        check_names(tenx.cells, var.index, where)
        obs = _canonical(pd.DataFrame(index=tenx.cells), chosen, more, where)
        X = by_cell(tenx.counts, where, options.check)
        return assembled(X if tenx.genes is None else X[:, tenx.genes], obs, var, {}, where)


def check_names(cells: pd.Index, genes: pd.Index, where: str) -> None:
    """Refuse an empty matrix, one that is transposed or of peaks, and cells of one name."""
    checks.check_not_empty((len(cells), len(genes)), where)
    checks.check_orientation(cells, genes, where)
    checks.check_no_peaks(genes, where)
    checks.check_unique(cells, "cell", where)


def _canonical(obs: pd.DataFrame, chosen: Mapping[str, str], more: Mapping[str, str], where: str) -> pd.DataFrame:
    result = canonical_obs(obs, chosen, where)
    for name, column in more.items():
        result[name] = obs[column].array
    return result


def assembled(X: csr_matrix, obs: pd.DataFrame, var: pd.DataFrame, uns: dict[str, Any], where: str) -> AnnData:
    """The checked parts as one, if every cell has counts."""
    from anndata import AnnData

    checks.check_no_empty_cells(X, obs.index, where)
    return AnnData(X=X, obs=obs, var=var, uns=uns)


def counts_elsewhere(error: DataError, root: Any, layer: str | None, path: Path) -> DataError:
    """``error`` about ``X``, or one that names the layer that has counts; none is ever taken silently."""
    names = [*stored.layers(root), *(["raw"] if stored.has_raw(root) else [])] if layer is None else []
    good = next((name for name in names if _has_counts(root, name, path)), None)
    if good is None:
        return error
    place = "raw.X" if good == "raw" else f"layers[{good!r}]"
    layer = f"--layer {shlex.quote(good)}"
    command = f"bench data add {shlex.quote(str(path))} --name NAME {layer}"
    fix = f"raw counts are in {place}: give the command {layer} if it has it, else register them as NAME: {command}"
    return DataError(error.what, where=f"X of {path}", fix=fix)


def _has_counts(root: Any, layer: str, path: Path) -> bool:
    """Return whether the first stretch of a layer are counts."""
    try:
        with readable(path):
            shape = stored.length(root["obs"]), stored.length(stored.genes_of(root, layer))
            _, block = next(stored.layout(stored.matrix(root, layer, path), shape, path).blocks())
            return _counts.counts(block, str(path)).nnz > 0
    except DataError:
        return False


def canonical_obs(obs: pd.DataFrame, mapping: Mapping[str, str], where: str) -> pd.DataFrame:
    """The canonical columns, checked: labels as categories, ``is_doublet`` and ``exclude`` as booleans."""
    columns = {}
    left_out = np.zeros(len(obs), dtype=bool)
    if "exclude" in mapping:
        columns["exclude"] = checks.as_boolean(obs[mapping["exclude"]], where)
        left_out = columns["exclude"].to_numpy()
    for field, source in mapping.items():
        values = obs[source]
        if field == "exclude":
            continue
        if field == "is_doublet":
            columns[field] = checks.as_boolean(values, where, left_out)
            continue
        if field not in _MAY_BE_MISSING:
            checks.check_labels(values, where, field)
        columns[field] = _text(values).astype("category")
    # The index has no name: one that is called like a column is ambiguous to pandas.
    result = pd.DataFrame({field: columns[field] for field in mapping}, index=obs.index.astype(str).rename(None))
    checks.check_nested(result, where)
    return result


def _text(values: pd.Series) -> pd.Series:
    """Labels as text; whole numbers without a trailing ``.0``."""
    if values.dtype.kind == "f" and (values.dropna() == np.floor(values.dropna())).all():
        values = values.astype("Int64")
    text = values.astype(object).map(str, na_action="ignore")
    return text.mask(text == "")


def canonical_var(var: pd.DataFrame, where: str, *, own_names: bool = False) -> pd.DataFrame:
    """Genes by Ensembl ID where each has one of its own, else by their name; unique, with ``symbol``.

    With ``own_names`` by their name where that is unique.
    """
    names = pd.Index(var.index.astype(str))
    symbol, ids = symbol_column(list(var.columns)), id_column(list(var.columns))
    symbols = (
        var[symbol].astype(object).where(var[symbol].notna(), names) if symbol else pd.Series(names, index=var.index)
    )
    if ids is not None and var[ids].notna().all() and var[ids].is_unique and not (own_names and names.is_unique):
        names = pd.Index(var[ids].astype(str))
    checks.check_unique(names, "gene", where)
    return pd.DataFrame({"symbol": symbols.astype(str).to_numpy()}, index=names.rename(None))
