"""The prior of the variances of all genes that are tested together (empirical Bayes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, gammaln, polygamma

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST, _LARGEST = np.log(0.001), np.log(1e8)
_ITERATIONS = 200


def variance_prior(r: NDArray[np.float64], s: NDArray[np.float64]) -> tuple[float, float]:
    """Most likely scaled inverse chi-squared prior of the residual variances.

    Maximises the marginal likelihood of MAST (Finak et al. 2015, Supplement; lnl of the official
    ``R/ebayes.R``), sum over genes of -lbeta(r/2, a) - r/2 ln b - (r/2 + a) ln(1 + s/(2b)), over a and b >= 0.001, to
    its optimum by damped Newton steps in ln a and ln b.

    Parameters
    ----------
    r
        Residual degrees of freedom of every gene, its expressing cells less one.
    s
        Sum of squares of its expressed values about their mean. Genes without either are left out.

    Returns
    -------
    The prior's variance b/a and degrees of freedom 2a; (1, 2), where the search starts, if no gene tells anything.
    """
    use = (r > 0) & (s > 0)
    if not use.any():
        return 1.0, 2.0
    r, s = r[use], s[use]
    counts = np.bincount(r.astype(np.intp))
    halves = np.flatnonzero(counts) / 2
    counts = counts[counts > 0].astype(float)
    state = np.log([max((s / r).mean(), 1e-3), 1.0])[::-1]
    state = np.clip(state, _SMALLEST, _LARGEST)
    value, gradient, hessian = _likelihood(state, r, s, halves, counts)
    damping = 0.0
    for _ in range(_ITERATIONS):
        held = ((state <= _SMALLEST) & (gradient < 0)) | ((state >= _LARGEST) & (gradient > 0))
        free = np.flatnonzero(~held)
        if not len(free) or np.abs(gradient[free]).max() < 1e-10 * r.sum():
            break
        curvature = -hessian[np.ix_(free, free)]
        lowest = np.linalg.eigvalsh(curvature)[0]
        shift = max(0.0, 1e-6 * np.abs(curvature).max() - lowest) + damping
        step = np.zeros(2)
        step[free] = np.linalg.solve(curvature + shift * np.eye(len(free)), gradient[free])
        new = np.clip(state + np.clip(step, -2, 2), _SMALLEST, _LARGEST)
        proposal = _likelihood(new, r, s, halves, counts)
        if proposal[0] >= value - 1e-12 * abs(value):
            moved = np.abs(new - state).max()
            state, (value, gradient, hessian) = new, proposal
            damping /= 10
            if moved < 1e-10:
                break
        else:
            damping = max(10 * damping, 1e-3 * np.abs(curvature).max())
    a, b = np.exp(state)
    return float(b / a), float(2 * a)


def _likelihood(
    state: NDArray[np.float64], r: NDArray[np.float64], s: NDArray[np.float64], halves: NDArray, counts: NDArray
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Value, gradient and Hessian at (ln a, ln b); ``halves`` are the distinct r/2, ``counts`` their genes."""
    a, b = np.exp(state)
    n = counts.sum()
    share = s / (2 * b + s)  # its complement 2b / (2b + s)
    log_ratio = np.log1p(s / (2 * b))
    weight = r / 2 + a
    value = counts @ (gammaln(halves + a) - gammaln(halves)) - n * gammaln(a)
    value += -(r.sum() / 2) * state[1] - weight @ log_ratio
    d_a = counts @ digamma(halves + a) - n * digamma(a) - log_ratio.sum()
    d_b = -r.sum() / 2 + weight @ share
    d_aa = counts @ polygamma(1, halves + a) - n * polygamma(1, a)
    d_bb = -(weight @ (share * (1 - share)))
    cross = a * share.sum()
    return value, np.array([a * d_a, d_b]), np.array([[a * a * d_aa + a * d_a, cross], [cross, d_bb]])
