"""Overlap of DEGs over subsets of patients, after Fig. 7c and Supplementary Fig. 4 of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from bench.reports.deg import tables as deg_tables
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import styles

if TYPE_CHECKING:
    import pandas as pd

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.deg.tables.subsets`."""
    return deg_tables.subsets(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel a cell type and direction: a box without imputation, then one a method."""
    boxes = deg_tables.boxes(frame)
    boxes = boxes[boxes["n"] > 0]
    style_of = styles(tables.label_order(run, task))
    order = ["raw", *(label for label, _ in tables.label_order(run, task) if label != "raw")]
    types, directions = sorted(frame["cell_type"].unique()), sorted(frame["direction"].unique())
    size = (2.4 * len(directions) + 0.6, (0.22 * len(order) + 0.6) * len(types) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(types), len(directions), squeeze=False, sharex=True, sharey=True)
    for (i, j), axes in np.ndenumerate(grid):
        panel_boxes = boxes[(boxes["cell_type"] == types[i]) & (boxes["direction"] == directions[j])].set_index("label")
        for y, label in enumerate(order):
            if label not in panel_boxes.index:
                continue
            row = panel_boxes.loc[label]
            colour = "#777777" if label == "raw" else style_of[label]["colour"]
            stats = {
                "med": row["median"],
                "q1": row["q1"],
                "q3": row["q3"],
                "whislo": row["low"],
                "whishi": row["high"],
            }
            line = {"color": colour, "linewidth": 0.9}
            axes.bxp([stats], positions=[y], orientation="horizontal", widths=0.6, showfliers=False, boxprops=line,
                     whiskerprops=line, capprops=line, medianprops={"color": "#222222"})  # fmt: skip
        cells = panel_boxes["cells"].iloc[0] if len(panel_boxes) else np.nan
        axes.set_title(f"{types[i]}, {directions[j]}: {cells:,.0f} cells", fontsize=7)
        axes.set_yticks(range(len(order)), ["no imputation", *order[1:]])
        axes.set(ylim=(len(order) - 0.5, -0.5), xlim=(-0.02, 1.02))
    figure.supxlabel("overlap over subsets of patients; median cells of a subset", fontsize=8)
    return figure
