"""The prior of the variances of all genes that are tested together (empirical Bayes)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit, prange

from bench.tasks.deg.mast.logistic import KERNEL, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST, _LARGEST = math.log(0.001), math.log(1e8)
_ITERATIONS = 200
#: Where the asymptotic series of the gamma function's logarithm are exact to double precision.
_FAR = 10.0


def variance_prior(r: NDArray[np.float64], s: NDArray[np.float64]) -> tuple[float, float]:
    """Prior of one set of genes, see :func:`variance_priors`."""
    variance, df = variance_priors(np.array([0, len(r)]), r, s)[0]
    return float(variance), float(df)


def variance_priors(ends: NDArray[np.int64], r: NDArray[np.float64], s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Most likely scaled inverse chi-squared prior of the residual variances, of many sets of genes.

    Maximises the marginal likelihood of MAST (Finak et al. 2015, Supplement; lnl of the official
    ``R/ebayes.R``), sum over genes of -lbeta(r/2, a) - r/2 ln b - (r/2 + a) ln(1 + s/(2b)), over a and b >= 0.001, to
    its optimum by damped Newton steps in ln a and ln b, from the estimate by moments of ln(s/r) (Smyth 2004).

    Parameters
    ----------
    ends
        The genes of set ``i`` are those from ``ends[i]`` to ``ends[i + 1]``.
    r
        Residual degrees of freedom of every gene, its expressing cells less one.
    s
        Sum of squares of its expressed values about their mean. Genes without either are left out.

    Returns
    -------
    (sets, 2): the prior's variance b/a and degrees of freedom 2a; (1, 2), where MAST starts, if no gene tells anything.
    """
    out = np.empty((len(ends) - 1, 2))
    _fit(ends.astype(np.int64), np.ascontiguousarray(r, np.float64), np.ascontiguousarray(s, np.float64), out)
    return out


@njit(**STEPS)
def log_gamma(z):
    """Logarithm of the gamma function and its first two derivatives."""
    product, first, second = 1.0, 0.0, 0.0
    while z < _FAR:
        product *= z
        first -= 1 / z
        second += 1 / (z * z)
        z += 1
    x = 1 / z
    y = x * x
    log = math.log(z)
    value = x * (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * 691 / 360360)))))
    value += (z - 0.5) * log - z + 0.5 * math.log(2 * math.pi)
    first += log - x / 2
    first -= y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
    second += x + y / 2
    second += x * y * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * (5 / 66 - y * 691 / 2730)))))
    return value - (math.log(product) if product != 1 else 0.0), first, second


@njit(**STEPS)
def _likelihood(log_a, log_b, r, s):
    """Value, gradient and Hessian (aa, ab, bb) at (ln a, ln b)."""
    a, b = math.exp(log_a), math.exp(log_b)
    value_a, first_a, second_a = log_gamma(a)
    value, d_a, d_b, d_aa, d_ab, d_bb = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    last = -1.0
    value_h, first_h, second_h = 0.0, 0.0, 0.0
    for g in range(len(r)):
        if r[g] <= 0 or s[g] <= 0:
            continue
        if r[g] != last:  # genes expressed everywhere follow one another
            last = r[g]
            value_h, first_h, second_h = log_gamma(last / 2 + a)
            value_h -= log_gamma(last / 2)[0] + value_a
            first_h -= first_a
            second_h -= second_a
        weight = last / 2 + a
        share = s[g] / (2 * b + s[g])
        log_ratio = math.log1p(s[g] / (2 * b))
        value += value_h - last / 2 * log_b - weight * log_ratio
        d_a += first_h - log_ratio
        d_b += weight * share - last / 2
        d_aa += second_h
        d_ab += share
        d_bb -= weight * share * (1 - share)
    return value, a * d_a, d_b, a * a * d_aa + a * d_a, a * d_ab, d_bb


@njit(**STEPS)
def _moments(r, s):
    """Logarithms of a and b from mean and variance of ln(s/r); and the sum of the degrees of freedom."""
    n, freedom, mean, squares, noise = 0, 0.0, 0.0, 0.0, 0.0
    for g in range(len(r)):
        if r[g] > 0 and s[g] > 0:
            _, first, second = log_gamma(r[g] / 2)
            centred = math.log(s[g] / 2) - first
            n += 1
            freedom += r[g]
            step = centred - mean
            mean += step / n
            squares += step * (centred - mean)
            noise += second
    if not n:
        return 0.0, 0.0, 0.0
    excess = (squares - noise) / n  # trigamma(a), about 1/a + 1/(2 a^2)
    a = (1 + math.sqrt(1 + 2 * excess)) / (2 * excess) if excess > 1e-3 else 1e3
    return math.log(a), mean + log_gamma(a)[1], freedom


@njit(**STEPS)
def _most_likely(x, y, freedom, r, s):
    """Logarithms of a and b, by damped Newton steps from ``x`` and ``y`` within the bounds."""
    x, y = min(max(x, _SMALLEST), _LARGEST), min(max(y, _SMALLEST), _LARGEST)
    value, gx, gy, hxx, hxy, hyy = _likelihood(x, y, r, s)
    damping = 0.0
    for _ in range(_ITERATIONS):
        x_free = not ((x <= _SMALLEST and gx < 0) or (x >= _LARGEST and gx > 0))
        y_free = not ((y <= _SMALLEST and gy < 0) or (y >= _LARGEST and gy > 0))
        steepest = max(abs(gx) if x_free else 0.0, abs(gy) if y_free else 0.0)
        if steepest < 1e-10 * freedom:
            break
        # Curvature of what may move; what may not has a step of 0.
        cxx, cyy, cxy = -hxx if x_free else 1.0, -hyy if y_free else 1.0, -hxy if x_free and y_free else 0.0
        largest = max(abs(cxx), abs(cyy), abs(cxy))
        lowest = (cxx + cyy) / 2 - math.hypot((cxx - cyy) / 2, cxy)
        shift = max(0.0, 1e-6 * largest - lowest) + damping
        cxx, cyy = cxx + shift, cyy + shift
        det = cxx * cyy - cxy * cxy
        mx, my = gx if x_free else 0.0, gy if y_free else 0.0
        step_x, step_y = (cyy * mx - cxy * my) / det, (cxx * my - cxy * mx) / det
        new_x = min(max(x + min(max(step_x, -2.0), 2.0), _SMALLEST), _LARGEST)
        new_y = min(max(y + min(max(step_y, -2.0), 2.0), _SMALLEST), _LARGEST)
        new = _likelihood(new_x, new_y, r, s)
        if new[0] >= value - 1e-12 * abs(value):
            moved = max(abs(new_x - x), abs(new_y - y))
            x, y = new_x, new_y
            value, gx, gy, hxx, hxy, hyy = new
            damping /= 10
            if moved < 1e-10:
                break
        else:
            damping = max(10 * damping, 1e-3 * largest)
    return x, y


@njit("void(int64[::1], float64[::1], float64[::1], float64[:, ::1])", **KERNEL)
def _fit(ends, r_all, s_all, out):
    for i in prange(len(ends) - 1):
        r, s = r_all[ends[i] : ends[i + 1]], s_all[ends[i] : ends[i + 1]]
        x, y, freedom = _moments(r, s)
        if freedom == 0:
            out[i, 0], out[i, 1] = 1.0, 2.0
            continue
        x, y = _most_likely(x, y, freedom, r, s)
        out[i, 0], out[i, 1] = math.exp(y - x), 2 * math.exp(x)
