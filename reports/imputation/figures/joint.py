"""True against imputed expression, after Fig. 5a of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from bench.reports.imputation import density
from bench.reports.imputation import tables as imputation_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.imputation.tables.joint`."""
    return imputation_tables.joint(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a method, a column a group of hidden entries, with MSE and Pearson r of each."""
    labels = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    groups = sorted(frame["group"].unique(), key=imputation_tables.group_order)
    errors = imputation_tables.groups(run, task).set_index(["track", "dataset", "label", "group"])
    end = density.top(frame)
    figure = Figure(figsize=(1.5 * len(groups) + 1, 1.5 * len(labels) + 0.6), layout="constrained")
    grid = figure.subplots(len(labels), len(groups), squeeze=False, sharex=True, sharey=True)
    for (i, j), axes in np.ndenumerate(grid):
        panel_entries = frame[(frame["label"] == labels[i]) & (frame["group"] == groups[j])]
        counts = density.regrid(panel_entries, end)
        visible = np.ma.masked_less_equal(counts, 0)
        axes.imshow(
            visible, origin="lower", extent=(0, end, 0, end), cmap="Blues", norm=LogNorm(0.3, max(counts.max(), 1))
        )
        axes.plot([0, end], [0, end], color="#D55E00", linewidth=0.8, linestyle="--")
        key = (*frame.iloc[0][["track", "dataset"]], labels[i], groups[j])
        if key in errors.index:
            row = errors.loc[key]
            axes.text(
                0.04,
                0.96,
                f"MSE {row['mse']:.3g}\nr {row['pearson']:.3f}".replace("nan", "–"),
                transform=axes.transAxes,
                va="top",
                fontsize=6,
            )
        if not i:
            axes.set_title(f"group {groups[j]}")
        if not j:
            axes.set_ylabel(labels[i])
    figure.supxlabel("true, ln(1 + counts per 10,000)", fontsize=8)
    figure.supylabel("imputed", fontsize=8)
    return figure
