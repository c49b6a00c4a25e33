"""Reading other people's files (``.h5ad``, ``.zarr``, 10x ``.h5``, mtx folders): counts with canonical columns."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from bench.data import checks
from bench.data._builtin import EFFECTS
from bench.data._columns import id_column, map_columns, own_column, symbol_column
from bench.data._features import KINDS, which_genes
from bench.data._layout import by_format
from bench.data._tenx import read_10x_folder, read_10x_h5
from bench.dataset import OBS_FIELDS
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

_BOOLEAN = ("is_doublet", "exclude")
_MAY_BE_MISSING = ("parent_type_a", "parent_type_b", "split")


def read(
    path: Path,
    keys: Mapping[str, str] | None = None,
    layer: str | None = None,
    extra: Sequence[str] = (),
    *,
    fields: Collection[str] = OBS_FIELDS,
    counts: bool = True,
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
    adata = _open(path)
    adata = only_genes(with_counts(adata, layer, path) if counts else _pick(adata, layer or "X", path), str(path))
    return canonical(adata, keys, str(path), extra, fields=fields, counts=counts)


def only_genes(adata: AnnData, where: str) -> AnnData:
    """The cells without features that a column of ``var`` says to be no genes (antibodies, peaks, guides)."""
    column = next((name for name in KINDS if name in adata.var), None)
    genes, _ = which_genes(None if column is None else list(adata.var[column]), where)
    return adata if genes is None else adata[:, genes]


def with_counts(adata: AnnData, layer: str | None, path: Path) -> AnnData:
    """The cells with the chosen layer as ``X``; without a choice ``X`` must be counts.

    Raises
    ------
    bench.errors.DataError
        If there is no such layer, or ``X`` was meant and is no counts; where a layer is, the message names it.
    """
    if layer is not None:
        return _pick(adata, layer, path)
    _refuse_unless_counts_in_x(adata, path)
    return adata


def canonical(
    adata: AnnData,
    keys: Mapping[str, str] | None,
    where: str,
    extra: Sequence[str] = (),
    *,
    fields: Collection[str] = OBS_FIELDS,
    counts: bool = True,
) -> AnnData:
    """A checked copy of ``adata`` with int32 CSR counts, canonical columns and unique names; see :func:`read`."""
    from anndata import AnnData

    checks.check_not_empty(adata.shape, where)
    checks.check_unique(adata.obs_names, "cell", where)
    columns = list(adata.obs.columns)
    mapping = map_columns(columns, keys, where)
    obs = canonical_obs(adata.obs, {field: c for field, c in mapping.items() if field in fields}, where)
    for name in extra:
        obs[name] = adata.obs[own_column(name, columns, mapping, where)].array
    var = canonical_var(adata.var, where)
    X = canonical_counts(adata.X, where) if counts else canonical_values(adata.X, where)
    checks.check_no_empty_cells(X, adata.obs_names, where)
    truth = {EFFECTS: adata.uns[EFFECTS]} if "cohort" in adata.uns and EFFECTS in adata.uns else {}
    return AnnData(X=X, obs=obs, var=var, uns=truth)


def canonical_counts(X: object, where: str) -> csr_matrix:
    """Checked counts as ``csr_matrix`` of int32."""
    matrix = checks.as_csr(X, where)
    checks.check_finite(matrix, where)
    checks.check_counts(matrix, where)
    return _as_int32(matrix, where)


def canonical_values(X: object, where: str) -> csr_matrix:
    """Checked expression, which need not be counts, as ``csr_matrix`` of its own type."""
    matrix = checks.as_csr(X, where)
    checks.check_finite(matrix, where)
    checks.check_not_negative(matrix, where)
    return matrix


def _open(path: Path) -> AnnData:
    return by_format(path, h5ad=_open_anndata, zarr=_open_anndata, h5=read_10x_h5, folder=read_10x_folder)


def _open_anndata(path: Path) -> AnnData:
    import anndata

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Observation|Variable) names are not unique")  # refused below
        return anndata.read_zarr(path) if path.is_dir() else anndata.read_h5ad(path)


def _pick(adata: AnnData, layer: str, path: Path) -> AnnData:
    from anndata import AnnData

    if layer == "X":
        return adata
    if layer == "raw" and adata.raw is not None:
        return AnnData(X=adata.raw.X, obs=adata.obs, var=adata.raw.var)
    if layer not in _layers(adata):
        known = ["X", *_layers(adata), *(["raw"] if adata.raw is not None else [])]
        raise DataError(f"there is no layer {layer!r}", where=str(path), fix=f"layers: {', '.join(known)}")
    return AnnData(X=adata.layers[layer], obs=adata.obs, var=adata.var)


def _layers(adata: AnnData) -> list[str]:
    """Names of the layers; anndata since 0.13 counts ``X`` among them, under the name None."""
    return [name for name in adata.layers if name is not None]


def _refuse_unless_counts_in_x(adata: AnnData, path: Path) -> None:
    """Where ``X`` is not counts but a layer or ``raw.X`` is, the message names it; it is never taken silently."""
    problem = _problem(adata.X, str(path))
    if problem is None:
        return
    others = {name: adata.layers[name] for name in sorted(_layers(adata), key=lambda n: (n != "counts", n))}
    if adata.raw is not None:
        others["raw"] = adata.raw.X
    good = [name for name, X in others.items() if _problem(X, str(path)) is None]
    if good:
        command = f"bench data add {shlex.quote(str(path))} --name NAME --layer {shlex.quote(good[0])}"
        fix = f"raw counts are in {_name(good[0])}; to take them: {command}"
        problem = DataError(problem.what, where=f"X of {path}", fix=fix)
    raise problem


def _name(layer: str) -> str:
    return "raw.X" if layer == "raw" else f"layers[{layer!r}]"


def _problem(X: object, where: str) -> DataError | None:
    if X is None:
        return DataError("X is empty", where=where, fix="choose a layer: bench data add FILE --layer")
    try:
        matrix = checks.as_csr(X, where)
        checks.check_finite(matrix, where)
        checks.check_counts(matrix, where)
    except DataError as error:
        return error
    return None


def canonical_obs(obs: pd.DataFrame, mapping: Mapping[str, str], where: str) -> pd.DataFrame:
    """The canonical columns, checked: labels as categories, ``is_doublet`` and ``exclude`` as booleans."""
    columns = {}
    for field, source in mapping.items():
        values = obs[source]
        if field in _BOOLEAN:
            columns[field] = checks.as_boolean(values, where)
            continue
        if field not in _MAY_BE_MISSING:
            checks.check_labels(values, where)
        columns[field] = _text(values).astype("category")
    # The index has no name: one that is called like a column is ambiguous to pandas.
    result = pd.DataFrame(columns, index=obs.index.astype(str).rename(None))
    checks.check_nested(result, where)
    return result


def _text(values: pd.Series) -> pd.Series:
    """Labels as text; whole numbers without a trailing ``.0``."""
    if values.dtype.kind == "f" and (values.dropna() == np.floor(values.dropna())).all():
        values = values.astype("Int64")
    text = values.astype(object).map(str, na_action="ignore")
    return text.mask(text == "")


def canonical_var(var: pd.DataFrame, where: str) -> pd.DataFrame:
    """Genes by Ensembl ID where each has one of its own, else by their name; unique, with ``symbol``."""
    names = pd.Index(var.index.astype(str))
    symbol, ids = symbol_column(list(var.columns)), id_column(list(var.columns))
    symbols = (
        var[symbol].astype(object).where(var[symbol].notna(), names) if symbol else pd.Series(names, index=var.index)
    )
    if ids is not None and var[ids].notna().all() and var[ids].is_unique:
        names = pd.Index(var[ids].astype(str))
    checks.check_unique(names, "gene", where)
    return pd.DataFrame({"symbol": symbols.astype(str).to_numpy()}, index=names.rename(None))


def _as_int32(X: csr_matrix, where: str) -> csr_matrix:
    if X.nnz and X.data.max() > np.iinfo(np.int32).max:
        raise DataError(
            f"the largest count is {X.data.max():.4g}", where=where, fix="counts above 2,147,483,647 are not supported"
        )
    data = X.data if X.data.dtype == np.int32 else np.rint(X.data).astype(np.int32)
    return csr_matrix((data, X.indices, X.indptr), shape=X.shape)
