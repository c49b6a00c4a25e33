"""Fold changes and P values of the genes of each cell type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from bench.reports.deg import tables as deg_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd

PER_PAIR = True
_LOWEST = 1e-300


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.deg.tables.volcano`."""
    return deg_tables.volcano(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a cell type, a column a method; DEGs in orange (up) and blue (down)."""
    labels = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    types = sorted(frame["cell_type"].unique())
    figure = Figure(figsize=(1.9 * len(labels) + 0.5, 1.7 * len(types) + 0.4), layout="constrained")
    grid = figure.subplots(len(types), len(labels), squeeze=False, sharex=True)
    for (i, j), axes in np.ndenumerate(grid):
        panel_genes = frame[(frame["cell_type"] == types[i]) & (frame["label"] == labels[j])].dropna(subset=["p_val"])
        strength = -np.log10(panel_genes["p_val"].to_numpy(float).clip(_LOWEST))
        called, up = panel_genes["called"].to_numpy(bool), panel_genes["avg_log2FC"].to_numpy(float) > 0
        colour = np.where(called, np.where(up, "#D55E00", "#0072B2"), "#C8CDD1")
        axes.scatter(panel_genes["avg_log2FC"], strength, s=2, c=colour, linewidths=0, rasterized=True)
        axes.set_title(f"{labels[j]}: {(called & up).sum()} up, {(called & ~up).sum()} down", fontsize=6.5)
        if not j:
            axes.set_ylabel(types[i], fontsize=7)
    figure.supxlabel("log2 fold change", fontsize=8)
    figure.supylabel("-log10 P", fontsize=8)
    return figure
