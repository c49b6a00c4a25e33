"""The account of a run while trials run: a line for each that ends, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.environments.builder import build_environment
from bench.environments.declaration import Environment
from bench.execution.engines import Watcher
from bench.plan.grid import Plan, Planned
from bench.results.headline import headline_score
from bench.results.records import TrialRecord
from bench.sandbox.progress import Progress


@dataclass(frozen=True)
class Display:
    """Ways of telling what goes on in a run.

    Parameters
    ----------
    watch
        Makes the watcher from the plan, the trials to run now, and the number already finished.
    build
        Builds the environment of a method that brings its own.
    say
        Told a line before the run begins.
    """

    watch: Callable[[Plan, list[Planned], int], Watcher]
    build: Callable[[Environment], None]
    say: Callable[[str], None] = lambda line: None


class Silent:
    """Watches without a word."""

    def __init__(self, plan: Plan, todo: list[Planned], finished: int) -> None:
        pass

    def preparing(self, planned: Planned) -> None:
        """A trial is next."""

    def started(self, planned: Planned) -> None:
        """A trial begins."""

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended."""

    def tick(self, progress: Callable[[Planned], Progress]) -> None:
        """Nothing to draw."""


class Lines(Silent):
    """A line for each trial that ends, on standard error."""

    def __init__(self, plan: Plan, todo: list[Planned], finished: int) -> None:
        self._total, self._done, self._start = len(todo), 0, time.monotonic()
        self._task = plan.task
        for skipped in plan.skipped:
            _say(f"not run: {skipped.dataset}/{skipped.track}: {skipped.reason}")
        for name, source in plan.datasets.items():
            if source.card.caveat and not source.card.builtin:
                _say(f"mind: {name}: {source.card.caveat}")
        if finished:
            _say(f"{finished} of {finished + len(todo)} trials were finished before")

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended."""
        self._done += 1
        spec, seconds = planned.spec, time.monotonic() - self._start
        status, detail = (record.status, record.detail) if record else ("missing", "")
        reason = f": {detail.splitlines()[0]}" if status != "ok" and detail else ""
        score = headline_score(record, self._task.metrics) if record else ""
        place = f"{spec.method} on {spec.dataset}/{spec.track}"
        _say(f"[{self._done}/{self._total}, {seconds:.0f} s] {status}: {place}{reason or score and f', {score}'}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


#: A line for each trial that ends.
LINES = Display(Lines, build_environment, _say)
#: Not a word.
SILENT = Display(Silent, build_environment)
