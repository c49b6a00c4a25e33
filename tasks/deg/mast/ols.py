"""Least squares of every gene on one design, over the cells that express it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit, prange

from bench.tasks.deg.mast.logistic import KERNEL, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    Array = NDArray[np.float64]

#: A column is aliased where less than this share of its length is left beside the earlier columns (R's ``lm.fit``).
_ALIASED = 1e-7


def least_squares(design: Array, expression: sparse.csc_matrix) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Fit all genes.

    Parameters
    ----------
    design
        Cells x coefficients.
    expression
        Cells x genes; only its stored entries, all positive, take part.

    Returns
    -------
    Coefficients (genes, coefficients), the inverses of their X'X, the residual sums of squares and the ranks. What
    cannot be estimated from the cells that express a gene is NaN.
    """
    genes, p = expression.shape[1], design.shape[1]
    coef, inverse = np.full((genes, p), np.nan), np.full((genes, p, p), np.nan)
    rss, rank = np.zeros(genes), np.zeros(genes, dtype=np.intp)
    columns = np.ascontiguousarray(design.T)
    indptr, indices = expression.indptr.astype(np.int64), expression.indices.astype(np.int32, copy=False)
    _fit(columns, indptr, indices, expression.data.astype(np.float64, copy=False), coef, inverse, rss, rank)
    return coef, inverse, rss, rank


@njit(**STEPS)
def _dot(a, b):
    value = 0.0
    for k in range(len(a)):
        value += a[k] * b[k]
    return value


@njit(**STEPS)
def _back_substitute(root, right, rank):
    for i in range(rank - 1, -1, -1):
        for k in range(i + 1, rank):
            right[i] -= root[i, k] * right[k]
        right[i] /= root[i, i]


@njit(
    "void(float64[:, ::1], int64[::1], int32[::1], float64[::1], float64[:, ::1], float64[:, :, ::1], float64[::1],"
    "int64[::1])",
    **KERNEL,
)
def _fit(columns, indptr, indices, data, coef, inverse, rss, rank_out):
    p = columns.shape[0]
    for gene in prange(len(indptr) - 1):
        first, n = indptr[gene], indptr[gene + 1] - indptr[gene]
        q, root = np.empty((p, n)), np.zeros((p, p))
        pivots, rank = np.empty(p, dtype=np.intp), 0
        y = data[first : first + n].copy()
        for j in range(p):
            v = q[rank]
            for k in range(n):
                v[k] = columns[j, indices[first + k]]
            length = math.sqrt(_dot(v, v))
            root[:, rank] = 0
            for _ in range(2):  # the second pass removes what rounding left
                for i in range(rank):
                    share = _dot(q[i], v)
                    root[i, rank] += share
                    v -= share * q[i]
            residual = math.sqrt(_dot(v, v))
            if residual > _ALIASED * length:
                v /= residual
                root[rank, rank] = residual
                pivots[rank] = j
                rank += 1
        beta = np.empty(p)
        for i in range(rank):
            beta[i] = _dot(q[i], y)
            y -= beta[i] * q[i]
        rss[gene], rank_out[gene] = _dot(y, y), rank
        _back_substitute(root, beta, rank)
        for i in range(rank):
            coef[gene, pivots[i]] = beta[i]
        unit = np.zeros((p, p))  # row i: column i of the inverse of the root
        for i in range(rank):
            unit[i, i] = 1
            _back_substitute(root, unit[i], rank)
        for i in range(rank):
            for j in range(rank):
                inverse[gene, pivots[i], pivots[j]] = _dot(unit[:, i], unit[:, j])
