"""Seurat's own FindMarkers in R, with the signature of ours: the engine ``r`` of ``bench deg``."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import BenchError, UnavailableError
from bench.method import Context
from bench.methods._r import Argument, call_r
from bench.tasks._find_markers import COLUMNS, FILTERS, Seurat, Test, check_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_INSTALLED = """
function(counts, seed, threads, package) list(found = requireNamespace(package, quietly = TRUE))
"""
#: The methods for matrices, since the one for Seurat objects would normalise again or average logs.
_CODE = """
function(counts, seed, threads, n_case, test, extra, min_pct, threshold) {
  suppressPackageStartupMessages(library(Seurat))
  case <- colnames(counts)[seq_len(n_case)]
  control <- colnames(counts)[-seq_len(n_case)]
  average <- function(x) log2((rowSums(expm1(x)) + extra) / ncol(x) + (1 - extra))
  change <- FoldChange(counts, cells.1 = case, cells.2 = control, mean.fxn = average, fc.name = "avg_log2FC",
                       features = rownames(counts))
  found <- FindMarkers(counts, slot = "data", cells.1 = case, cells.2 = control, test.use = test, fc.results = change,
                       min.pct = min_pct, logfc.threshold = threshold, verbose = FALSE)
  list(gene = as.integer(sub("g", "", rownames(found))), p_val = found$p_val, avg_log2FC = found$avg_log2FC,
       pct_1 = found$pct.1, pct_2 = found$pct.2, p_val_adj = found$p_val_adj)
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
    """See :func:`bench.tasks._find_markers.find_markers`; the version installed does the test, ``seurat`` the rest.

    Raises
    ------
    UnavailableError
        If R, Seurat or, for ``mast``, MAST is not installed.
    """
    if covariates is not None:
        raise BenchError("the engine 'r' takes no covariates", where="--covariates", fix="use the engine 'native'")
    check_groups(case, control)
    if importlib.util.find_spec("rpy2") is None:
        raise UnavailableError("rpy2 is missing", where="--engine r", fix="pip install 'scmamba-bench[r]'")
    package = "MAST" if test == "mast" else "Seurat"
    rows = sparse.csr_matrix(X[np.concatenate([case, control])], dtype=np.float64)
    if not call_r(_INSTALLED, rows[:1], Context(seed=0), {"package": package})["found"][0]:
        source = "BiocManager::install('MAST')" if test == "mast" else "install.packages('Seurat')"
        raise UnavailableError(f"R has no package {package}", where="--engine r", fix=f"in R: {source}")
    default_pct, default_change = FILTERS[seurat]
    given: dict[str, Argument] = {
        "n_case": len(case),
        "test": {"mast": "MAST", "wilcox": "wilcox"}[test],
        "extra": 1.0 if seurat == 5 else 0.0,
        "min_pct": default_pct if min_pct is None else min_pct,
        "threshold": default_change if logfc_threshold is None else logfc_threshold,
    }
    found = call_r(_CODE, rows, Context(seed=0), given)
    found["gene"] = np.asarray(genes)[found["gene"].astype(int) - 1]
    return pd.DataFrame({name: found[name] for name in COLUMNS})
