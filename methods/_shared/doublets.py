"""Parts of doublet tools' wrappers: the rate an experimenter would state, calls from it, too small libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import DataError, NotApplicableError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.problem import Cells


def expected_rate(cells: Cells) -> float:
    """The doublet rate the experimenter states for this library (``obs["expected_doublet_rate"]``, constant)."""
    if "expected_doublet_rate" not in cells.obs:
        raise DataError("no expected doublet rate", where="obs", fix="give obs a column 'expected_doublet_rate'")
    return float(cells.obs["expected_doublet_rate"].iloc[0])


def call_top(score: np.ndarray, rate: float) -> np.ndarray:
    """Call the ``round(rate * cells)`` highest scores; ties go to earlier cells, NaN is never called."""
    n = min(round(rate * len(score)), int((~np.isnan(score)).sum()))
    call = np.zeros(len(score), bool)
    call[np.argsort(-score, kind="stable")[:n]] = True
    return call


def require(tool: str, *, cells: int, of_cells: int, genes: int = 1, of_genes: int = 1) -> None:
    """Stop with a reason where the library has fewer usable cells or genes than ``tool`` can work with."""
    if of_cells < cells:
        raise NotApplicableError(f"{tool} needs at least {cells} cells in a library, got {of_cells}")
    if of_genes < genes:
        raise NotApplicableError(f"{tool} needs at least {genes} detected genes in a library, got {of_genes}")


def explain_if_tiny(tool: str, X: csr_matrix, error: Exception) -> None:
    """Turn a tool's obscure error on a tiny library into a reason; on any other library do nothing."""
    genes = len(np.unique(X.indices))
    if X.shape[0] < 100 or genes < 200:
        raise NotApplicableError(f"{tool} stops on {X.shape[0]} cells x {genes} detected genes: {error}") from error
