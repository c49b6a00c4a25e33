"""Spread of the headline metric over donors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import styles

if TYPE_CHECKING:
    import pandas as pd


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Mean over seeds of the headline metric for each part (``donor:<name>``) of each (track, dataset)."""
    metric = tables.headline(run.tasks[task])
    rows = run.rows[(run.rows["task"] == task) & (run.rows["metric"] == (metric.name if metric else ""))]
    rows = rows[rows["unit"].str.contains(":").fillna(False) & rows["value"].notna()]
    grouped = rows.groupby(["track", "dataset", "label", "role", "unit"], sort=True)
    return grouped.agg(value=("value", "mean"), n=("n", "max")).reset_index()


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel per (track, dataset): a box and its donors for each method."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    style_of = styles(tables.label_order(run, task))
    with_values = set(zip(frame["track"], frame["dataset"], strict=True))
    pairs = [pair for pair in tables.pairs(run, task) if pair in with_values]
    metric = tables.headline(run.tasks[task])
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    figure = Figure(figsize=(2.9 * across + 1, (0.24 * len(order) + 0.9) * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex=True)
    for axes in grid.flat[len(pairs) :]:
        axes.set_axis_off()
    for axes, (track, dataset) in zip(grid.flat, pairs, strict=False):
        pair_rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        for y, label in enumerate(order):
            values = pair_rows.loc[pair_rows["label"] == label, "value"].astype(float).tolist()
            if not values:
                continue
            line = {"color": "#888888", "linewidth": 0.8}
            axes.boxplot([values], positions=[y], orientation="horizontal", widths=0.6, showfliers=False,
                         boxprops=line, whiskerprops=line, capprops=line, medianprops={"color": "#222222"})  # fmt: skip
            axes.scatter(values, [y] * len(values), s=10, color=style_of[label]["colour"], zorder=3, alpha=0.8)
        axes.set(title=f"{track} · {dataset}", ylim=(len(order) - 0.5, -0.5))
        axes.set_yticks(range(len(order)), order)
    figure.supxlabel(f"{metric.name if metric else ''} per donor", fontsize=8)
    return figure
