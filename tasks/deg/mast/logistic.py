"""Penalised logistic regression on one two-level factor, from the numbers of expressing cells alone.

MAST calls bayesglm, whose Student-t prior is meant to be refitted at each step; the copy in MAST never feeds the
refitted scale back, so what it fits is a Gaussian prior: N(0, 2.5 / range) on the effect and N(0, 10) on the linear
predictor at the mean of the covariates. IRLS as R does it: same start, stopping rule and last weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

#: How the kernels of the hurdle model are compiled. Each also declares its types: numba numbers the files of a cache by
#: what it has compiled so far, so that two processes which compile different types of one function at the same moment
#: leave the code of one under the name of the other. With one signature there is nothing to confuse.
#: What is iterated until it converges is a function of its own, :data:`STEPS`: where a loop inside a prange is left by
#: break, numba (0.61 to 0.68, on Python 3.12 and 3.13) takes some of its values from the first step.
KERNEL: dict[str, Any] = {"parallel": True, "nogil": True, "cache": True, "error_model": "numpy"}
STEPS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
SCALE_EFFECT = 2.5
SCALE_CENTRE = 10.0
TOLERANCE = 1e-8
ITERATIONS = 25
#: Working weight and response of a cell in the first step, where the fitted probability is 3/4 if it expresses.
WEIGHT = 0.1875
RESPONSE = math.log(3.0) + 0.25 / WEIGHT


@njit(inline="always")
def _deviance(eta, detected, n):
    """-2 ln likelihood of ``detected`` of ``n`` cells at the linear predictor ``eta``, without cancellation."""
    tail = math.log1p(math.exp(-abs(eta)))
    up = tail if eta > 0 else tail - eta  # -ln p
    down = tail + eta if eta > 0 else tail  # -ln(1 - p)
    return 2 * (detected * up + (n - detected) * down)


@njit(**STEPS)
def _two_groups(n0, d0, n1, d1):
    """Intercept, effect, deviance, variance of the intercept, covariance, variance of the effect."""
    m = n1 / (n0 + n1)
    w0, w1 = n0 * WEIGHT, n1 * WEIGHT
    z0, z1 = (2 * d0 - n0) * WEIGHT * RESPONSE, (2 * d1 - n1) * WEIGHT * RESPONSE
    deviance = _deviance(math.log(3.0), 1.0, 1.0) * (n0 + n1)
    for iteration in range(ITERATIONS):
        aa = w0 + w1 + 1 / SCALE_CENTRE**2
        ab = w1 + m / SCALE_CENTRE**2
        bb = w1 + m * m / SCALE_CENTRE**2 + 1 / SCALE_EFFECT**2
        det = aa * bb - ab * ab
        a = (bb * (z0 + z1) - ab * z1) / det
        b = (aa * z1 - ab * (z0 + z1)) / det
        previous, deviance = deviance, _deviance(a, d0, n0) + _deviance(a + b, d1, n1)
        if iteration > 0 and abs(deviance - previous) / (0.1 + abs(deviance)) < TOLERANCE:
            break
        p0, p1 = 1 / (1 + math.exp(-a)), 1 / (1 + math.exp(-a - b))
        w0, w1 = n0 * p0 * (1 - p0), n1 * p1 * (1 - p1)
        z0, z1 = w0 * a + d0 - n0 * p0, w1 * (a + b) + d1 - n1 * p1
    return a, b, deviance, bb / det, -ab / det, aa / det


@njit("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[:, ::1])", **KERNEL)
def fit_two_groups(n0, d0, n1, d1, out):
    """Fit intercept and effect of group 1 for every element of the flat arrays.

    Parameters
    ----------
    n0, n1
        Cells of each group.
    d0, d1
        Cells that express.
    out
        (len, 6), filled with intercept, effect, deviance and the (co)variances of the two; NaN, NaN, NaN, ... where no
        cell expresses.
    """
    for i in prange(n0.size):
        if d0[i] + d1[i] == 0:
            out[i, :] = np.nan
        else:
            out[i, 0], out[i, 1], out[i, 2], out[i, 3], out[i, 4], out[i, 5] = _two_groups(n0[i], d0[i], n1[i], d1[i])


@njit(**STEPS)
def _one_group(n, d):
    """Deviance of the model with an intercept alone."""
    w, z = n * WEIGHT, (2 * d - n) * WEIGHT * RESPONSE
    deviance = _deviance(math.log(3.0), 1.0, 1.0) * n
    for iteration in range(ITERATIONS):
        a = z / (w + 1 / SCALE_CENTRE**2)
        previous, deviance = deviance, _deviance(a, d, n)
        if iteration > 0 and abs(deviance - previous) / (0.1 + abs(deviance)) < TOLERANCE:
            break
        p = 1 / (1 + math.exp(-a))
        w = n * p * (1 - p)
        z = w * a + d - n * p
    return deviance


@njit("void(float64[::1], float64[::1], float64[::1])", **KERNEL)
def fit_one_group(n, d, deviance_out):
    """Deviance of the model with an intercept alone, for every element; NaN where no cell expresses."""
    for i in prange(n.size):
        deviance_out[i] = np.nan if d[i] == 0 else _one_group(n[i], d[i])
