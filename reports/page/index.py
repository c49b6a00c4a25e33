"""One page over several runs: a summary of each task, and links to the full reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import __version__
from bench.reports.page.templates import asset, environment
from bench.reports.run import outcome, summary, tables
from bench.reports.run.caveats import rests_on, weak_labels
from bench.reports.run.leaders import leaders
from bench.reports.run.load import Run, load
from bench.reports.run.standing import not_compared
from bench.reports.run.words import interval, number
from bench.results.records import TaskCard
from bench.system import now, write_atomic
from bench.words import listing

#: Methods shown of each track and dataset, rows of a task, and kinds of failure: the report has all.
TOP, ROWS, LOST = 3, 12, 3


@dataclass(frozen=True)
class Top:
    """The best methods of one track and dataset: name, value and interval; or why they are not compared."""

    track: str
    dataset: str
    rests_on: str
    weak: bool
    methods: list[tuple[str, str, str]]
    why: str


def write_index(run_dirs: Sequence[Path], target: Path) -> Path:
    """Write the page to ``target``; its links lead from there to the reports of the runs.

    Raises
    ------
    bench.errors.BenchError
        If one of the folders is not a run.
    """
    runs = [load(folder) for folder in run_dirs]
    views = [view for run in runs for view in _views(run, target.parent)]
    text = (
        environment()
        .get_template("page/index.html.j2")
        .render(
            title=f"Benchmarks: {listing(list(dict.fromkeys(view['card'].name for view in views)))}",
            views=views,
            runs=len(runs),
            made=now(),
            version=__version__,
            style=asset("page/report.css"),
        )
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, text.encode())
    return target


def _views(run: Run, place: Path) -> list[dict[str, Any]]:
    report = run.folder / "report.html"
    path = Path(os.path.relpath(report, place)).as_posix()
    shown = {
        "run": run,
        "folder": run.folder.resolve().name,
        "path": path,
        "link": quote(path) if report.exists() else "",
    }
    return [shown | _of_task(run, card) for card in run.tasks.values()]


def _of_task(run: Run, card: TaskCard) -> dict[str, Any]:
    top = _tops(run, card)
    lost = outcome.lost(run, card)
    return {
        "card": card,
        "headline": tables.headline(card),
        "datasets": sorted({dataset for _, dataset in tables.pairs(run, card.name)}),
        "verdict": summary.verdict(run, card, leaders(run, card)),
        "scope": summary.scope(run, card),
        "no_result": summary.no_result(run, card),
        "outcome": outcome.line(run, card),
        "lost": lost[:LOST],
        "more_lost": max(0, len(lost) - LOST),
        "top": top[:ROWS],
        "more_rows": max(0, len(top) - ROWS),
    }


def _tops(run: Run, card: TaskCard) -> list[Top]:
    metric, apart = tables.headline(card), not_compared(run, card)
    frame = tables.cells(run)
    frame = frame[(frame["task"] == card.name) & (frame["metric"] == (metric.name if metric else ""))]
    frame = frame[(frame["role"] == "method") & frame["whole"] & frame["value"].notna()]
    tops = []
    for track, dataset in tables.pairs(run, card.name):
        rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        rows = rows.sort_values(["value", "label"], ascending=[not (metric and metric.higher_is_better), True])
        best = [
            (str(row.label), number(row.value), interval(row.ci_low, row.ci_high))
            for row in rows.head(TOP).itertuples(index=False)
        ]
        why = apart.get((track, dataset), "" if best else "no method has a result")
        weak = bool(weak_labels(run, card.name, dataset))
        tops.append(Top(track, dataset, rests_on(run, card.name, track, dataset), weak, [] if why else best, why))
    return tops
