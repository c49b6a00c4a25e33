"""The terminal while trials run, and when they are done."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.environments.declaration import Environment
from bench.execution.run import Result
from bench.plan.grid import Plan, Planned
from bench.results.headline import headline
from bench.results.records import DECLARED, TrialRecord
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
    """A table of what runs now: elapsed time, progress, status counts; plain lines where there is no terminal."""

    def __init__(self, plan: Plan, todo: list[Planned], finished: int) -> None:
        self._console = Console(stderr=True)
        self._total, self._done = len(todo), 0
        self._running: dict[str, tuple[Planned, float, str]] = {}
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
        self._show(planned, "preparing the problem")

    def started(self, planned: Planned) -> None:
        """A trial begins, and so does its time."""
        self._show(planned, "")

    def _show(self, planned: Planned, state: str) -> None:
        with self._lock:
            self._running[planned.key] = (planned, time.monotonic(), state)

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended: one line, above the live table."""
        status = record.status if record else "missing"
        with self._lock:
            _, start, _ = self._running.pop(planned.key, (planned, time.monotonic(), ""))
            self._done += 1
            self._counts[status] += 1
            line = Text.assemble(
                (f"{status:<14}", STYLES[status]),
                f" {_name(planned)}  {time.monotonic() - start:.1f} s",
            )
            if record is not None and record.status != "ok":
                line.append(f"  {record.detail.splitlines()[0] if record.detail else ''}", style="dim")
            if self._console.is_terminal:
                line.truncate(self._console.width, overflow="ellipsis")
            self._say(line)
            if self._done == self._total and self._live is not None:
                self._live.stop()

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
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("running", "elapsed", "progress", ""):
            table.add_column(heading, header_style="dim")
        for planned, start, state in self._running.values():
            fraction, message, _ = progress(planned)
            bar, since = "#" * round(fraction * 20), f"{time.monotonic() - start:.0f} s"
            table.add_row(escape(_name(planned)), since, f"{bar:.<20}", escape(message or state))
        counts = "  ".join(f"[{STYLES[s]}]{s} {n}[/]" for s, n in sorted(self._counts.items()))
        elapsed = time.monotonic() - self._start
        return Group(table, Text.from_markup(f"{self._done}/{self._total} done in {elapsed:.0f} s  {counts}"))


def print_summary(result: Result, html: Path | None) -> None:
    """Headline table, warnings about the problems, failures and where the report lies."""
    console = Console()
    console.print(_headline(result))
    for line, style in chain(_warnings(result), _unreadable(result), _reasons(result)):
        console.print(Text(line, style=style), soft_wrap=True)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(result.counts.items()))
    console.print(f"{count(sum(result.counts.values()), 'trial')}: {counts} ({result.ran} run now)")
    console.print(Text(f"tables: {result.store.root / 'results.csv'}"), soft_wrap=True)
    if html is not None:
        console.print(Text.assemble("report: ", (str(html), "bold")), soft_wrap=True)


def _warnings(result: Result) -> Iterator[tuple[str, str]]:
    """Every warning that the task gave about a problem, told once with where it holds; and the style to print it in."""
    places: dict[str, dict[str, None]] = {}
    for record in result.records:
        for note in record.problem_notes:
            if note.level == "warning":
                where = f"{record.spec.dataset}/{record.spec.track}"
                places.setdefault(note.text, {})[where] = None
    return ((f"warning: {', '.join(where)}: {note}", "yellow") for note, where in places.items())


def _unreadable(result: Result) -> Iterator[tuple[str, str]]:
    """Every dataset of which nothing could be planned, and why; and the style to print it in."""
    return ((f"not run: {name}: {error}", "red") for name, error in result.plan.unreadable.items())


def _reasons(result: Result) -> Iterator[tuple[str, str]]:
    """Every reason why there is no score, told once, with the trials it holds for; and the style to print it in."""
    for style, records in (("red", result.failures), ("yellow", [r for r in result.records if r.status in DECLARED])):
        groups: dict[tuple[str, str, str], list[TrialRecord]] = {}
        for record in records:
            # A package is missing for every dataset alike.
            place = "" if record.status == "unavailable" else f" on {record.spec.dataset}/{record.spec.track}"
            groups.setdefault((record.status, place, record.detail), []).append(record)
        for (status, place, detail), members in groups.items():
            methods = ", ".join(dict.fromkeys(record.spec.method for record in members))
            log = result.store.trial_folder(members[0].key) / "log.txt"
            where = f"\n  log:   {log}" if style == "red" and log.exists() else ""
            yield f"{status}: {methods}{place}: {detail}{where}", style


def _headline(result: Result) -> Table:
    """Methods x (dataset, track) with the task's headline metric."""
    tracks = result.plan.task.tracks
    circular = {name for name, track in tracks.items() if track.circular}
    told = headline(result.records, result.plan.task.metrics, circular)
    table = Table(title=f"{told.metric.name} (pooled over donors, mean over splits and seeds)", title_justify="left")
    table.add_column("method")
    for dataset, track in told.places:
        table.add_column(f"{dataset}\n{track}{' (circular truth)' if track in circular else ''}", justify="right")
    for row in told.rows:
        title = row.method if row.role == "method" else f"{row.method} ({row.role} control)"
        cells = [cell.status if cell.value is None else f"{cell.value:.3f}" for cell in row.cells]
        table.add_row(escape(title), *cells, style="" if row.role == "method" else "dim")
    return table


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
