"""Read a run folder: the tables, the requests and the trial records, checked against the core's models."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from bench.reports.run.splits import Pair, Splits, of_records
from bench.results.records import DataCard, MethodCard, PlannedTrial, Request, RunInfo, Skipped, TaskCard, TrialRecord
from bench.results.store import Store, read_typed
from bench.results.tables import CURVE_COLUMNS, ROW_COLUMNS

#: Together with the parameters these name a trial; a second trial of the same name replaces the first.
IDENTITY = ["task", "track", "dataset", "method", "split_seed", "sim_seed", "method_seed"]


P = ParamSpec("P")
T = TypeVar("T")


def once(make: Callable[Concatenate[Run, P], T]) -> Callable[Concatenate[Run, P], T]:
    """Keep what a function gives for a run (and a task, a card, a unit): page and files show the same.

    Nobody may change it in place.
    """

    @functools.wraps(make)
    def remembered(run: Run, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (make, *(arg.name if isinstance(arg, TaskCard) else arg for arg in args), *kwargs.items())
        if key not in run.prepared:
            run.prepared[key] = make(run, *args, **kwargs)
        found: T = run.prepared[key]
        return found

    return remembered


@dataclass(frozen=True)
class Run:
    """Everything the report shows.

    Parameters
    ----------
    rows, curves
        ``results`` and ``curves`` of the run, plus a column ``label``: the method's name, with the parameters that
        name it (``Method.named_by``) or that differ where it was run with several sets of them, and ``[embedding]``
        where it answered with that in place of what is asked for. ``rows`` have ``split``, too: the number of the set
        of donors that was tested.
    trials
        Records by key, only those that ``rows`` still shows.
    superseded
        Number of trials left out because a newer one of the same name is there.
    splits
        Of each (task, track, dataset) the donors that the splits test (:mod:`bench.reports.run.splits`).
    prepared
        Results of the functions under :func:`once`, by function and arguments.
    """

    folder: Path
    info: RunInfo
    requests: list[Request]
    rows: pd.DataFrame
    curves: pd.DataFrame
    trials: dict[str, TrialRecord]
    superseded: int = 0
    splits: dict[Pair, Splits] = field(default_factory=dict)
    tasks: dict[str, TaskCard] = field(default_factory=dict)
    methods: dict[str, MethodCard] = field(default_factory=dict)
    datasets: dict[str, DataCard] = field(default_factory=dict)
    prepared: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    @functools.cached_property
    def planned(self) -> dict[str, tuple[str, PlannedTrial]]:
        """Key -> (task, planned trial), over all requests."""
        return {trial.key: (request.task.name, trial) for request in self.requests for trial in request.planned}

    @property
    def skipped(self) -> list[tuple[str, Skipped]]:
        """(task, skipped pair) without repeats, over all requests."""
        return list(dict.fromkeys((r.task.name, s) for r in self.requests for s in r.skipped))


def load(folder: Path) -> Run:
    """Read the run in ``folder``.

    Raises
    ------
    bench.errors.BenchError
        If the folder is not a run, or one of its files does not have the expected form.
    """
    store = Store.open(folder)
    requests = store.requests()
    records = {record.key: record for record in store.records()}
    rows = _table(folder, "results", ROW_COLUMNS)
    current = _newest(rows, {record.key: record.started for record in records.values()})
    rows = rows[rows["trial"].isin(current)].reset_index(drop=True)
    curves = _table(folder, "curves", CURVE_COLUMNS)
    curves = curves[curves["trial"].isin(current)].reset_index(drop=True)
    methods = {card.name: card for r in requests for card in r.methods}
    labels = _labels(rows, records, methods)
    rows["label"] = rows["trial"].map(labels).astype("string")
    curves["label"] = curves["trial"].map(labels).astype("string")
    trials = {record.key: record for record in records.values() if record.key in current}
    splits, of_trial = of_records(store, trials.values())
    rows["split"] = rows["trial"].map(of_trial).astype("Int64")
    return Run(
        folder=folder,
        info=store.info,
        requests=requests,
        rows=rows,
        curves=curves,
        trials=trials,
        superseded=len(records) - len(trials),
        splits=splits,
        tasks={r.task.name: r.task for r in requests},
        methods=methods,
        datasets={card.name: card for r in requests for card in r.datasets},
    )


def _table(folder: Path, name: str, columns: dict[str, str]) -> pd.DataFrame:
    path = folder / f"{name}.parquet"
    return read_typed(path, columns) if path.is_file() else pd.DataFrame(columns=list(columns)).astype(columns)


def _newest(rows: pd.DataFrame, started: dict[str, str]) -> set[str]:
    """Keys of the newest trial for each identity and parameter set."""
    trials = rows.drop_duplicates("trial")[["trial", "params", *IDENTITY]].copy()
    trials["started"] = trials["trial"].map(started).fillna("")
    newest = trials.sort_values(["started", "trial"]).drop_duplicates(["params", *IDENTITY], keep="last")
    return set(newest["trial"])


def _labels(
    rows: pd.DataFrame, records: Mapping[str, TrialRecord], methods: Mapping[str, MethodCard]
) -> dict[str, str]:
    """Trial key -> method name, with the parameters that name it or differ, and what it answers with instead.

    The latter, such as ``[embedding]`` where others return expression, is all its trials', those that failed too.
    """
    labels = {}
    for (_, method), group in rows.drop_duplicates("trial").groupby(["task", "method"], sort=True):
        sets = {text: json.loads(text) if isinstance(text, str) and text else {} for text in group["params"]}
        names = sorted({name for params in sets.values() for name in params})
        card = methods.get(method)
        always = [n for n in card.named_by if n in names] if card else []
        varying = [n for n in names if len({json.dumps(params.get(n)) for params in sets.values()}) > 1]
        notes = [note for key in group["trial"] if key in records for note in records[key].notes]
        other = {note.text for note in notes if note.level == "answer"}
        mark = f" [{', '.join(sorted(other))}]" if other else ""
        for key, text in zip(group["trial"], group["params"], strict=True):
            told = [str(sets[text].get(n)) for n in always]
            told += [f"{n}={json.dumps(sets[text].get(n))}" for n in varying if n not in always]
            labels[key] = (f"{method} ({', '.join(told)})" if told else method) + mark
    return labels
