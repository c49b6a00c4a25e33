"""Differential expression within every cell type of a study: what ``bench deg`` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import BenchError, DataError, UnavailableError
from bench.normalise import CP10K
from bench.tasks.deg.cells import check_covariates, compared, covariates_of
from bench.tasks.deg.find_markers import COLUMNS, Seurat, Test, find_markers

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

#: Cells whose totals tell how values were normalised, and how far single precision takes these from 10,000.
_LOOKED_AT, _ROUNDING = 200, 1e-2


@dataclass(frozen=True)
class Tested:
    """Outcome of one cell type.

    Parameters
    ----------
    table
        Columns ``cell_type`` and those of :func:`find_markers`; None if the type could not be tested.
    n_case, n_control
        Its cells.
    message
        Why it could not be tested, or what was left out of the model; empty if nothing is to be said.
    """

    cell_type: str
    n_case: int
    n_control: int
    table: pd.DataFrame | None
    message: str = ""


def log_normalised(X: Any, *, normalized: bool = False) -> sparse.csr_matrix:
    """ln(1 + CP10K) of raw counts, in double precision as Seurat has it; values given as ``normalized`` are checked.

    Raises
    ------
    DataError
        If values are negative or not finite, or are not what they are said to be.
    """
    matrix = sparse.csr_matrix(X, dtype=np.float64)
    if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
        raise DataError("expression that is negative or not finite", fix="name the layer of the counts with --layer")
    if not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    values = matrix.data
    whole = bool((values == np.floor(values)).all())
    if normalized:
        if whole:
            raise DataError("these are not logarithms: all values are whole numbers", fix="leave out --normalized")
        _check_cp10k(matrix)
        return matrix
    if not whole:
        raise DataError(
            "these are not raw counts: some are not whole numbers",
            fix="name the layer of the counts with --layer, or say --normalized if they are ln(1 + counts per 10,000)",
        )
    totals = np.repeat(np.asarray(matrix.sum(axis=1)).ravel(), np.diff(matrix.indptr))
    logged = np.log1p(values / totals * CP10K)
    return sparse.csr_matrix((logged, matrix.indices, matrix.indptr), shape=matrix.shape)


def _check_cp10k(matrix: sparse.csr_matrix) -> None:
    """Refuse logarithms to another base, or of counts per another total.

    The totals of cells tell: all are 10,000, or less and unequal where genes were left out afterwards.
    """
    rows = matrix[np.unique(np.linspace(0, matrix.shape[0] - 1, min(_LOOKED_AT, matrix.shape[0])).astype(int))]
    natural = _totals(rows, np.e)
    middle = float(np.median(natural)) if len(natural) else CP10K
    if abs(middle / CP10K - 1) < _ROUNDING:
        return
    sum_of_cells = f"about {middle:,.0f} after exp(x) - 1" if not middle < 2 * CP10K else ""
    counts = np.expm1(rows.data[rows.data < np.log(CP10K)])
    if len(counts) and np.abs(counts - np.rint(counts)).max() < 1e-3:
        sum_of_cells = f"{natural.min():,.0f} to {natural.max():,.0f} counts after exp(x) - 1, which nobody normalised"
    for base, how in ((np.e, "exp(x)"), (2.0, "2^x"), (10.0, "10^x")):
        totals = _totals(rows, base)
        if len(totals) > 1 and np.ptp(totals) <= 1e-3 * np.median(totals):
            sum_of_cells = f"{np.median(totals):,.0f} after {how} - 1"
            break
    if sum_of_cells:
        raise DataError(
            f"these are not ln(1 + counts per 10,000): cells sum to {sum_of_cells}",
            fix="name the layer of the counts with --layer and leave out --normalized, or write these logarithms: "
            "scanpy.pp.normalize_total(adata, target_sum=1e4); scanpy.pp.log1p(adata)",
        )


def _totals(rows: sparse.csr_matrix, base: float) -> NDArray[np.float64]:
    """Sums of what logarithms to a base were taken of, of the cells that have any."""
    powers = rows.copy()
    with np.errstate(over="ignore"):
        powers.data = np.expm1(rows.data * np.log(base))
    totals = np.asarray(powers.sum(axis=1)).ravel()
    return totals[totals > 0]


def deg_by_type(
    adata: AnnData,
    X: sparse.csr_matrix,
    *,
    group: str,
    case: str,
    control: str,
    by: str | None = None,
    covariates: Sequence[str] = (),
    test: Test | str = "mast",
    seurat: Seurat = 4,
    min_pct: float | None = None,
    logfc_threshold: float | None = None,
    find: Callable[..., pd.DataFrame] = find_markers,
    progress: Callable[[float, str], None] = lambda share, cell_type: None,
) -> Iterator[Tested]:
    """Test case against control cells within each value of ``obs[by]``, one after the other.

    ``X`` is what ``find`` takes, for :func:`find_markers` the expression of :func:`log_normalised`; the rest is as in
    that function, in whose place another may do the work. ``progress`` is told the share of the cells that are done
    and the type that is next.
    Cells without a type or of other groups are left out.

    Raises
    ------
    DataError
        If a column or a group is not in the data, or a covariate has gaps.
    """
    comparison = compared(adata.obs, group=group, case=case, control=control, by=by)
    check_covariates(adata.obs, covariates, comparison.cells)
    types, total, done = comparison.types, max(1, int(comparison.cells.sum())), 0
    for cell_type in ["all"] if types is None else sorted(set(types.dropna())):
        inside = np.ones(adata.n_obs, bool) if types is None else (types == cell_type).to_numpy(dtype=bool)
        rows = [np.flatnonzero(inside & arm) for arm in comparison.arms]
        counts = (str(cell_type), len(rows[0]), len(rows[1]))
        progress(done / total, str(cell_type))
        done += len(rows[0]) + len(rows[1])
        beside = covariates_of(adata.obs, X, covariates, np.concatenate(rows)) if covariates else None
        try:
            table = find(
                X,
                adata.var_names,
                *rows,
                test=test,
                covariates=beside,
                seurat=seurat,
                min_pct=min_pct,
                logfc_threshold=logfc_threshold,
            )
        except UnavailableError:
            raise
        except BenchError as error:
            yield Tested(*counts, None, "; ".join(filter(None, [error.what, error.fix])))
            continue
        message = table.attrs.get("message") or _model_message(
            table.attrs.get("dropped", ()), beside, np.concatenate(rows)
        )
        table.insert(0, "cell_type", cell_type)
        yield Tested(*counts, table, message)


def _model_message(dropped: Sequence[str], covariates: pd.DataFrame | None, rows: NDArray[np.intp]) -> str:
    """Say what was left out of the model of these cells, and why."""
    if covariates is None:
        return ""
    same = [name for name in dropped if name in covariates and covariates[name].iloc[rows].nunique() == 1]
    others = [name for name in dropped if name not in same]
    parts = [f"not estimable beside the others, left out: {', '.join(others)}"] if others else []
    return "; ".join([*parts, *([f"the same in all cells, left out: {', '.join(same)}"] if same else [])])


def joined(results: Sequence[Tested]) -> pd.DataFrame:
    """One table of all types that were tested."""
    tables = [result.table for result in results if result.table is not None]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["cell_type", *COLUMNS])
