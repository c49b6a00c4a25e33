"""``bench rescore``: kept predictions, today's metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.errors import BenchError
from bench.exchange import prediction
from bench.execution.drawn import draw
from bench.execution.problem_cache import Problems
from bench.execution.scratch import Scratch
from bench.execution.trial import scored_records
from bench.plan.keys import data_key
from bench.plan.registry import Registry
from bench.problem import Prediction, Problem
from bench.results.records import TrialRecord
from bench.results.store import Store
from bench.task import Task


def rescore(registry: Registry, store: Store, report: Callable[[TrialRecord], None]) -> int:
    """Score every kept prediction again with today's metrics; no method runs. Returns the number rescored."""
    done = 0
    for path in {path for request in store.requests() for path in request.paths.values()}:
        registry.dataset(path)
    answered = [r for r in store.records() if r.status == "ok" and _prediction_file(store, r).exists()]
    for record in answered:
        _check_same_problem(registry, store, record)
    with Scratch() as scratch:
        problems, saved = Problems(registry, scratch), set[str]()
        for record in sorted(answered, key=lambda r: (r.spec.dataset, r.spec.problem)):
            task = registry.task(record.spec.task)
            problem = problems.get(record.spec).problem
            if record.spec.problem not in saved:
                store.save_problem(record.spec.problem, problem)
                saved.add(record.spec.problem)
            scored = task.score(problem, _prediction(store, record, task, problem))
            store.save_tables(record.key, scored.tables)
            store.rewrite(record.model_copy(update=scored_records(scored)))
            report(record)
            done += 1
    draw(registry, store, answered, again=True)
    return done


def _prediction_file(store: Store, record: TrialRecord) -> Path:
    return store.trial_folder(record.key) / "prediction.parquet"


def _prediction(store: Store, record: TrialRecord, task: Task, problem: Problem) -> Prediction:
    folder = store.trial_folder(record.key)
    try:
        return prediction.load(folder, task.outputs, problem.solution.index)
    except Exception as error:  # a damaged file may raise anything
        raise BenchError(
            f"the kept prediction cannot be read: {type(error).__name__}: {error}",
            where=str(folder),
            fix="remove the folder and give the command of the run again: the trial runs anew",
        ) from error


def _check_same_problem(registry: Registry, store: Store, record: TrialRecord) -> None:
    """Refuse to score a prediction against another truth than the one it was made for."""
    task, dataset = registry.task(record.spec.task), registry.dataset(record.spec.dataset)
    if task.version != record.spec.task_version:
        raise BenchError(
            f"the predictions answer version {record.spec.task_version} of task {task.name!r}, "
            f"this is version {task.version}",
            where=str(store.root),
            fix="run again: the inputs themselves may have changed",
        )
    if data_key(dataset.card) != record.spec.data_key:
        raise BenchError(
            f"dataset {record.spec.dataset!r} is not the one that the predictions were made for",
            where=str(_prediction_file(store, record)),
            fix="put the earlier data back, or run again",
        )
