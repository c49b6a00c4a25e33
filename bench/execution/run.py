"""``bench run``: plan, run what is not finished, rebuild the tables; the same call again goes on where it stopped."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench import __version__
from bench.environments.builder import build_environment, in_use
from bench.environments.declaration import Environment, environment_of
from bench.errors import BenchError, DataError
from bench.execution.engines import Watcher
from bench.execution.superseded import superseded
from bench.plan.cards import data_card, method_card, task_card
from bench.plan.grid import Plan, Planned, RunRequest, make_plan
from bench.plan.registry import Registry
from bench.results.records import DECLARED, Limits, PlannedTrial, Request, TrialRecord
from bench.results.store import Store
from bench.system import now


class Engine(Protocol):
    """Runs trials; see :mod:`bench.execution.engines`."""

    def run(
        self, registry: Registry, store: Store, trials: Sequence[Planned], limits: Limits, watcher: Watcher
    ) -> None:
        """Run ``trials`` to their records."""


@dataclass(frozen=True)
class Result:
    """Result of a run.

    Parameters
    ----------
    counts
        Number of planned trials per status; ``missing`` for those without a record.
    ran
        How many ran now (the others were finished before).
    changed
        Whether the tables changed.
    registry
        What the plan was made from.
    """

    store: Store
    plan: Plan
    records: list[TrialRecord]
    counts: Counter[str]
    ran: int
    changed: bool
    registry: Registry

    def draw(self) -> None:
        """Make what a report draws of the problems themselves."""
        from bench.execution.drawn import draw

        if self.store.is_writable:
            draw(self.registry, self.store, self.records)

    @property
    def complete(self) -> bool:
        """All data could be read, and every planned trial is ``ok`` or declared unavailable or not applicable."""
        return not self.plan.unreadable and set(self.counts) <= DECLARED | {"ok"}

    @property
    def failures(self) -> list[TrialRecord]:
        """Records of the trials that keep the run from being complete."""
        return [record for record in self.records if record.status not in DECLARED | {"ok"}]


def run(
    registry: Registry,
    request: RunRequest,
    out: Path,
    engine: Engine,
    limits: Limits,
    watch: Callable[[Plan, list[Planned], int], Watcher],
    *,
    command: Sequence[str],
    force: Sequence[str] = (),
    build: Callable[[Environment], None] | None = build_environment,
) -> Result:
    """Run a request into ``out``.

    Parameters
    ----------
    watch
        Makes the watcher from the plan, the trials to run now, and the number already finished.
    command
        The command line, kept with the request.
    force
        Methods (or ``all``) whose finished trials run again.
    build
        Builds the environment of a method that is to run and whose environment is not there; None: its trials are
        ``unavailable``.
    """
    plan = make_plan(registry, request)
    store = Store.at(out)
    _refuse_namesakes(plan, store)
    forced = {planned.key for planned in plan.trials if planned.spec.method in force or "all" in force}
    todo = [p for p in plan.trials if p.key in forced or _is_due(store, p, limits)]
    todo.sort(key=lambda planned: (planned.spec.dataset, planned.problem))
    plan = replace(plan, superseded=superseded(store, todo))
    _refuse_unreadable(registry, todo)
    store = Store.create(out)  # only now: a request that is refused leaves nothing behind
    if todo or store.is_writable:
        store.save_request(_request(registry, plan, request, command))
    todo = [p for p in _equipped(registry, todo, build) if p.key in forced or _is_due(store, p, limits)]
    if todo:
        with in_use(p.spec.environment for p in todo):
            engine.run(registry, store, todo, limits, watch(plan, todo, len(plan.trials) - len(todo)))
    changed = store.write_tables()
    records = [store.record(planned.key) for planned in plan.trials]
    counts = Counter(record.status if record else "missing" for record in records)
    return Result(store, plan, [r for r in records if r], counts, len(todo), changed, registry)


def _refuse_namesakes(plan: Plan, store: Store) -> None:
    """Results of two files with one name would stand side by side as if they were of the same cells."""
    for request in store.requests():
        for card in request.datasets:
            if card.name in plan.datasets and card.digest != plan.datasets[card.name].card.digest:
                raise BenchError(
                    f"this run folder holds results on other data of the name {card.name!r}",
                    where=str(store.root),
                    fix="give another --out, or another name to the data: bench data add FILE --name NAME",
                )


def _refuse_unreadable(registry: Registry, todo: Sequence[Planned]) -> None:
    """Refuse the request if none of its datasets can be read; one among several costs its own trials only."""
    refused = []
    for name in dict.fromkeys(planned.spec.dataset for planned in todo if not planned.unavailable):
        try:
            registry.load(name)
        except DataError as error:
            refused.append(error)
        else:
            return
    if refused:
        raise refused[0]


def _equipped(
    registry: Registry, todo: Sequence[Planned], build: Callable[[Environment], None] | None
) -> list[Planned]:
    """``todo`` after the environments of its methods were built; without one, a method's trials are unavailable."""
    reasons: dict[str, str] = {}
    for name in dict.fromkeys(p.spec.method for p in todo if p.spec.environment):
        environment = environment_of(registry.methods[name].value)
        if environment is None or environment.is_built:
            continue
        try:
            if build is None:
                raise BenchError("its environment is not built")
            build(environment)
        except BenchError as error:
            reasons[name] = f"{error.what}: bench env build {name}"
    return [replace(p, unavailable=reasons.get(p.spec.method, p.unavailable)) for p in todo]


def _is_due(store: Store, planned: Planned, limits: Limits) -> bool:
    """Return whether a trial must run: not finished, or unavailable for another reason than the recorded one."""
    if not planned.unavailable:
        return not store.is_final(planned.key, limits)
    record = store.record(planned.key)
    return record is None or (record.status, record.detail) != ("unavailable", planned.unavailable)


def _request(registry: Registry, plan: Plan, request: RunRequest, command: Sequence[str]) -> Request:
    return Request(
        command=list(command),
        created=now(),
        task=task_card(plan.task),
        methods=[*plan.cards.values()] + [method_card(control) for control in plan.task.controls],
        datasets=[data_card(source.card) for source in plan.datasets.values()],
        planned=[
            PlannedTrial(
                key=p.key, track=p.spec.track, dataset=p.spec.dataset, method=p.spec.method, seeds=p.spec.seeds
            )
            for p in plan.trials
        ],
        skipped=plan.skipped,
        paths={
            registry.dataset(d).card.name: str(Path(d).resolve())
            for d in request.datasets
            if Path(d).exists() and d not in plan.unreadable
        },
        versions={"scmamba-bench": __version__, "python": platform.python_version()},
        host={"name": platform.node(), "system": platform.platform(), "cores": str(os.cpu_count())},
        git=_git_state(),
    )


def _git_state() -> str:
    """Commit of the source tree the package runs from, with ``-dirty`` if changed; empty outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
