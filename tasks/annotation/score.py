"""From a prediction to rows: pooled and by class with intervals, by donor, and on the classes seen in training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.errors import InvalidOutputError
from bench.problem import Curve, Score, Scored
from bench.seeds import derive_seed
from bench.stats import donor_bootstrap, percentile_interval
from bench.tasks._shared.labels import UNASSIGNED
from bench.tasks.annotation.metrics import (
    CLASS_METRICS,
    COARSER,
    METRIC_NAMES,
    AnnotationStatistic,
    Answers,
    reliability,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Inputs, Prediction, Problem

N_BOOT = 500

#: An interval over fewer donors is qualified in the row's detail.
_FEW_DONORS = 5

#: Largest distance from 1 of a row of probabilities.
_SUM_TOLERANCE = 1e-3


def check(inputs: Inputs, prediction: Prediction) -> None:
    """Refuse labels that are no class of the training cells, and probabilities that do not sum to 1."""
    allowed = {*_classes(inputs), UNASSIGNED}
    unknown = sorted(set(np.asarray(prediction["label"]).tolist()) - allowed)
    if unknown:
        raise InvalidOutputError(
            f"{len(unknown)} labels are no class of the training cells, such as {unknown[0]!r}",
            where="output 'label'",
            fix=f"answer one of inputs.info['classes'], or {UNASSIGNED!r}",
        )
    if "probabilities" in prediction:
        sums = np.asarray(prediction["probabilities"], dtype=float).sum(axis=1)
        if len(sums) and np.abs(sums - 1).max() > _SUM_TOLERANCE:
            worst = int(np.argmax(np.abs(sums - 1)))
            raise InvalidOutputError(
                f"the probabilities of cell {worst} sum to {sums[worst]:g}",
                where="output 'probabilities'",
                fix="divide each row by its sum, or leave this output out if they are no probabilities",
            )
    if "prediction_set" in prediction and not np.isin(prediction["prediction_set"], (0, 1)).all():
        raise InvalidOutputError(
            "a set of classes has entries other than 0 and 1",
            where="output 'prediction_set'",
            fix="give 1 for each class that is in the cell's set and 0 for the others",
        )


def score(problem: Problem, prediction: Prediction) -> Scored:
    """All metrics on every unit, and the reliability curve."""
    solution, answers = problem.solution, _answers(problem, prediction)
    donor = solution["donor"].to_numpy()
    classes = sorted({*_classes(problem.inputs), *answers.truth})
    statistic = AnnotationStatistic(answers, classes)
    draws = _draws(statistic, solution)
    values, intervals = statistic.values(), percentile_interval(draws)
    qualified = _qualified(problem, len(set(donor)))
    n_pooled = len(METRIC_NAMES)
    rows = []
    for metric, value, interval in zip(METRIC_NAMES, values[:n_pooled], intervals[:n_pooled], strict=True):
        low, high = interval if interval and not math.isnan(value) else (None, None)
        detail = _why_undefined(metric, answers) if math.isnan(value) else qualified
        rows.append(Score(metric, value, ci_low=low, ci_high=high, n=len(solution), detail=detail))
    rows += _of_classes(problem, answers, classes, values[n_pooled:], intervals[n_pooled:])
    rows += _by_donor(answers, donor)
    if not answers.seen.all() and answers.seen.any():
        rows += _unit("seen", answers.take(answers.seen))
    x, y = reliability(answers)
    return Scored(rows, [Curve("reliability", x, y)] if x else [])


def _classes(inputs: Inputs) -> list[str]:
    classes = inputs.info["classes"]
    assert isinstance(classes, list)
    return [str(name) for name in classes]


def _answers(problem: Problem, prediction: Prediction) -> Answers:
    solution, label = problem.solution, pd.Series(np.asarray(prediction["label"]).astype(str).astype(object))
    parents = problem.inputs.info["parents"]
    assert isinstance(parents, dict)
    coarser = {}
    for level in COARSER:
        parent_of = parents.get(level)
        if level in solution and isinstance(parent_of, dict):
            answered = label.map({**parent_of, UNASSIGNED: UNASSIGNED}).to_numpy(dtype=object)
            coarser[level] = (solution[level].to_numpy(dtype=object), answered)
    return Answers(
        truth=solution["label"].to_numpy(dtype=object),
        label=label.to_numpy(dtype=object),
        seen=solution["seen"].to_numpy(dtype=bool),
        coarser=coarser,
        classes=_classes(problem.inputs),
        probabilities=np.asarray(prediction["probabilities"]) if "probabilities" in prediction else None,
        sets=np.asarray(prediction["prediction_set"]) > 0 if "prediction_set" in prediction else None,
    )


def resampled(solution: pd.DataFrame, prediction: Prediction) -> pd.DataFrame:
    """The replicates behind the pooled intervals: a row each, a column a metric.

    Coarser levels and probabilities need the classes of the training cells, which are not kept: their metrics are NaN.
    """
    answers = Answers(
        truth=solution["label"].to_numpy(dtype=object),
        label=np.asarray(prediction["label"]).astype(str).astype(object),
        seen=solution["seen"].to_numpy(dtype=bool),
        coarser={},
        classes=[],
    )
    return pd.DataFrame(_draws(AnnotationStatistic(answers), solution), columns=list(METRIC_NAMES))


def _draws(statistic: AnnotationStatistic, solution: pd.DataFrame) -> NDArray[np.float64]:
    rng = np.random.default_rng(_seed(solution))
    return donor_bootstrap(statistic, solution["donor"].to_numpy(), N_BOOT, rng)


def _seed(solution: pd.DataFrame) -> int:
    """The same resamples for every method on one problem, so that intervals are comparable."""
    return derive_seed("annotation/bootstrap", *solution.index.astype(str))


def _qualified(problem: Problem, n_donors: int) -> str:
    """Return the caveats that stand beside every pooled number."""
    caveats = [str(problem.inputs.info["weak_labels"])]
    if problem.inputs.info["split"] == "cell":
        caveats.append("cell-level split: tested cells may be of the same individuals as training cells")
    elif n_donors < _FEW_DONORS:
        caveats.append(f"interval rests on {n_donors} donor{'s' * (n_donors > 1)}")
    return "; ".join(filter(None, caveats))


def _of_classes(
    problem: Problem,
    answers: Answers,
    classes: list[str],
    values: list[float],
    intervals: list[tuple[float, float] | None],
) -> list[Score]:
    """F1, precision and recall of each class, ``n`` its tested cells; and how many cells it was learned from."""
    train = problem.inputs.train
    assert train is not None
    by_class = train.obs.groupby("label")["donor"].agg(["size", "nunique"])
    support = pd.Series(answers.truth).value_counts()
    predicted = pd.Series(answers.label).value_counts()
    rows = []
    for i, name in enumerate(classes):
        unit, n = f"class:{name}", int(support.get(name, 0))
        n_predicted = int(predicted.get(name, 0))
        for j, metric in enumerate(CLASS_METRICS, start=i * len(CLASS_METRICS)):
            low, high = intervals[j] or (None, None)
            if math.isnan(values[j]):
                low, high = None, None
            detail = f"given to {n_predicted:,} cells, {n:,} are of this class" if math.isnan(values[j]) else ""
            rows.append(Score(metric, values[j], unit, low, high, n, detail))
        size, donors = (int(x) for x in by_class.loc[name]) if name in by_class.index else (0, 0)
        rows.append(Score("train_cells", float(size), unit, n=n, detail=_lineage(problem, name, donors)))
    return rows


def _lineage(problem: Problem, name: str, donors: int) -> str:
    """Return the origin of a class: training donors, and the coarser classes it belongs to."""
    parents = problem.inputs.info["parents"]
    assert isinstance(parents, dict)
    above = [f"{level} {of[name]}" for level, of in parents.items() if isinstance(of, dict) and name in of]
    return "; ".join([f"{donors} training donors", *above])


def _by_donor(answers: Answers, donor: NDArray[np.object_]) -> list[Score]:
    """Every metric on each donor, and its mean over the donors on which it is defined (``n`` is their number)."""
    by_donor = {name: _unit(f"donor:{name}", answers.take(donor == name)) for name in sorted(set(donor))}
    rows = [row for scores in by_donor.values() for row in scores]
    for scores in zip(*by_donor.values(), strict=True):
        defined = [s.value for s in scores if not math.isnan(s.value)]
        mean = float(np.mean(defined)) if defined else math.nan
        detail = f"mean over {len(defined)} of {len(scores)} donors" if defined else scores[0].detail
        rows.append(Score(scores[0].metric, mean, "donor_mean", n=len(defined), detail=detail))
    return rows


def _unit(unit: str, answers: Answers) -> list[Score]:
    n = len(answers.truth)
    return [
        Score(metric, value, unit, n=n, detail=_why_undefined(metric, answers) if math.isnan(value) else "")
        for metric, value in zip(METRIC_NAMES, AnnotationStatistic(answers).values(), strict=True)
    ]


def _why_undefined(metric: str, answers: Answers) -> str:
    """The reason, in words, why a metric of these cells is NaN."""
    if not len(answers.truth):
        return "no cells"
    if metric == "accuracy_assigned":
        return "no cell was given a class"
    if metric == "unseen_rejected":
        return "every class of these cells has training cells"
    if metric.startswith("set_"):
        return "the method returns no sets of classes"
    if "_at_" in metric:
        return "the dataset has no such level above this track's"
    return "the method returns no probabilities" if answers.probabilities is None else "no cell of a known class"
