"""Penalised logistic regression of every gene on one design, by the iterations of :mod:`bench.tasks.deg.mast.logistic`.

With the covariates centred and scaled, the prior is diagonal, and a gene enters only through its sums of the design's
columns over the cells that express it; cells with equal covariates are one row with a weight.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit, prange

from bench.tasks.deg.mast.logistic import (
    ITERATIONS,
    KERNEL,
    RESPONSE,
    SCALE_CENTRE,
    SCALE_EFFECT,
    STEPS,
    TOLERANCE,
    WEIGHT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def logistic_fits(design: Array, expressed: Array, sums: Array) -> tuple[Array, Array, Array]:
    """Fit all genes.

    Parameters
    ----------
    design
        Cells x coefficients, of full rank; the first column is the intercept.
    expressed
        Cells that express each gene, (genes,).
    sums
        Of the design's columns over those cells, (genes, coefficients).

    Returns
    -------
    Coefficients (genes, coefficients), their covariance matrices and the deviance; NaN where no cell expresses.
    """
    centre, scale = design.mean(axis=0), _scales(design)
    centre[0], scale[0] = 0.0, 1.0
    rows, counts = np.unique((design - centre) / scale, axis=0, return_counts=True)
    precision = np.full(design.shape[1], SCALE_EFFECT**-2.0)
    precision[0] = SCALE_CENTRE**-2.0
    genes, p = sums.shape
    coef, vcov, deviance = np.full((genes, p), np.nan), np.full((genes, p, p), np.nan), np.full(genes, np.nan)
    standard_sums = (sums - expressed[:, None] * centre) / scale
    rows, weights, positive, standard_sums = (
        np.ascontiguousarray(values, np.float64) for values in (rows, counts, expressed, standard_sums)
    )
    _fit(rows, weights, positive, standard_sums, precision, coef, vcov, deviance)
    back = np.diag(1 / scale)
    back[0, 1:] = -centre[1:] / scale[1:]
    return coef @ back.T, back @ vcov @ back.T, deviance


def _scales(design: Array) -> Array:
    """Gelman's scale of each covariate: its range if it has two values, two standard deviations if more."""
    distinct = [len(np.unique(column)) for column in design.T]
    spread = np.where(np.array(distinct) == 2, np.ptp(design, axis=0), 2 * design.std(axis=0, ddof=1))
    return np.where(spread > 0, spread, 1.0)


@njit(**STEPS)
def _step(rows, weights, beta, precision):
    """Next normal equations without the gene's own sums; sums of ln(1 + exp(-|eta|)), max(eta, 0), max(-eta, 0)."""
    p = len(beta)
    normal, moments, product = np.zeros((p, p)), np.zeros(p), 1.0
    tails, above, below = 0.0, 0.0, 0.0
    for k in range(rows.shape[0]):
        eta = 0.0
        for i in range(p):
            eta += rows[k, i] * beta[i]
        tail = math.exp(-abs(eta))
        inverse = 1 / (1 + tail)
        mean = inverse if eta > 0 else tail * inverse
        if weights[k] == 1:  # one logarithm for many cells: each factor is at most 2
            product *= 1 + tail
            if product > 1e300:
                tails += math.log(product)
                product = 1.0
        else:
            tails += weights[k] * math.log1p(tail)
        above += weights[k] * max(eta, 0.0)
        below += weights[k] * max(-eta, 0.0)
        weight = weights[k] * tail * inverse * inverse
        move = weight * eta - weights[k] * mean
        for i in range(p):
            moments[i] += move * rows[k, i]
            for j in range(i + 1):
                normal[i, j] += weight * rows[k, i] * rows[k, j]
    for i in range(p):
        for j in range(i):
            normal[j, i] = normal[i, j]
        normal[i, i] += precision[i]
    return normal, moments, tails + math.log(product), above, below


@njit(**STEPS)
def _cholesky(matrix):
    """Lower triangular root, in place."""
    p = len(matrix)
    for i in range(p):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = math.sqrt(value) if i == j else value / matrix[j, j]


@njit(**STEPS)
def _solve(root, right, out):
    p = len(root)
    for i in range(p):
        value = right[i]
        for k in range(i):
            value -= root[i, k] * out[k]
        out[i] = value / root[i, i]
    for i in range(p - 1, -1, -1):
        value = out[i]
        for k in range(i + 1, p):
            value -= root[k, i] * out[k]
        out[i] = value / root[i, i]


@njit(**STEPS)
def _converged(rows, weights, expressed, sums, start_sums, precision, start):
    """Coefficients and deviance of a gene, and the root of the last normal matrix but one."""
    p, cells = len(sums), weights.sum()
    root, moments = start.copy(), np.empty(p)
    for i in range(p):
        moments[i] = WEIGHT * RESPONSE * (2 * sums[i] - start_sums[i])
    beta = np.zeros(p)
    deviance = 2 * cells * math.log1p(math.exp(-math.log(3.0)))
    for iteration in range(ITERATIONS):
        _cholesky(root)
        _solve(root, moments, beta)
        previous = deviance
        last = root
        root, moments, tails, above, below = _step(rows, weights, beta, precision)
        # Of the two sides of the likelihood the one with fewer cells, so that large sums do not cancel.
        half = below if 2 * expressed > cells else above
        for i in range(p):
            half -= beta[i] * (sums[i] - start_sums[i] if 2 * expressed > cells else sums[i])
            moments[i] += sums[i]
        deviance = 2 * (tails + half)
        if iteration > 0 and abs(deviance - previous) / (0.1 + abs(deviance)) < TOLERANCE:
            break
    return beta, deviance, last


@njit(
    "void(float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[::1], float64[:, ::1],"
    "float64[:, :, ::1], float64[::1])",
    **KERNEL,
)
def _fit(rows, weights, expressed, sums, precision, coef, vcov, deviance_out):
    genes, p = sums.shape
    start_sums = np.zeros(p)
    start = np.diag(precision)
    for k in range(rows.shape[0]):
        for i in range(p):
            start_sums[i] += weights[k] * rows[k, i]
            for j in range(p):
                start[i, j] += WEIGHT * weights[k] * rows[k, i] * rows[k, j]
    for gene in prange(genes):
        if expressed[gene] == 0:
            continue
        beta, deviance, last = _converged(rows, weights, expressed[gene], sums[gene], start_sums, precision, start)
        coef[gene], deviance_out[gene] = beta, deviance
        unit, column = np.zeros(p), np.empty(p)
        for i in range(p):
            unit[:] = 0
            unit[i] = 1
            _solve(last, unit, column)
            vcov[gene, i] = column
