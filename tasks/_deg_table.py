"""Differential expression within every cell type of a study: what ``bench deg`` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import BenchError, DataError, UnavailableError
from bench.tasks._find_markers import COLUMNS, Seurat, Test, find_markers

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

#: Covariate that is computed where ``obs`` lacks it: z-score of the number of genes a cell expresses (MAST's CDR).
DETECTION_RATE = "cngeneson"
_CP10K = 1e4
#: ln(1 + CP10K) of a gene that has all counts of a cell is 9.2.
_LARGEST_LOG = 20.0


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
    values = matrix.data
    if not np.isfinite(values).all() or (values < 0).any():
        raise DataError("expression that is negative or not finite", fix="name the layer of the counts with --layer")
    whole = bool((values == np.floor(values)).all())
    if normalized:
        if whole or values.max(initial=0) > _LARGEST_LOG:
            raise DataError("these are not logarithms of normalised counts", fix="leave out --normalized")
        return matrix
    if not whole:
        raise DataError(
            "these are not raw counts: some are not whole numbers",
            fix="name the layer of the counts with --layer, or say --normalized if they are ln(1 + counts per 10,000)",
        )
    totals = np.repeat(np.asarray(matrix.sum(axis=1)).ravel(), np.diff(matrix.indptr))
    logged = np.log1p(values / np.where(totals > 0, totals, 1) * _CP10K)
    return sparse.csr_matrix((logged, matrix.indices, matrix.indptr), shape=matrix.shape)


def deg_by_type(
    adata: AnnData,
    X: sparse.csr_matrix,
    *,
    group: str,
    case: str,
    control: str,
    by: str | None = None,
    covariates: Sequence[str] = (),
    test: Test = "mast",
    seurat: Seurat = 4,
    min_pct: float | None = None,
    logfc_threshold: float | None = None,
    find: Callable[..., pd.DataFrame] = find_markers,
    progress: Callable[[float, str], None] = lambda share, cell_type: None,
) -> Iterator[Tested]:
    """Test case against control cells within each value of ``obs[by]``, one after the other.

    ``X`` is the expression of :func:`log_normalised`; the rest is as in :func:`find_markers`, in whose place
    ``find`` may do the work. ``progress`` is told the share of the cells that are done and the type that is next.
    Cells without a type or of other groups are left out.

    Raises
    ------
    DataError
        If a column or a group is not in the data.
    """
    groups, types = _column(adata.obs, group), None if by is None else _column(adata.obs, by)
    for name in (case, control):
        if not (groups == name).any():
            known = ", ".join(sorted(set(groups.dropna()))[:10])
            raise DataError(f"no cell has {group} {name!r}", where=f"obs[{group!r}]", fix=f"its values: {known}")
    if case == control:
        raise DataError(f"case and control are both {case!r}", fix="name two values")
    for name in covariates:
        if name != DETECTION_RATE:
            _column(adata.obs, name)
    arms = [(groups == name).to_numpy() for name in (case, control)]
    done, total = 0, max(1, int(sum((arm if types is None else arm & types.notna()).sum() for arm in arms)))
    for cell_type in ["all"] if types is None else sorted(set(types.dropna())):
        inside = np.ones(len(groups), bool) if types is None else (types == cell_type).to_numpy()
        rows = [np.flatnonzero(inside & arm) for arm in arms]
        counts = (str(cell_type), len(rows[0]), len(rows[1]))
        progress(done / total, str(cell_type))
        done += len(rows[0]) + len(rows[1])
        try:
            table = find(
                X,
                adata.var_names,
                *rows,
                test=test,
                covariates=_covariates(adata.obs, X, covariates, np.concatenate(rows)) if covariates else None,
                seurat=seurat,
                min_pct=min_pct,
                logfc_threshold=logfc_threshold,
            )
        except UnavailableError:
            raise
        except BenchError as error:
            yield Tested(*counts, None, error.what)
            continue
        dropped = table.attrs.get("dropped", ())
        message = f"not estimable beside the others, left out: {', '.join(dropped)}" if dropped else ""
        table.insert(0, "cell_type", cell_type)
        yield Tested(*counts, table, message)


def joined(results: Sequence[Tested]) -> pd.DataFrame:
    """One table of all types that were tested."""
    tables = [result.table for result in results if result.table is not None]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["cell_type", *COLUMNS])


def _column(obs: pd.DataFrame, name: str) -> pd.Series:
    if name not in obs:
        known = ", ".join(map(str, obs.columns)) or "none"
        raise DataError(f"the cells have no column {name!r}", where="obs", fix=f"its columns: {known}")
    return obs[name].astype(object).where(obs[name].notna()).map(str, na_action="ignore")


def _covariates(obs: pd.DataFrame, X: sparse.csr_matrix, names: Sequence[str], rows: NDArray[np.intp]) -> pd.DataFrame:
    """Covariates of all cells; those of ``rows`` count, text and categories with the levels that occur there."""
    found = {}
    for name in names:
        if name in obs:
            values = obs[name]
            numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
            found[name] = values if numeric else values.astype(str).where(values.notna())
        else:
            genes = X.getnnz(axis=1).astype(float)
            spread = genes[rows].std(ddof=1) if len(rows) > 1 else 0.0
            found[name] = pd.Series((genes - genes[rows].mean()) / (spread or 1.0), index=obs.index)
    return pd.DataFrame(found)
