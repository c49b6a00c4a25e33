"""Tables that the report draws of problems themselves: made when all is scored, for a report only."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bench.plan.registry import Registry
from bench.results.records import TrialRecord
from bench.results.store import Store
from bench.task import Seeds, Task

_LOG = logging.getLogger(__name__)


def draw(registry: Registry, store: Store, records: Sequence[TrialRecord], *, again: bool = False) -> None:
    """Make :meth:`bench.task.Task.problem_tables` of the first problem of each track and dataset, where not there yet.

    A task whose code fails here costs the report this part, which a warning tells, and nothing else.

    Parameters
    ----------
    records
        Trials that the report shows.
    again
        Make them even where they are there.
    """
    answered = [r for r in records if r.status == "ok" and r.spec.role == "method"]
    first: dict[tuple[str, str, str], TrialRecord] = {}
    for record in sorted(answered, key=lambda r: (r.spec.seeds.split, r.spec.seeds.simulation)):
        first.setdefault((record.spec.task, record.spec.track, record.spec.dataset), record)
    for record in first.values():
        spec, task = record.spec, registry.task(record.spec.task)
        if type(task).problem_tables is Task.problem_tables or (store.has_problem_tables(spec.problem) and not again):
            continue
        try:
            seeds = Seeds(spec.seeds.split, spec.seeds.simulation)
            problem = task.make_problem(registry.load(spec.dataset), spec.track, seeds)
            store.save_problem_tables(spec.problem, task.problem_tables(problem))
        except Exception as error:  # noqa: BLE001 - a task of a third party may raise anything
            _LOG.warning("no figure of %s/%s itself: %s: %s", spec.dataset, spec.track, type(error).__name__, error)
