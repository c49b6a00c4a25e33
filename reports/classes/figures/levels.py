"""Agreement of a method's answers at its label levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.classes import label_levels
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import styles

if TYPE_CHECKING:
    import pandas as pd

PARQUET = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.classes.label_levels.consistency`."""
    return label_levels.consistency(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a dataset, a panel for each two levels: share of cells with its interval for each method."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    style_of = styles(tables.label_order(run, task))
    datasets = list(dict.fromkeys(frame["dataset"]))
    steps = list(dict.fromkeys(zip(frame["coarse"], frame["fine"], strict=True)))
    size = (2.9 * len(steps) + 1, (0.26 * len(order) + 0.8) * len(datasets))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(datasets), len(steps), squeeze=False, sharex=True, sharey=True)
    for row, dataset in zip(grid, datasets, strict=True):
        for axes, (coarse, fine) in zip(row, steps, strict=True):
            panel_rows = frame[(frame["dataset"] == dataset) & (frame["coarse"] == coarse) & (frame["fine"] == fine)]
            for estimate in panel_rows.itertuples():
                y, colour = order.index(estimate.label), style_of[estimate.label]["colour"]
                axes.plot([estimate.ci_low, estimate.ci_high], [y, y], color=colour, linewidth=1.4)
                axes.plot(estimate.consistent, y, marker="o", markersize=4, color=colour)
            above = f"{dataset}\n" if axes is row[0] else ""
            axes.set(title=f"{above}{fine} within {coarse}", ylim=(len(order) - 0.5, -0.5))
            axes.set_yticks(range(len(order)), order)
            axes.grid(axis="x", color="#ECEFF1")
    figure.supxlabel("share of cells whose finer answer lies within the coarser one", fontsize=8)
    return figure
