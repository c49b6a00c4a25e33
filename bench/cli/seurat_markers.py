"""Seurat's own FindMarkers in R, with the signature of ours: the engine ``r`` of ``bench deg``."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import DataError, UnavailableError
from bench.method import Context
from bench.methods._shared.r_bridge import Argument, call_r
from bench.tasks.deg.find_markers import COLUMNS, FILTERS, Seurat, Test, check_groups, coded, left_out, ranked
from bench.tasks.deg.mast.zlm import design_matrix, independent_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_INSTALLED = """
function(counts, seed, threads, package) list(found = requireNamespace(package, quietly = TRUE))
"""
#: The methods for matrices, since the one for Seurat objects would normalise again or average logs. All that Seurat 5
#: changed is given: filters, fold change, and `exact`, for where neither presto nor limma computes the rank-sum test.
_CODE = """
function(counts, seed, threads, n_case, test, version, min_pct, threshold, latent, n_latent) {
  suppressPackageStartupMessages(library(Seurat))
  case <- colnames(counts)[seq_len(n_case)]
  control <- colnames(counts)[-seq_len(n_case)]
  average <- if (version == 5) function(x) log2((Matrix::rowSums(expm1(x)) + 1) / ncol(x))
             else function(x) log2(Matrix::rowMeans(expm1(x)) + 1)
  change <- FoldChange(counts, cells.1 = case, cells.2 = control, mean.fxn = average, fc.name = "avg_log2FC",
                       features = rownames(counts))
  given <- list(counts, slot = "data", cells.1 = case, cells.2 = control, test.use = test, fc.results = change,
                min.pct = min_pct, logfc.threshold = threshold, min.cells.group = 3, verbose = FALSE)
  if (n_latent > 0) given$latent.vars <- data.frame(matrix(latent, ncol = n_latent), row.names = colnames(counts))
  if (test == "wilcox") given$exact <- FALSE
  found <- do.call(FindMarkers, given)
  list(gene = as.integer(sub("g", "", rownames(found))), avg_log2FC = found$avg_log2FC,
       p_val = as.numeric(found$p_val), p_val_adj = as.numeric(found$p_val_adj), pct_1 = found$pct.1,
       pct_2 = found$pct.2, engine = paste("Seurat", packageVersion("Seurat"), "on R", getRversion()))
}
"""


def find_markers_r(
    X: Any,
    genes: Sequence[str] | pd.Index,
    case: NDArray[np.intp],
    control: NDArray[np.intp],
    *,
    test: Test = "mast",
    covariates: pd.DataFrame | None = None,
    seurat: Seurat = 4,
    min_pct: float | None = None,
    logfc_threshold: float | None = None,
) -> pd.DataFrame:
    """See :func:`bench.tasks.deg.find_markers.find_markers`; any version of Seurat that is installed serves for both.

    ``attrs["engine"]`` names the versions of Seurat and R.

    Raises
    ------
    UnavailableError
        If R, Seurat or, for ``mast``, MAST is not installed.
    """
    if covariates is not None and test == "wilcox":
        raise DataError("the test 'wilcox' takes no covariates", fix="use the test 'mast' or leave them out")
    check_groups(case, control)
    if importlib.util.find_spec("rpy2") is None:
        raise UnavailableError("rpy2 is missing", where="--engine r", fix="pip install 'scmamba-bench[r]'")
    package = "MAST" if test == "mast" else "Seurat"
    members = np.concatenate([case, control])
    rows = sparse.csr_matrix(X[members], dtype=np.float64)
    latent = np.empty((len(members), 0))
    dropped: tuple[str, ...] = ()
    if covariates is not None:
        latent, dropped = latent_columns(covariates.iloc[members], np.arange(len(members)) < len(case))
    if not call_r(_INSTALLED, rows[:1], Context(seed=0), {"package": package})["found"][0]:
        source = "BiocManager::install('MAST')" if test == "mast" else "install.packages('Seurat')"
        raise UnavailableError(f"R has no package {package}", where="--engine r", fix=f"in R: {source}")
    default_pct, default_change = FILTERS[seurat]
    arguments: dict[str, Argument] = {
        "n_case": len(case),
        "test": {"mast": "MAST", "wilcox": "wilcox"}.get(test, test),
        "version": seurat,
        "min_pct": default_pct if min_pct is None else min_pct,
        "threshold": default_change if logfc_threshold is None else logfc_threshold,
        "latent": latent,
        "n_latent": latent.shape[1],
    }
    result = call_r(_CODE, rows, Context(seed=0), arguments)
    table = pd.DataFrame({name: result[name] for name in COLUMNS}).sort_values("gene")
    table["gene"] = np.asarray(genes)[table["gene"].to_numpy(dtype=int) - 1]
    table = ranked(table, seurat)
    table.attrs |= {"dropped": dropped, "engine": str(result["engine"][0])}
    return table


def latent_columns(covariates: pd.DataFrame, is_case: NDArray[np.bool_]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Columns of the covariates for Seurat's ``latent.vars``, those that can be estimated; and who was left out.

    Levels are given as columns of 0 and 1, in which R's own coding of a factor would turn them.
    """
    obs, formula = coded(covariates)
    matrix = design_matrix(obs.assign(case=is_case.astype(float)), f"{formula} + case")
    full, names = np.asarray(matrix, dtype=np.float64), list(matrix.model_spec.column_names)
    independent = independent_columns(full)
    dropped = left_out(covariates, is_case, [name for j, name in enumerate(names) if j not in independent])
    return full[:, [j for j in independent if names[j] not in ("Intercept", "case")]], dropped
