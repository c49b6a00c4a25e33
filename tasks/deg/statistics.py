"""The test of whether imputation raises the overlap: the paper's, its correction, and intervals over donors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def paired_p(difference: NDArray[np.float64]) -> float:
    """Two-sided p of the paired t-test over permutations, as the paper has it.

    Permutations share most of their cells, so their differences are not independent: with enough permutations any
    difference becomes significant. NaN with fewer than two, or where all are equal.
    """
    return _t_test(difference, 1 / max(len(difference), 1))


def corrected_p(difference: NDArray[np.float64], ratio: float) -> float:
    """The same with the variance that permutations of the same cells leave out (Nadeau and Bengio 2003, eq. 10).

    Two draws of a share f of the same cells correlate by about f, so that the variance of the mean of J draws is
    (1/J + f/(1 - f)) s^2 instead of s^2/J (s^2 the variance between draws). This is exact where the statistic is a
    mean over cells, and it does not vanish with more permutations.
    """
    if not 0 < ratio < 1:
        return math.nan
    return _t_test(difference, 1 / max(len(difference), 1) + ratio / (1 - ratio))


def _t_test(difference: NDArray[np.float64], factor: float) -> float:
    n = len(difference)
    spread = float(np.std(difference, ddof=1)) if n > 1 else 0.0
    if not spread > 1e-12:
        return math.nan
    return float(2 * stats.t.sf(abs(float(np.mean(difference))) / (spread * math.sqrt(factor)), n - 1))


def spearman_brown(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Agreement to be expected of two studies of the full size from that of two halves: 2 r / (1 + r), 0 below 0.

    Spearman (1910) and Brown (1910) derive it for correlations; of shares it is an approximation.
    """
    r = np.clip(np.asarray(half, dtype=float), 0.0, 1.0)
    return 2 * r / (1 + r)


def donor_interval(values: pd.DataFrame) -> tuple[float, float] | None:
    """95 % interval of a value from leaving out one donor at a time, arm by arm (stratified jackknife).

    Parameters
    ----------
    values
        ``donor`` (empty: nobody is left out), ``arm`` (``case``, ``control``, or ``both`` for donors with cells in
        both) and ``value``.

    Returns
    -------
    None if there are fewer than two donors in an arm, or the value is undefined without one of them.
    """
    centre = values.loc[values["donor"] == "", "value"]
    without = values[values["donor"] != ""]
    if not len(centre) or without["value"].isna().any() or centre.isna().any() or len(without) < 2:
        return None
    variance, freedom = 0.0, -1
    for _, part in without.groupby("arm"):
        n = len(part)
        if n < 2:
            return None
        variance += (n - 1) / n * float(((part["value"] - part["value"].mean()) ** 2).sum())
        freedom += n
    freedom = max(1, freedom - (without["arm"].nunique() - 1))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(variance)
    return float(centre.iloc[0]) - half, float(centre.iloc[0]) + half
