"""From a prediction to rows: pooled with intervals, by donor, by kind of doublet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bench.problem import Score, Scored
from bench.seeds import derive_seed
from bench.stats import donor_bootstrap, percentile_interval
from bench.tasks.doublet.metrics import METRIC_NAMES, DoubletStatistic, why_undefined

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bench.problem import Prediction

N_BOOT = 500

#: An interval over fewer donors is qualified in the row's detail.
_FEW_DONORS = 5


def score(solution: pd.DataFrame, prediction: Prediction) -> Scored:
    """All metrics on every unit, and the curves of the pooled cells."""
    truth = solution["is_doublet"].to_numpy(dtype=bool)
    value = np.asarray(prediction["score"], dtype=float)
    call = np.asarray(prediction["call"], dtype=bool) if "call" in prediction else None
    donor = solution["donor"].to_numpy()
    pooled = DoubletStatistic(truth, value, call)
    rows = _pooled(pooled, truth, call, solution)
    by_donor = {}
    for name in np.unique(donor.astype(str)):
        by_donor[name] = _unit(f"donor:{name}", donor == name, truth, value, call)
        rows += by_donor[name]
    rows += _donor_mean(list(by_donor.values()))
    homotypic = solution["homotypic"]
    if homotypic.notna().any():
        for unit, is_homotypic in (("heterotypic", False), ("homotypic", True)):
            of_kind = (homotypic == is_homotypic).fillna(False).to_numpy(dtype=bool)
            rows += _unit(unit, ~truth | of_kind, truth, value, call)
    return Scored(rows, pooled.curves())


def resampled(solution: pd.DataFrame, prediction: Prediction) -> pd.DataFrame:
    """The replicates behind the pooled intervals: a row each, a column a metric."""
    import pandas as pd

    truth, value = solution["is_doublet"].to_numpy(dtype=bool), np.asarray(prediction["score"], dtype=float)
    call = np.asarray(prediction["call"], dtype=bool) if "call" in prediction else None
    return pd.DataFrame(_draws(DoubletStatistic(truth, value, call), solution), columns=list(METRIC_NAMES))


def _draws(pooled: DoubletStatistic, solution: pd.DataFrame) -> NDArray[np.float64]:
    rng = np.random.default_rng(_seed(solution))
    return donor_bootstrap(pooled, solution["donor"].to_numpy(), N_BOOT, rng)


def _seed(solution: pd.DataFrame) -> int:
    """The same resamples for every method on one problem, so that intervals are comparable."""
    return derive_seed("doublet/bootstrap", *solution.index.astype(str))


def _pooled(
    pooled: DoubletStatistic, truth: NDArray[np.bool_], call: NDArray[np.bool_] | None, solution: pd.DataFrame
) -> list[Score]:
    draws, n_donors = _draws(pooled, solution), len(set(solution["donor"]))
    qualified = f"interval rests on {n_donors} donor{'s' * (n_donors > 1)}" if n_donors < _FEW_DONORS else ""
    rows = []
    for (metric, value), interval in zip(pooled.values().items(), percentile_interval(draws), strict=True):
        if math.isnan(value):
            rows.append(Score(metric, value, n=len(truth), detail=why_undefined(metric, truth, call)))
        else:
            low, high = interval or (None, None)
            rows.append(
                Score(metric, value, ci_low=low, ci_high=high, n=len(truth), detail=qualified if interval else "")
            )
    return rows


def _unit(
    unit: str,
    rows: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    value: NDArray[np.float64],
    call: NDArray[np.bool_] | None,
) -> list[Score]:
    truth, call = truth[rows], None if call is None else call[rows]
    values = DoubletStatistic(truth, value[rows], call).values()
    return [
        Score(metric, x, unit, n=len(truth), detail=why_undefined(metric, truth, call) if math.isnan(x) else "")
        for metric, x in values.items()
    ]


def _donor_mean(by_donor: list[list[Score]]) -> list[Score]:
    """Mean over the donors on which a metric is defined; ``n`` is their number."""
    rows = []
    for metric, scores in zip(METRIC_NAMES, zip(*by_donor, strict=True), strict=True):
        defined = [s.value for s in scores if not math.isnan(s.value)]
        mean = float(np.mean(defined)) if defined else math.nan
        detail = f"mean over {len(defined)} of {len(scores)} donors" if defined else scores[0].detail
        rows.append(Score(metric, mean, "donor_mean", n=len(defined), detail=detail))
    return rows
