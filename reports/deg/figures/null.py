"""Calibration on null data: quantiles of P values, and the share below alpha."""

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


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.deg.tables.false_positives`."""
    return deg_tables.false_positives(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel a (track, dataset), kind of null and alpha: a mark a cell type, a triangle where above alpha."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    style_of = styles(tables.label_order(run, task))
    panels = list(frame.groupby(["track", "dataset", "kind", "alpha"], sort=True))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3 * across + 1, (0.24 * len(order) + 0.9) * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, ((track, dataset, kind, alpha), panel_rows) in zip(grid.flat, panels, strict=False):
        for y, label in enumerate(order):
            for above, marker in ((False, "o"), (True, "^")):
                rates = panel_rows[(panel_rows["label"] == label) & (panel_rows["above"] == above)]["fpr"].to_numpy(
                    float
                )
                axes.scatter(
                    rates, np.full(len(rates), y), s=14, marker=marker, color=style_of[label]["colour"], alpha=0.8
                )
        axes.axvline(alpha, color="#444444", linestyle="--", linewidth=0.8)
        axes.set(title=f"{track} · {dataset}: {kind}, alpha {alpha:g}", ylim=(len(order) - 0.5, -0.5))
        axes.set_yticks(range(len(order)), order)
    figure.supxlabel("false-positive rate, a mark a cell type", fontsize=8)
    return figure
