"""Choice of pK: bimodality of the smoothed pANN distribution, and its mean-variance normalised form (BCmvn).

From McGinnis et al. 2019 (doi:10.1016/j.cels.2019.03.003), checked against DoubletFinder 2.0.6. The density is the
linearly binned Gaussian estimate of Wand (1994) with the normal-scale bandwidth, as in R's ``KernSmooth::bkde``.
"""

from __future__ import annotations

import numpy as np

_GRID = 401
_TAIL = 4.0  # the kernel, and the range beyond the data, end at this many bandwidths


def normal_scale_bandwidth(x: np.ndarray) -> float:
    """Asymptotically optimal bandwidth of a Gaussian kernel for normal data."""
    return float((1 / (4 * np.pi)) ** 0.1 * (243 / (35 * len(x))) ** 0.2 * np.std(x, ddof=1))


def binned_density(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian kernel density of ``x`` on 401 equally spaced points.

    Returns
    -------
    The points, from four bandwidths below the minimum to four above the maximum, and the density there.

    Raises
    ------
    ValueError
        If ``x`` is constant: its bandwidth is 0.
    """
    h = normal_scale_bandwidth(x)
    if not h > 0:
        raise ValueError("the density of a constant has no bandwidth")
    low, high = x.min() - _TAIL * h, x.max() + _TAIL * h
    points = np.linspace(low, high, _GRID)
    step = (high - low) / (_GRID - 1)
    position = (x - low) / step
    lower = np.floor(position).astype(np.intp)
    right_share = position - lower
    weight = np.bincount(lower, weights=1 - right_share, minlength=_GRID + 1)
    weight += np.bincount(lower + 1, weights=right_share, minlength=_GRID + 1)
    reach = min(int(np.floor(_TAIL * h / step)), _GRID)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / h) ** 2)
    kernel /= kernel.sum() * step * len(x)
    return points, np.convolve(weight[:_GRID], kernel)[reach : reach + _GRID]


def bimodality(y: np.ndarray) -> float:
    """Bimodality coefficient as DoubletFinder computes it, from bias-corrected skewness and its own kurtosis.

    Its kurtosis puts the *excess* into the formula for the raw fourth moment and adds 3 back, so it is a little below
    the textbook excess kurtosis (by about 15 / n here). Kept, since BCmvn divides by a variance across pN.
    """
    n = len(y)
    d = y - y.mean()
    m2, m3, m4 = (np.mean(d**p) for p in (2, 3, 4))
    skewness = np.sqrt(n * (n - 1)) / (n - 2) * m3 / m2**1.5
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / m2**2 - 3) - 3 * (n - 1)) + 3
    return float((skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))


def pann_bimodality(pann: np.ndarray) -> float:
    """Bimodality of the pANN density, read at as many equally spaced points as there are cells.

    It is the coefficient of the *density values*, as the original computes it, not of the pANN values. NaN where pANN
    is constant (the original stops with an error there) or there are fewer than four cells.
    """
    if len(pann) < 4 or np.ptp(pann) == 0:
        return float("nan")
    points, density = binned_density(pann)
    at = np.linspace(pann.min(), pann.max(), len(pann))
    return bimodality(np.interp(at, points, density))


def bcmvn(coefficients: np.ndarray) -> np.ndarray:
    """Mean over variance (n - 1) of the bimodality coefficients of each pK.

    Parameters
    ----------
    coefficients
        One row per pN, one column per pK; NaN entries are left out.

    Returns
    -------
    One value per pK; NaN where fewer than two coefficients are left or they do not vary.
    """
    result = np.full(coefficients.shape[1], np.nan)
    for column, values in enumerate(coefficients.T):
        values = values[np.isfinite(values)]
        if len(values) >= 2 and (variance := np.var(values, ddof=1)) > 0:
            result[column] = values.mean() / variance
    return result
