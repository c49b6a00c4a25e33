"""Statistics of a benchmark: clustered bootstrap, paired tests that know their power, ranks that show ties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
Weights = NDArray[np.int64]

#: ``statistic(weights)``: weights (replicates x cells) in, values (replicates x metrics) out.
Statistic = Callable[[Weights], Floats]

Policy = Literal["exclude", "worst", "zero"]

#: Weights held in memory at a time.
_CHUNK = 2_000_000

#: Largest n for which all 2**n sign flips are enumerated.
_EXACT_N = 12


def donor_weights(groups: ArrayLike, n_boot: int, rng: np.random.Generator) -> Iterator[Weights]:
    """Resampling weights of a two-level bootstrap: donors with replacement, then cells of each drawn donor.

    With one group only the cells are resampled. A donor drawn twice has its cells resampled twice, independently.

    Parameters
    ----------
    groups
        Donor of each cell (n_cells,).
    n_boot
        Number of replicates.
    rng
        Source of randomness.

    Yields
    ------
    Blocks of weights (replicates x n_cells), ``n_boot`` rows in all.
    """
    codes, _ = pd.factorize(np.asarray(groups), sort=True)
    n_cells, by_donor = len(codes), np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.append(0, np.cumsum(sizes)[:-1])
    rows = max(1, _CHUNK // max(n_cells, 1))
    for done in range(0, n_boot, rows):
        block = np.zeros((min(rows, n_boot - done), n_cells), dtype=np.int64)
        for replicate in block:
            drawn = rng.integers(len(sizes), size=len(sizes))
            size = np.repeat(sizes[drawn], sizes[drawn])
            cell = np.repeat(starts[drawn], sizes[drawn]) + (rng.random(len(size)) * size).astype(np.int64)
            replicate[by_donor] = np.bincount(cell, minlength=n_cells)
        yield block


def donor_bootstrap(statistic: Statistic, groups: ArrayLike, n_boot: int, rng: np.random.Generator) -> Floats:
    """Values of ``statistic`` (n_boot x metrics) over resampled donors, then cells (see :func:`donor_weights`)."""
    return np.concatenate([statistic(block) for block in donor_weights(groups, n_boot, rng)])


def percentile_interval(draws: Floats, level: float = 0.95) -> list[tuple[float, float] | None]:
    """Percentile interval of each column of ``draws`` (replicates x metrics).

    Replicates in which a metric is undefined are left out; None where more than half of them are.
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    intervals: list[tuple[float, float] | None] = []
    for column in draws.T:
        defined = column[~np.isnan(column)]
        enough = len(defined) > 0 and 2 * len(defined) >= len(column)
        low, high = np.quantile(defined, tails).tolist() if enough else (np.nan, np.nan)
        intervals.append((low, high) if enough else None)
    return intervals


def mean_interval(values: ArrayLike, lows: ArrayLike, highs: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Interval of the mean of several trials on the same donors, which differ by chance alone (seeds).

    Each trial's own interval tells what other donors and cells would change. Trials share them, so that averaging does
    not narrow it: the mean of the bounds holds whatever their correlation. To its variance, on each side, is added
    what the spread of the values says of chance (as Rubin adds that between imputations), with Satterthwaite's degrees
    of freedom.

    Parameters
    ----------
    values, lows, highs
        Of each trial, along the last axis; ``lows`` and ``highs`` are bounds of the same ``level``.

    Returns
    -------
    Bounds, without the last axis; NaN if a trial has no interval.
    """
    value, low, high = (np.asarray(x, dtype=float) for x in (values, lows, highs))
    n = value.shape[-1]
    centre, z = value.mean(-1), special.ndtri((1 + level) / 2)
    chance = value.var(-1, ddof=1) / n if n > 1 else np.zeros_like(centre)
    bounds = []
    for side, bound in ((-1, low.mean(-1)), (1, high.mean(-1))):
        reach = abs(bound - centre)
        variance = (reach / z) ** 2 + chance
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = (n - 1) * (variance / chance) ** 2
        wider = special.stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance) - reach
        bounds.append(bound + side * np.where(chance > 0, wider, 0.0))
    untold = np.isnan(low + high).any(-1)
    return np.where(untold, np.nan, bounds[0]), np.where(untold, np.nan, bounds[1])


def split_interval(values: ArrayLike, tested_to_trained: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Interval of the mean over random splits of the same donors: Student's t, corrected for what splits share.

    Splits share training donors, and some test donors, so that their values are no independent sample. Nadeau and
    Bengio (doi:10.1023/A:1024068626366) add ``tested_to_trained`` to 1 / splits: the interval does not shrink
    towards a point as more splits are drawn of the same donors. Where a value is a mean over the tested donors, all
    splits together give the standard error of the mean over donors.

    Parameters
    ----------
    values
        One a split, along the last axis.
    tested_to_trained
        Number of tested donors divided by that of the others; NaN where it is not known.

    Returns
    -------
    Bounds, without the last axis; NaN of fewer than three splits, whose spread tells nothing.
    """
    value = np.asarray(values, dtype=float)
    mean, n = value.mean(-1), value.shape[-1]
    if n < 3:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf((1 + level) / 2, n - 1) * value.std(-1, ddof=1)
    half *= np.sqrt(1 / n + np.asarray(tested_to_trained, dtype=float))
    return mean - half, mean + half


def power_floor(n: int) -> float:
    """Smallest two-sided p an exact Wilcoxon signed-rank test over ``n`` pairs can reach (5: 0.0625, 6: 0.03125)."""
    return min(1.0, 2.0 ** (1 - n))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment; NaN stays NaN and does not count as a test."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def wilcoxon_exact(differences: ArrayLike) -> float:
    """Two-sided Wilcoxon signed-rank p of paired differences, zeros dropped; 1 if nothing is left, NaN without pairs.

    Exact by enumeration up to 12 pairs, ties included; beyond that SciPy's automatic choice.
    """
    d = np.asarray(differences, dtype=float)
    if not len(d):
        return float("nan")
    d = d[d != 0]
    if len(d) < 2:  # one pair: both signs are equally extreme, and SciPy refuses
        return 1.0
    method = stats.PermutationMethod(n_resamples=2**_EXACT_N) if len(d) <= _EXACT_N else "auto"
    return float(stats.wilcoxon(d, method=method).pvalue)


def paired_tests(table: pd.DataFrame, rng: np.random.Generator, n_boot: int = 2000) -> pd.DataFrame:
    """Compare every pair of methods over the datasets that both finished.

    Datasets are the units of replication; seeds or resamples of one dataset must be averaged beforehand.

    Parameters
    ----------
    table
        Methods x datasets; NaN where a method failed.
    rng
        For the bootstrap of datasets.
    n_boot
        Bootstrap replicates of the mean difference.

    Returns
    -------
    One row a pair: ``method_a, method_b, n, difference`` (mean of a - b), ``ci_low, ci_high`` (datasets resampled),
    ``p`` (exact Wilcoxon), ``p_holm``, ``p_floor`` (smallest p reachable with ``n`` datasets before correction)
    and ``testable`` (whether Holm's first step could reach 0.05 at all; if not, stars are withheld).
    """
    pairs = list(combinations(table.index, 2))
    rows = []
    for a, b in pairs:
        both = (table.loc[a] - table.loc[b]).dropna().to_numpy(dtype=float)
        means = both[rng.integers(len(both), size=(n_boot, len(both)))].mean(axis=1)[:, None] if len(both) else None
        interval = percentile_interval(means)[0] if means is not None else None
        low, high = interval or (np.nan, np.nan)
        floor = power_floor(len(both))
        rows.append(
            {
                "method_a": a,
                "method_b": b,
                "n": len(both),
                "difference": both.mean() if len(both) else np.nan,
                "ci_low": low,
                "ci_high": high,
                "p": wilcoxon_exact(both),
                "p_floor": floor,
                "testable": floor * len(pairs) <= 0.05,
            }
        )
    tests = pd.DataFrame(
        rows, columns=["method_a", "method_b", "n", "difference", "ci_low", "ci_high", "p", "p_floor", "testable"]
    )
    tests.insert(7, "p_holm", holm(tests["p"]))
    return tests


def rank_with_ties(
    values: pd.Series[float],
    *,
    higher_is_better: bool = True,
    tolerance: float = 0.0,
    intervals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Rank values, 1 is best; those that cannot be told apart share the average rank.

    From the best value downwards, a value joins the current group while it is within ``tolerance`` of the
    group's *best* member or, with ``intervals``, while its interval overlaps that member's. Comparing with the best
    member only keeps a chain of small steps from tying the first with the last. Of equal values, that with the higher
    bounds comes first.

    Parameters
    ----------
    values
        One value a method; NaN is not ranked.
    higher_is_better
        Direction.
    tolerance
        Largest difference that is no difference.
    intervals
        Columns ``ci_low, ci_high``, indexed as ``values``; a missing interval is the value itself.

    Returns
    -------
    Indexed as ``values``: ``rank`` (average over the tie) and ``tie_group`` (1, 2, ... from the best), NA if unranked.
    """
    sign = 1.0 if higher_is_better else -1.0
    value = sign * np.asarray(values, dtype=np.float64)
    low, high = _bounds(values, intervals, sign)
    rank, group = np.full(len(value), np.nan), np.zeros(len(value), dtype=np.int64)
    best, start, number = -1, 0, 0
    order = np.lexsort((-low, -high, -value))  # of equal values the intervals decide, not the rows
    placed = [int(i) for i in order if not np.isnan(value[i])]
    for position, i in enumerate(placed):
        if best < 0 or (value[best] - value[i] > tolerance and (intervals is None or low[best] > high[i])):
            best, start, number = i, position, number + 1
        group[i] = number
        rank[placed[start : position + 1]] = (start + position) / 2 + 1
    tie_group = pd.Series(group, index=values.index).astype("Int64").mask(np.isnan(rank))
    return pd.DataFrame({"rank": rank, "tie_group": tie_group}, index=values.index)


def _bounds(values: pd.Series[float], intervals: pd.DataFrame | None, sign: float) -> tuple[Floats, Floats]:
    """Interval bounds after turning the scale so that higher is better; the value where there is no interval."""
    value: Floats = np.asarray(values, dtype=np.float64)
    if intervals is None:
        return sign * value, sign * value
    low, high = (_filled(intervals[column].reindex(values.index), value) for column in ("ci_low", "ci_high"))
    return (low, high) if sign > 0 else (-high, -low)


def _filled(column: pd.Series[float], value: Floats) -> Floats:
    end: Floats = np.asarray(column, dtype=np.float64)
    return np.where(np.isnan(end), value, end)


def ranks_under_policies(
    table: pd.DataFrame,
    *,
    policies: Iterable[Policy] = ("exclude", "worst", "zero"),
    zero: pd.Series[float] | float = 0.0,
    higher_is_better: bool = True,
) -> pd.DataFrame:
    """Mean rank of each method over datasets, under each way to count a failure.

    ``exclude``
        A failed pair is left out of that method's mean. Kind to methods that fail on hard datasets.
    ``worst``
        A failure shares the last places of its dataset.
    ``zero``
        A failure scores ``zero`` there (for example the worst control's value), then is ranked like any other.

    Parameters
    ----------
    table
        Methods x datasets; NaN where a method failed.
    policies
        Which policies.
    zero
        Value of a failure under ``zero``: one number, or one a dataset.
    higher_is_better
        Direction of the values.

    Returns
    -------
    Tidy: ``policy, method, mean_rank, rank, tie_group, n_datasets, n_failed``; ``rank`` orders the mean ranks, ties
    shared. Equal values on a dataset share their average rank. Without any value a method has no rank in ``exclude``.
    """
    scores = table if higher_is_better else -table
    floor = zero if isinstance(zero, pd.Series) else pd.Series(zero, index=table.columns, dtype=float)
    tables = []
    for policy in policies:
        if policy not in get_args(Policy):
            raise ValueError(f"unknown failure policy {policy!r}")
        filled = scores
        if policy == "zero":
            filled = scores.fillna(floor if higher_is_better else -floor)
        ranks = filled.rank(ascending=False, na_option="keep" if policy == "exclude" else "bottom")
        mean = ranks.mean(axis=1)
        ranked = rank_with_ties(mean, higher_is_better=False, tolerance=1e-9)
        ranked.insert(0, "mean_rank", mean)
        ranked["n_datasets"] = ranks.notna().sum(axis=1)
        ranked["n_failed"] = table.isna().sum(axis=1)
        ranked.index.name = "method"
        tables.append(ranked.reset_index().assign(policy=policy))
    columns = ["policy", "method", "mean_rank", "rank", "tie_group", "n_datasets", "n_failed"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
