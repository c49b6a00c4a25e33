"""Methods compared with each other on the same cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from bench.reports.classes import same_cells
from bench.reports.classes import tables as class_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PARQUET = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.classes.same_cells.comparisons`."""
    return same_cells.comparisons(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel per (track, dataset): macro F1 of the row minus that of the column, with the marks of the page."""
    compared = set(frame["method_a"]) | set(frame["method_b"])
    order = [label for label, _ in tables.label_order(run, task) if label in compared]
    pairs = class_tables.pairs(run, task, frame)
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    side = 0.42 * len(order) + 1.2
    figure = Figure(figsize=((side + 0.4) * across + 0.6, (side + 0.3) * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(pairs) :]:
        axes.set_axis_off()
    for axes, (track, dataset) in zip(grid.flat, pairs, strict=False):
        _panel(axes, frame[(frame["track"] == track) & (frame["dataset"] == dataset)], order)
        axes.set_title(f"{track}\n{dataset}")
    words = "macro F1 of the row minus the column's; * differs over donors, ° on these cells (Holm)"
    figure.supxlabel(words, fontsize=7)
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, order: list[str]) -> None:
    difference = np.full((len(order), len(order)), np.nan)
    for row in frame.itertuples():
        a, b = order.index(row.method_a), order.index(row.method_b)
        difference[a, b], difference[b, a] = row.difference, -row.difference
        marks = ("*" if row.testable and row.p_holm < 0.05 else "") + ("°" if row.p_mcnemar_holm < 0.05 else "")
        for i, j, value in ((a, b, row.difference), (b, a, -row.difference)):
            axes.text(j, i, f"{value:+.2f}{marks}", ha="center", va="center", fontsize=5.5)
    limit = max(1.5 * np.nanmax(np.abs(difference)), 0.01)  # pale enough for black numbers
    axes.imshow(difference, cmap="RdBu", vmin=-limit, vmax=limit)
    axes.set_xticks(range(len(order)), order, rotation=90, fontsize=6.5)
    axes.set_yticks(range(len(order)), order, fontsize=6.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
