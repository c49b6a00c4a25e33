"""The terminal while trials run."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from statistics import fmean

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.environments.declaration import Environment
from bench.plan.grid import Plan, Planned
from bench.results.headline import headline_score
from bench.results.records import TrialRecord
from bench.sandbox.progress import Progress
from bench.words import count

STYLES = {
    "ok": "green",
    "timeout": "red",
    "oom": "red",
    "crash": "red",
    "invalid_output": "red",
    "missing": "red",
    "not_applicable": "yellow",
    "unavailable": "yellow",
}


class LiveTable:
    """Progress of all trials, and a line for each that runs now; where there is no terminal, a plain line an event."""

    def __init__(self, plan: Plan, todo: list[Planned], finished: int) -> None:
        self._console = Console(stderr=True)
        self._waiting = {planned.key: planned for planned in todo}
        self._total, self._task = len(todo), plan.task
        #: Trials whose problem is built or waited for, and trials at work, and since when.
        self._preparing: dict[str, tuple[Planned, float]] = {}
        self._running: dict[str, tuple[Planned, float]] = {}
        self._prepared: set[str] = set()
        #: Method and role -> how long each of its trials took.
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._live: Live | None = None
        note = f", {finished} finished before" if finished else ""
        self._say(Text.assemble((count(len(todo), "trial"), "bold"), f" to run{note}"))
        for reason in plan.superseded:
            self._say(Text(reason, style="yellow"))
        for skipped in plan.skipped:
            self._say(Text(f"not run: {skipped.dataset}/{skipped.track}: {skipped.reason}", style="yellow"))
        for offer in plan.offers.values():
            self._say(Text(f"  fix:   {offer}", style="yellow"))
        for name, source in plan.datasets.items():
            if source.card.caveat and not source.card.builtin:
                self._say(Text(f"mind: {name}: {source.card.caveat}", style="yellow"))

    def preparing(self, planned: Planned) -> None:
        """A trial is next."""
        with self._lock:
            self._waiting.pop(planned.key, None)
            self._preparing[planned.key] = planned, time.monotonic()

    def started(self, planned: Planned) -> None:
        """A trial begins, and so does its time; the first of a problem tells that the problem is prepared."""
        with self._lock:
            self._waiting.pop(planned.key, None)
            _, since = self._preparing.pop(planned.key, (planned, time.monotonic()))
            self._running[planned.key] = planned, time.monotonic()
            if planned.problem not in self._prepared:
                self._prepared.add(planned.problem)
                seconds = time.monotonic() - since
                self._say(Text(f"{'prepared':<14} {_problem(planned)}  {seconds:.1f} s", style="dim"))

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended: one line, above the live table."""
        status = record.status if record else "missing"
        with self._lock:
            self._preparing.pop(planned.key, None)
            self._counts[status] += 1
            line = Text.assemble((f"{status:<14}", STYLES[status]), f" {_name(planned)}")
            if planned.key in self._running:
                seconds = time.monotonic() - self._running.pop(planned.key)[1]
                line.append(f"  {seconds:.1f} s")
                self._seconds[planned.spec.method, planned.spec.role].append(seconds)
            if record is not None and record.status != "ok":
                line.append(f"  {record.detail.splitlines()[0] if record.detail else ''}", style="dim")
            elif record is not None and (score := headline_score(record, self._task.metrics)):
                line.append(f"  {score}", style="bold")
            if self._console.is_terminal:
                line.truncate(self._console.width, overflow="ellipsis")
            self._say(line)
            if self._done == self._total and self._live is not None:
                self._live.stop()

    @property
    def _done(self) -> int:
        return self._counts.total()

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def tick(self, progress: Callable[[Planned], Progress]) -> None:
        """Redraw."""
        if not self._console.is_terminal:
            return
        with self._lock:
            if self._done == self._total:
                return
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(self._draw(progress), refresh=True)

    def _draw(self, progress: Callable[[Planned], Progress]) -> Group:
        """The bar of all trials first: of many lines, a low terminal cuts the last ones off."""
        now = time.monotonic()
        lines = Table.grid(padding=(0, 1), expand=True)
        for column in ({"ratio": 3}, {"justify": "right", "min_width": 6}, {"width": 8}, {"ratio": 1}):
            lines.add_column(no_wrap=True, overflow="ellipsis", **column)
        problems = {planned.problem: (planned, since) for planned, since in reversed(self._preparing.values())}
        for planned, since in problems.values():
            lines.add_row(f"preparing {escape(_problem(planned))}", f"{now - since:.0f} s", "", "")
        for planned, since in self._running.values():
            fraction, message, _ = progress(planned)
            bar = ProgressBar(total=1.0, completed=fraction, width=8)
            lines.add_row(escape(_name(planned)), f"{now - since:.0f} s", bar, escape(message.partition("\n")[0]))
        return Group(self._overall(now), lines)

    def _overall(self, now: float) -> Table:
        line = Table.grid(padding=(0, 1))
        counts = [f"[{STYLES[s]}]{n} {s}[/]" for s, n in sorted(self._counts.items())]
        left = self._left(now)
        estimate = f", about {_duration(left)} left" if left is not None else ""
        bar = ProgressBar(total=self._total, completed=self._done, width=20)
        line.add_row(bar, f"{self._done} of {self._total}", f"{_duration(now - self._start)}{estimate}", *counts)
        return line

    def _left(self, now: float) -> float | None:
        """Seconds to go, as long as no method has ended: None.

        A trial takes as long as others of its method, or as methods do on average; as many run at once as did so far.
        """
        usual = {name: fmean(seconds) for (name, _), seconds in self._seconds.items()}
        known = [fmean(seconds) for (_, role), seconds in self._seconds.items() if role == "method"]
        if not known:
            return None
        mean = fmean(known)
        work = sum(usual.get(p.spec.method, mean) for p in self._waiting.values())
        work += sum(usual.get(p.spec.method, mean) for p, _ in self._preparing.values())
        running = [(usual.get(p.spec.method, mean), now - since) for p, since in self._running.values()]
        work += sum(max(0.0, whole - so_far) for whole, so_far in running)
        busy = sum(map(sum, self._seconds.values())) + sum(so_far for _, so_far in running)
        return work / max(1.0, busy / (now - self._start))


def _duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 10 min``."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _problem(planned: Planned) -> str:
    spec = planned.spec
    return f"{spec.dataset}/{spec.track} [{spec.seeds.split}.{spec.seeds.simulation}]"


def _name(planned: Planned) -> str:
    spec = planned.spec
    seeds = spec.seeds
    return f"{spec.method} {spec.dataset}/{spec.track} [{seeds.split}.{seeds.simulation}.{seeds.method}]"


def build_shown(environment: Environment) -> None:
    """Build an environment and show how it goes: the last line of the installers, or plain lines without a terminal."""
    from bench.environments.builder import build_environment

    console = Console(stderr=True)
    start = time.monotonic()
    console.print(f"building the environment of {environment.method}, once: {environment.summary}", soft_wrap=True)
    with console.status("starting") as status:

        def report(line: str) -> None:
            seconds = time.monotonic() - start
            status.update(Text(f"{seconds:.0f} s  {line}"[: console.width - 4]))
            if line.startswith("another process") and not console.is_terminal:
                console.print(line)

        build_environment(environment, report)
    console.print(f"built in {time.monotonic() - start:.0f} s: {environment.folder}", soft_wrap=True)
