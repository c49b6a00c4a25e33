"""The conditions a dataset must satisfy before anything runs on it; every message says what, where and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bench.dataset import without_label
from bench.errors import DataError
from bench.words import count

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# How booleans look after a file format or a spreadsheet wrote them as text.
_TRUE = {"true", "t", "yes", "1", "1.0", "doublet"}
_FALSE = {"false", "f", "no", "0", "0.0", "singlet"}

# What names of genes, cells and peaks look like; genes that almost every cell expresses.
_ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{11}")
_BARCODE = re.compile(r"[ACGT]{12}")
_PEAK = r"(?:(?:\S+_)?chr\w+[:_-]|\S+:)\d+[-_]\d+$"
_EXPRESSED = {name for gene in ("ACTB", "B2M", "EEF1A1", "FTL", "MALAT1") for name in (gene, gene.capitalize())}

_TOO_LARGE = 2**31  # counts are held as int32


def check_not_empty(shape: tuple[int, ...], where: str) -> None:
    """Refuse a matrix without cells or genes."""
    if 0 in shape:
        raise DataError(
            f"the matrix is empty: {shape[0]:,} cells x {shape[1]:,} genes",
            where=where,
            fix="check the file, and the filters that were applied before it was written",
        )


def check_orientation(cells: pd.Index, genes: pd.Index, where: str) -> None:
    """Refuse a matrix whose cells are called like genes, or its genes like cells."""
    genes_first = _like_genes(cells) and not _like_genes(genes)
    cells_second = _like_barcodes(genes) and not _like_barcodes(cells)
    if genes_first or cells_second:
        raise DataError(
            f"the matrix is transposed, genes x cells: its cells are called {cells[0]}, its genes {genes[0]}",
            where=where,
            fix="turn it round, so that cells are rows: adata.T.write_h5ad(...) in Python, t(matrix) in R",
        )


def check_no_peaks(genes: pd.Index, where: str) -> None:
    """Refuse genes that are called like stretches of a genome: what counts them has lost their kinds."""
    peaks = genes[np.asarray(genes.str.match(_PEAK), dtype=bool)]
    if len(peaks) > 0.1 * len(genes):
        raise DataError(
            f"{len(peaks):,} of {len(genes):,} features are called like peaks (e.g. {peaks[0]}), not like genes",
            where=where,
            fix="hand over the gene expression of these cells; of both together, the genes alone: "
            f"adata[:, ~adata.var_names.str.match(r'{_PEAK}')].write_h5ad(...)",
        )


def _like_genes(names: pd.Index) -> bool:
    return _share(names, _ENSEMBL) > 0.5 or int(names.isin(_EXPRESSED).sum()) > 1


def _like_barcodes(names: pd.Index) -> bool:
    return _share(names, _BARCODE) > 0.5


def _share(names: pd.Index, pattern: re.Pattern[str]) -> float:
    return float(np.mean([pattern.search(name) is not None for name in names[:1000]]))


def check_finite(X: sparse.csr_matrix, where: str) -> None:
    """Refuse NaN and infinite values."""
    bad = np.flatnonzero(~np.isfinite(X.data)) if X.data.dtype.kind == "f" else np.empty(0, dtype=int)
    if len(bad):
        raise DataError(
            f"{len(bad):,} values are NaN or infinite (first in row {_row_of(X, bad[0]):,})",
            where=where,
            fix="hand over the raw counts; NaN usually comes from an outer join of matrices with different genes "
            "(fill with 0) or from dividing by an empty cell's total",
        )


def check_not_negative(X: sparse.csr_matrix, where: str) -> None:
    """Refuse negative values."""
    if len(X.data) and X.data.min() < 0:
        raise DataError(
            f"the matrix has negative values (smallest {X.data.min():.4g}): these are not counts",
            where=where,
            fix="hand over raw counts; negative values come from scaling, regression or batch correction",
        )


def check_counts(X: sparse.csr_matrix, where: str) -> None:
    """Refuse negative, logged, normalised and other non-integer values."""
    check_not_negative(X, where)
    data = X.data
    if data.dtype.kind == "f":
        fractional = data != np.rint(data)
        if fractional.any():
            _refuse_fractions(X, float(fractional.mean()), where)
    if len(data) and float(data.max()) >= _TOO_LARGE:
        raise DataError(
            f"the largest count is {data.max():.4g}: more than {_TOO_LARGE - 1:,}, so this is hardly a count",
            where=where,
            fix="check how the file was made; if it was converted, hand over the original counts",
        )


def _refuse_fractions(X: sparse.csr_matrix, share: float, where: str) -> None:
    fix = "hand over raw counts (often in layers['counts'] or raw.X: --layer counts, --layer raw)"
    if _is_log1p(X):
        message = (
            f"the matrix is already log-transformed (largest value {X.data.max():.3g}, cells agree after exp(x) - 1)"
        )
    elif _equal_totals(X):
        total = float(np.median(np.asarray(X.sum(axis=1))))
        message = f"the matrix is already normalised: cells have equal totals (about {total:,.4g})"
    else:
        message = f"the matrix is not integer counts: {share:.0%} of its non-zero values have a fractional part"
        fix += "; counts estimated by an aligner, or corrected for ambient RNA, may be rounded first"
    raise DataError(message, where=where, fix=fix)


def _is_log1p(X: sparse.csr_matrix) -> bool:
    """Return whether ``expm1`` gives equal totals, or each cell's values are multiples of that cell's smallest."""
    if X.data.max() > 30:
        return False
    counts = _sample_rows(X)
    counts.data = np.expm1(counts.data.astype(np.float64))
    whole = np.abs(counts.data - np.rint(counts.data)) < 0.01
    return (len(whole) > 0 and whole.mean() > 0.9) or _equal_totals(counts) or _multiples_of_smallest(counts)


def _equal_totals(X: sparse.csr_matrix) -> bool:
    totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
    totals = totals[totals > 0]
    return len(totals) > 1 and float(np.ptp(totals)) <= 1e-3 * float(np.median(totals))


def _multiples_of_smallest(X: sparse.csr_matrix) -> bool:
    """A normalised cell that lost genes has no common total, but its values are still k times its smallest one."""
    agree = []
    for i in range(X.shape[0]):
        row = X.data[X.indptr[i] : X.indptr[i + 1]]
        if len(row) > 1 and row.max() > row.min() > 0:
            ratio = row / row.min()
            agree.append(float(np.abs(ratio - np.rint(ratio)).max()) < 0.01)
    return bool(agree) and float(np.mean(agree)) > 0.9


def _sample_rows(X: sparse.csr_matrix, n: int = 200) -> sparse.csr_matrix:
    rows = np.unique(np.linspace(0, X.shape[0] - 1, min(n, X.shape[0])).astype(int))
    return X[rows].copy()


def check_unique(names: pd.Index, kind: str, where: str) -> None:
    """Refuse duplicate cell or gene names."""
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        examples = ", ".join(map(str, repeated[:3]))
        fix = {
            "cell": "make them unique: adata.obs_names_make_unique(); of samples that share barcodes, put the sample "
            "before the barcode: adata.obs_names = adata.obs[SAMPLE].astype(str) + '_' + adata.obs_names",
            "gene": "use Ensembl IDs as var_names and keep the symbols in var['symbol'], or sum the duplicates; "
            "var_names_make_unique() keeps them as different genes",
        }[kind]
        what = f"{kind} names occur more than once ({count(len(repeated), 'name')}, such as {examples})"
        raise DataError(what, where=where, fix=fix)


def check_labels(values: pd.Series, where: str, field: str = "") -> None:
    """Refuse missing labels (NaN, None, empty text) of a field."""
    missing = values.isna() | (values.astype(str).str.strip() == "")
    if missing.any():
        raise DataError(
            f"{int(missing.sum()):,} of {len(values):,} cells have no value (NaN or empty)",
            where=f"obs[{values.name!r}] of {where}",
            fix="drop those cells, or give them a label of their own such as 'unassigned'"
            if field not in ("donor", "batch")
            else f"drop those cells, or write their {field}; a common word for all of them would count as one {field}",
        )


def check_nested(obs: pd.DataFrame, where: str) -> None:
    """Refuse label levels that do not nest: a finer label belongs to one coarser label.

    Cells without a finer label (:func:`bench.dataset.without_label`) may belong to any; white space around a label does
    not count.
    """
    levels = [level for level in ("cell_type", "subtype", "subcluster") if level in obs]
    obs = obs[levels].apply(lambda values: values.astype(str).str.strip())
    for coarse, fine in zip(levels, levels[1:], strict=False):
        parents = obs[~without_label(obs[fine])].groupby(fine, observed=True)[coarse].nunique()
        if (parents > 1).any():
            name = parents.index[parents > 1][0]
            raise DataError(
                f"{fine} {name!r} occurs under {parents[name]} values of {coarse}: label levels must nest",
                where=f"obs of {where}",
                fix=f"make the names of {fine} unique within their {coarse}, or leave one of the levels out",
            )


def check_no_empty_cells(X: sparse.csr_matrix, names: pd.Index, where: str) -> None:
    """Refuse cells without a single count (zeros are not stored): most methods fail on them, none can tell anything."""
    empty = np.flatnonzero(np.diff(X.indptr) == 0)
    if len(empty):
        raise DataError(
            f"{len(empty):,} cells have no counts at all (e.g. {names[empty[0]]})",
            where=where,
            fix="remove them: scanpy.pp.filter_cells(adata, min_counts=1)",
        )


def as_csr(X: Any, where: str) -> sparse.csr_matrix:
    """Any matrix as ``csr_matrix`` with sorted indices, no explicit zeros and no duplicate entries.

    The original is never changed; a ``csr_matrix`` that is in this form already is handed back as it is.
    """
    if sparse.issparse(X):
        check_structure(X, where)
    if isinstance(X, sparse.csr_matrix) and X.has_canonical_format and X.data.all():
        return X
    if sparse.issparse(X):
        wide = X.dtype.kind in "iub" and not X.has_canonical_format  # the sum of duplicates may not fit otherwise
        matrix = sparse.csr_matrix(X.astype(np.int64) if wide else X, copy=True)
    else:
        dense = np.asarray(X)
        if dense.ndim != 2 or dense.dtype.kind not in "iufb":
            raise DataError(
                f"the matrix has type {dense.dtype} and {dense.ndim} dimensions",
                where=where,
                fix="hand over a numeric cells x genes matrix",
            )
        matrix = sparse.csr_matrix(dense)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def check_structure(X: Any, where: str) -> None:
    """Refuse a CSR or CSC matrix whose indices point outside of it; scipy would read past its arrays without a word."""
    if X.format not in ("csr", "csc"):
        return
    try:
        X.check_format(full_check=True)
    except ValueError as error:
        raise DataError(
            f"the sparse matrix is damaged: {error}",
            where=where,
            fix="copy or download the file again; it was changed or cut on its way",
        ) from error


def as_boolean(values: pd.Series, where: str, left_out: NDArray[np.bool_] | None = None) -> pd.Series:
    """A boolean column, from booleans, 0/1, or text such as ``True``/``False``, ``doublet``/``singlet``.

    Parameters
    ----------
    left_out
        (cells,): cells that are marked as left out. These may be neither, and are false then.
    """
    if values.dtype == bool:
        return values
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip().str.lower()
    neither = text[~text.isin(_TRUE | _FALSE) & (left_out is None or ~left_out)]
    if len(neither):
        n = neither.map(lambda value: repr(value) if value else "missing").value_counts().iloc[:5]
        fix = "write True or False, 1 or 0, or doublet or singlet, in every cell"
        if left_out is not None:
            fix += "; drop cells that are neither (without a hashtag, say), or mark them True in a column `exclude` "
            fix += "(--exclude-key names another)"
        raise DataError(
            f"{len(neither):,} of {count(len(values), 'cell')} {'is' if len(neither) == 1 else 'are'} neither true nor "
            f"false ({', '.join(f'{value}: {k:,}' for value, k in n.items())})",
            where=f"obs[{values.name!r}] of {where}",
            fix=fix,
        )
    return text.isin(_TRUE)


def _row_of(X: sparse.csr_matrix, entry: int) -> int:
    return int(np.searchsorted(X.indptr, entry, side="right")) - 1
