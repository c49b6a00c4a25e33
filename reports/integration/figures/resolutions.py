"""Agreement of clusters with the labels over resolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.integration import tables as integration_tables
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import LINES, styles

if TYPE_CHECKING:
    import pandas as pd


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.integration.tables.resolutions`."""
    return integration_tables.resolutions(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a (track, dataset) and level: NMI and ARI."""
    order = tables.label_order(run, task)
    style_of = styles(order)
    rows = frame[["track", "dataset", "level"]].drop_duplicates()
    figure = Figure(figsize=(8, 2.6 * len(rows) + 0.4), layout="constrained")
    for row, key in zip(figure.subplots(len(rows), 2, squeeze=False), rows.itertuples(index=False), strict=True):
        panel_rows = frame[(frame[["track", "dataset", "level"]] == list(key)).all(axis=1)]
        for axes, column in zip(row, ("nmi", "ari"), strict=True):
            for label, _ in order:
                curve = panel_rows[panel_rows["label"] == label]
                axes.plot(curve["resolution"], curve[column], color=style_of[label]["colour"], linewidth=1.1,
                          linestyle=LINES[style_of[label]["dash"]], label=label if len(curve) else None)  # fmt: skip
            axes.set(xlabel="resolution", ylabel=column.upper())
        row[0].set_title(" · ".join(key))
        row[1].legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, fontsize=7)
    return figure
