"""Spread of F1 over classes, after Fig. 3 of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from bench.reports.classes import tables as class_tables
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import styles

if TYPE_CHECKING:
    import pandas as pd


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.classes.tables.table` without the classes that no tested cell has."""
    frame = class_tables.table(run, task)
    return frame[frame["f1"].notna()].reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel per (track, dataset): a box and its classes for each method."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    style_of = styles(tables.label_order(run, task))
    pairs = class_tables.pairs(run, task, frame)
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    figure = Figure(figsize=(2.9 * across + 1, (0.3 * len(order) + 0.9) * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex=True)
    for axes in grid.flat[len(pairs) :]:
        axes.set_axis_off()
    spread = np.random.default_rng(0)
    for axes, (track, dataset) in zip(grid.flat, pairs, strict=False):
        panel_rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        for y, label in enumerate(order):
            values = panel_rows.loc[panel_rows["label"] == label, "f1"].astype(float).tolist()
            if not values:
                continue
            line = {"color": "#888888", "linewidth": 0.8}
            axes.boxplot([values], positions=[y], orientation="horizontal", widths=0.6, showfliers=False,
                         boxprops=line, whiskerprops=line, capprops=line, medianprops={"color": "#222222"})  # fmt: skip
            places = y + spread.uniform(-0.24, 0.24, len(values))
            axes.scatter(values, places, s=7, color=style_of[label]["colour"], zorder=3, alpha=0.7, linewidths=0)
        axes.set(title=f"{track} · {dataset}", ylim=(len(order) - 0.5, -0.5), xlim=(-0.03, 1.03))
        axes.set_yticks(range(len(order)), order)
    figure.supxlabel("F1 of each class", fontsize=8)
    return figure
