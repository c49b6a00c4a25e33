"""The rank-sum test of every gene, from the values that are not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit, prange
from scipy.special import erfc

from bench.tasks.deg.mast.logistic import KERNEL

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse


def rank_sum_p(expression: sparse.csc_matrix, is_case: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Two-sided p of the Wilcoxon rank-sum test: normal approximation, corrected for ties and continuity.

    Parameters
    ----------
    expression
        Cells x genes; the stored entries are positive, the others zero.
    is_case
        Group of each cell.

    Returns
    -------
    (genes,); 1 where all values are equal.
    """
    n, n_case = len(is_case), int(is_case.sum())
    rank_sums, ties = np.empty(expression.shape[1]), np.empty(expression.shape[1])
    indptr, indices = expression.indptr.astype(np.int64), expression.indices.astype(np.int32, copy=False)
    _ranks(indptr, indices, expression.data.astype(np.float64, copy=False), is_case, rank_sums, ties)
    distance = np.abs(rank_sums - n_case * (n + 1) / 2)
    variance = n_case * (n - n_case) / 12 * (n + 1 - ties / (n * (n - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (distance - 0.5) / np.sqrt(variance)
    return np.where(variance > 0, np.minimum(1.0, erfc(z / np.sqrt(2))), 1.0)


@njit("void(int64[::1], int32[::1], float64[::1], boolean[::1], float64[::1], float64[::1])", **KERNEL)
def _ranks(indptr, indices, data, is_case, rank_sums, ties):
    """Sum of the ranks of the case cells, and sum of t^3 - t over sets of t equal values; the zeros are one set."""
    cells = len(is_case)
    for gene in prange(len(indptr) - 1):
        values = data[indptr[gene] : indptr[gene + 1]]
        rows = indices[indptr[gene] : indptr[gene + 1]]
        order = np.argsort(values)
        zeros = cells - len(values)
        case_zeros = 0
        for cell in range(cells):
            case_zeros += is_case[cell]
        for row in rows:
            case_zeros -= is_case[row]
        total = case_zeros * (zeros + 1) / 2
        tied = float(zeros) ** 3 - zeros
        first = 0
        while first < len(order):
            last = first
            while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
                last += 1
            rank = zeros + (first + last) / 2 + 1
            for k in range(first, last + 1):
                total += rank * is_case[rows[order[k]]]
            t = float(last - first + 1)
            tied += t**3 - t
            first = last + 1
        rank_sums[gene], ties[gene] = total, tied
