"""What the terminal shows while trials run, and when they are done."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.errors import BenchError
from bench.grid import Plan, Planned
from bench.record import TrialRecord
from bench.run import Result

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


class Silent:
    """Watches without a word (``--quiet``, ``--json``)."""

    def __init__(self, plan: Plan, todo: list[Planned], finished: int) -> None:
        pass

    def started(self, planned: Planned) -> None:
        """A trial begins."""

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended."""

    def tick(self, progress: Callable[[Planned], tuple[float, str]]) -> None:
        """Nothing to draw."""


class LiveTable:
    """A table of what runs now: elapsed time, progress, status counts; plain lines where there is no terminal."""

    def __init__(self, plan: Plan, todo: list[Planned], finished: int) -> None:
        self._console = Console(stderr=True)
        self._total, self._done = len(todo), 0
        self._running: dict[str, tuple[Planned, float]] = {}
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._live: Live | None = None
        note = f", {finished} finished before" if finished else ""
        self._console.print(f"[bold]{len(todo)} trials to run[/bold]{note}; {len(plan.skipped)} pairs not applicable")
        for skipped in plan.skipped:
            self._console.print(Text(f"  {skipped.dataset} on {skipped.track}: {skipped.reason}", style="yellow"))

    def started(self, planned: Planned) -> None:
        """A trial begins."""
        with self._lock:
            self._running[planned.key] = (planned, time.monotonic())

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended: one line, above the live table."""
        status = record.status if record else "missing"
        with self._lock:
            _, start = self._running.pop(planned.key, (planned, time.monotonic()))
            self._done += 1
            self._counts[status] += 1
            line = Text.assemble(
                (f"{status:<14}", STYLES[status]),
                f" {_name(planned)}  {time.monotonic() - start:.1f} s",
            )
            if record is not None and record.status != "ok":
                line.append(f"  {record.detail.splitlines()[0] if record.detail else ''}", style="dim")
            self._console.print(line, overflow="ellipsis", no_wrap=True)
            if self._done == self._total and self._live is not None:
                self._live.stop()

    def tick(self, progress: Callable[[Planned], tuple[float, str]]) -> None:
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

    def _draw(self, progress: Callable[[Planned], tuple[float, str]]) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("running", "elapsed", "progress", ""):
            table.add_column(heading, header_style="dim")
        for planned, start in self._running.values():
            fraction, message = progress(planned)
            bar = "#" * round(fraction * 20)
            table.add_row(escape(_name(planned)), f"{time.monotonic() - start:.0f} s", f"{bar:.<20}", escape(message))
        counts = "  ".join(f"[{STYLES[s]}]{s} {n}[/]" for s, n in sorted(self._counts.items()))
        elapsed = time.monotonic() - self._start
        return Group(table, Text.from_markup(f"{self._done}/{self._total} done in {elapsed:.0f} s  {counts}"))


def print_summary(result: Result, failures: Sequence[TrialRecord], html: Path | None) -> None:
    """Headline table, failures and where the report lies."""
    console = Console()
    console.print(_headline(result))
    for record in failures:
        where = f"{record.spec.method} on {record.spec.dataset}/{record.spec.track}"
        console.print(Text(f"{record.status}: {where}: {record.detail}", style="red"))
    unavailable = sorted({(r.spec.method, r.detail) for r in result.records if r.status == "unavailable"})
    for method, detail in unavailable:
        console.print(Text(f"unavailable: {method}: {detail}", style="yellow"))
    counts = ", ".join(f"{n} {status}" for status, n in sorted(result.counts.items()))
    console.print(f"{sum(result.counts.values())} trials: {counts} ({result.ran} run now)")
    console.print(Text(f"tables: {result.store.root / 'results.csv'}"))
    if html is not None:
        console.print(Text.assemble("report: ", (str(html), "bold")))


def _headline(result: Result) -> Table:
    """Methods x (dataset, track) with the task's headline metric, mean over seeds."""
    metric = next((m for m in result.plan.task.metrics if m.headline), None)
    if metric is None:
        raise BenchError(f"task {result.plan.task.name!r} has no headline metric", fix="mark one Metric as headline")
    columns = list(dict.fromkeys((r.spec.dataset, r.spec.track) for r in result.records))
    table = Table(title=f"{metric.name} (pooled over donors, mean over seeds)", title_justify="left")
    table.add_column("method")
    for dataset, track in columns:
        table.add_column(f"{dataset}\n{track}", justify="right")
    cells: dict[str, dict[tuple[str, str], list[TrialRecord]]] = {}
    for record in result.records:
        place = (record.spec.dataset, record.spec.track)
        cells.setdefault(record.spec.method, {}).setdefault(place, []).append(record)
    rows = {
        name: [_cell(by_place.get(place, []), metric.name) for place in columns] for name, by_place in cells.items()
    }
    roles = {record.spec.method: record.spec.role for record in result.records}
    for name in sorted(rows, key=lambda n: (roles[n] != "method", n)):
        shown = name if roles[name] == "method" else f"{name} ({roles[name]} control)"
        table.add_row(escape(shown), *rows[name], style="" if roles[name] == "method" else "dim")
    return table


def _cell(records: list[TrialRecord], metric: str) -> str:
    values = [
        s.value for r in records for s in r.scores if s.metric == metric and s.unit == "pooled" and s.value is not None
    ]
    if values:
        return f"{sum(values) / len(values):.3f}"
    return records[0].status if records else ""


def _name(planned: Planned) -> str:
    spec = planned.spec
    seeds = spec.seeds
    return f"{spec.method} {spec.dataset}/{spec.track} [{seeds.split}.{seeds.simulation}.{seeds.method}]"
