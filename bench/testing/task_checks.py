"""A task on a small dataset as one assertion: card, problems, controls, and what methods are shown."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.dataset import Dataset
from bench.develop.leakage_audit import audit_one, input_digests
from bench.errors import BenchError, NotApplicableError
from bench.exchange import gate, prediction
from bench.plan.registry import describe
from bench.problem import Problem, Score
from bench.seeds import derive_seed
from bench.task import Control, Metric, Seeds, Task
from bench.testing.toy import toy_dataset
from bench.words import count, listing


def check_task(task: type[Task] | Task, *, dataset: Dataset | None = None) -> None:
    """Check a task on every track that a dataset serves.

    The card is whole; the same seeds give the same problem; each control gives a valid answer, which is scored by the
    declared metrics within their ranges; the perfect control beats the random one by the headline metric; and nothing
    that a method is shown depends on the truth (``bench audit``).

    Parameters
    ----------
    task
        A class, or an object of it.
    dataset
        Data to check on. Default: :func:`bench.testing.toy_dataset`.

    Raises
    ------
    AssertionError
        If a check fails: says which, on what track, and what was found.
    BenchError
        If there is nothing to check: the class has no name, or the dataset serves none of its tracks.
    """
    __tracebackhide__ = True
    of_task, data = task() if isinstance(task, type) else task, dataset or toy_dataset()
    describe(type(of_task))
    reasons = {track: of_task.why_not(data.card, track) for track in of_task.tracks}
    served = [track for track, reason in reasons.items() if reason is None]
    wrong = [f"card: {text}" for text in _of_card(of_task)]
    found: set[str] = set()
    for track in served if not wrong else ():
        try:
            wrong += [f"{track}: {text}" for text in _of_track(of_task, data, track, found)]
        except NotApplicableError as error:
            reasons[track] = str(error)
    if not found and not wrong:
        told = "; ".join(f"{track}: {reason}" for track, reason in reasons.items())
        raise BenchError(
            f"{data.card.name!r} serves no track of {of_task.name}", where=told, fix="give another dataset"
        )
    missed = [metric.name for metric in of_task.metrics if found and metric.name not in found]
    wrong += [f"no track is scored by metric {name!r}, which `metrics` declares" for name in missed]
    if wrong:
        raise AssertionError("\n  ".join([f"task {of_task.name} fails {count(len(wrong), 'check')}", *wrong]))


def _of_card(task: Task) -> Iterator[str]:
    if sum(metric.headline for metric in task.metrics) != 1:
        yield "exactly one of `metrics` is the headline"
    roles = [control.role for control in task.controls]
    if lacking := [role for role in ("random", "perfect") if role not in roles]:
        yield f"no {listing(lacking)} control: `controls` anchor the scale"


def _of_track(task: Task, dataset: Dataset, track: str, found: set[str]) -> Iterator[str]:
    """Yield the faults; names of the metrics that the track is scored by are added to ``found``."""
    problem = task.make_problem(dataset, track, Seeds())
    yield from _of_problem(problem, task.make_problem(dataset, track, Seeds()))
    headline = next(metric for metric in task.metrics if metric.headline)
    reached: dict[str, float] = {}
    for control in task.controls:
        rows = _scores(task, problem, control)
        found |= {row.metric for row in rows}
        yield from (f"control {control.name}: {text}" for text in _of_scores(rows, task.metrics))
        reached.setdefault(control.role, _pooled(rows, headline))
    if not headline.sign * reached["perfect"] > headline.sign * reached["random"]:
        yield (
            f"{headline.name}: the perfect control has {reached['perfect']:g}, the random one {reached['random']:g}; "
            "see `higher_is_better`, and that `solution` is in the order of the cells"
        )
    finding = audit_one(task, dataset, track, Seeds())
    if finding.status == "leak":
        yield f"leak: {finding.detail}"


def _of_problem(first: Problem, again: Problem) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-check-") as scratch:
        shown = [input_digests(p, Path(scratch) / str(i)) for i, p in enumerate((first, again))]
    if shown[0] != shown[1] or not first.solution.equals(again.solution):
        yield "the same seeds give another problem: draw from np.random.default_rng(bench.seeds.derive_seed(...))"


def _scores(task: Task, problem: Problem, control: Control) -> list[Score]:
    """Scores of a control, whose answer goes the way that a method's goes."""
    rng = np.random.default_rng(derive_seed("check", control.name))
    arrays = gate.admit(control.predict(problem, rng), problem.inputs, task.outputs)
    task.check(problem.inputs, arrays)
    with tempfile.TemporaryDirectory(prefix="bench-check-") as scratch:
        return task.score(problem, prediction.save(arrays, task.outputs, problem, Path(scratch) / "results")).scores


def _of_scores(rows: list[Score], metrics: tuple[Metric, ...]) -> Iterator[str]:
    declared = {metric.name: metric for metric in metrics}
    for name in sorted({row.metric for row in rows} - declared.keys()):
        yield f"metric {name!r} is not among `metrics`"
    for row in rows:
        metric = declared.get(row.metric)
        if metric is None:
            continue
        if math.isnan(row.value):
            if not row.detail:
                yield f"{row.metric} of {row.unit} is undefined, and `detail` does not say why"
        elif not _low(metric) <= row.value <= _high(metric):
            yield f"{row.metric} of {row.unit} is {row.value:g}, declared from {metric.low} to {metric.high}"


def _low(metric: Metric) -> float:
    return -math.inf if metric.low is None else metric.low - 1e-9


def _high(metric: Metric) -> float:
    return math.inf if metric.high is None else metric.high + 1e-9


def _pooled(rows: list[Score], metric: Metric) -> float:
    return next((row.value for row in rows if row.metric == metric.name), math.nan)
