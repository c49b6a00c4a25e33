"""Overlap of DEGs over the share of cells, after Fig. 7b of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from bench.reports.deg import tables as deg_tables
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import LINES, styles

if TYPE_CHECKING:
    import pandas as pd

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.deg.tables.overlap` of the tracks with several shares of cells."""
    frame = deg_tables.overlap(run, task)
    several = frame.groupby(["track", "dataset"])["ratio"].transform("nunique") > 1
    return frame[several & frame["mean"].notna()].reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a cell type, a column a direction; a band is one SD over subsamples."""
    order = [label for label, _ in tables.label_order(run, task)]
    style_of = styles(tables.label_order(run, task))
    types, directions = sorted(frame["cell_type"].unique()), sorted(frame["direction"].unique())
    figure = Figure(figsize=(3 * len(directions) + 1.2, 2 * len(types) + 0.3), layout="constrained")
    grid = figure.subplots(len(types), len(directions), squeeze=False, sharex=True, sharey=True)
    for (i, j), axes in np.ndenumerate(grid):
        panel_rows = frame[(frame["cell_type"] == types[i]) & (frame["direction"] == directions[j])]
        for label in order:
            curve = panel_rows[panel_rows["label"] == label].sort_values("ratio")
            colour, x = style_of[label]["colour"], curve["ratio"].to_numpy(float)
            mean, sd = curve["mean"].to_numpy(float), curve["sd"].fillna(0).to_numpy(float)
            axes.plot(x, mean, color=colour, linestyle=LINES[style_of[label]["dash"]], linewidth=1.1, label=label)
            axes.fill_between(x, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), title=f"{types[i]}, {directions[j]}")
    grid[0, -1].legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, fontsize=7)
    figure.supxlabel("share of cells", fontsize=8)
    figure.supylabel("overlap with the DEGs of all cells", fontsize=8)
    return figure
