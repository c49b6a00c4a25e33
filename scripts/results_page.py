"""Write docs/results.md from run folders: the headline metric of every method, with its 95 % interval.

    python scripts/results_page.py RUN [RUN ...] > docs/results.md

Nothing is typed by hand: values and intervals are those of the report, and each table says which command made the run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.reports.run import tables
from bench.reports.run.load import Run, load
from bench.reports.run.standing import not_compared
from bench.reports.run.words import interval, number
from bench.results.records import TaskCard
from bench.words import count

if TYPE_CHECKING:
    import pandas as pd

HEAD = """# Results

Made by `python scripts/results_page.py RUN ...` from run folders. Each cell is the headline metric with its 95 %
interval, as in the report; [means and intervals](run-folder.md#means-and-intervals) tells how they are made. Methods
are sorted by the first column. Controls stand last, in italics: a method that does not beat a trivial
baseline has learned nothing. A dash: not applicable, or it ended without a result. Where intervals overlap, the order
means nothing.
"""


def main(folders: list[str]) -> None:
    """Print the page."""
    if not folders:
        sys.exit(__doc__)
    print(HEAD)
    for folder in folders:
        run = load(Path(folder))
        for task in run.tasks.values():
            print("\n".join(section(run, task)))


def section(run: Run, task: TaskCard) -> Iterator[str]:
    """Lines on one task of a run."""
    metric = tables.headline(task)
    frame = tables.cells(run)
    frame = frame[(frame["task"] == task.name) & frame["value"].notna()]
    frame = frame[frame["metric"] == metric.name] if metric else frame.iloc[:0]
    scored = set(frame[["track", "dataset"]].itertuples(index=False, name=None))
    pairs = [pair for pair in tables.pairs(run, task.name) if pair in scored]
    if not pairs:
        return
    yield f"## {task.name}: {', '.join(dict.fromkeys(dataset for _, dataset in pairs))}\n"
    yield f"`{metric.name}`, {metric.direction}. {metric.summary}\n"
    yield cost(run, task)
    yield f"| method | {' | '.join(f'{dataset}, {track}' for track, dataset in pairs)} |"
    yield f"| --- |{' --- |' * len(pairs)}"
    first = frame[(frame["track"] == pairs[0][0]) & (frame["dataset"] == pairs[0][1])].set_index("label")
    first = metric.sign * first["value"]
    methods = frame.drop_duplicates("label").set_index("label")["role"]
    for label in sorted(methods.index, key=lambda name: (methods[name] != "method", worst_last(first, name))):
        name = label if methods[label] == "method" else f"*{label}*"
        yield f"| {name} | {' | '.join(cell(frame, pair, label) for pair in pairs)} |"
    yield ""
    for (track, dataset), reason in not_compared(run, task).items():
        yield f"- {dataset}, {track}: not compared: {reason}."
    yield ""


def cost(run: Run, task: TaskCard) -> str:
    """How many trials, seeds and CPU minutes are behind the numbers, by which version and when."""
    trials = [trial for trial in run.trials.values() if trial.spec.task == task.name]
    minutes = sum(trial.resources.cpu_s or 0 for trial in trials) / 60
    splits = len({trial.spec.seeds.split for trial in trials})
    versions = ", ".join(sorted({trial.bench_version for trial in trials}))
    last = max(trial.started for trial in trials)[:10]
    work = f"{count(len(trials), 'trial')}, {count(splits, 'split seed')}, {minutes:.0f} CPU minutes"
    return f"{work}, bench {versions}, {last}.\n"


def worst_last(first: pd.Series, name: str) -> float:
    """What a method is sorted by: its value in the first column."""
    value = float(first.get(name, float("nan")))
    return float("inf") if value != value else -value


def cell(frame: pd.DataFrame, pair: tuple[str, str], label: str) -> str:
    """Value and interval of a method on a track and dataset."""
    rows = frame[(frame["track"] == pair[0]) & (frame["dataset"] == pair[1]) & (frame["label"] == label)]
    if rows.empty:
        return "–"
    row = rows.iloc[0]
    bounds = interval(row["ci_low"], row["ci_high"])
    return f"{number(row['value'])} {bounds}".strip()


if __name__ == "__main__":
    main(sys.argv[1:])
