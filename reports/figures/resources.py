"""Time and memory against the headline metric, both on log axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.standing import not_compared
from bench.reports.run.style import styles

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

#: Where a label may stand beside its mark (points), and how it is aligned there, from best to worst.
_PLACES = ((5, 4, "left"), (5, -10, "left"), (-5, 4, "right"), (-5, -10, "right"))


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Per label: mean headline metric over pairs, and median wall time and peak memory over its finished trials.

    Of the pairs whose methods may be compared (:mod:`bench.reports.run.standing`).
    """
    metric = tables.headline(run.tasks[task])
    frame = tables.cells(run)
    frame = frame[
        (frame["task"] == task) & (frame["metric"] == (metric.name if metric else "")) & (frame["role"] == "method")
    ]
    apart = not_compared(run, run.tasks[task])
    frame, trials = (part[_not_of(part, apart)] for part in (frame, tables.trials(run)))
    trials = trials[(trials["task"] == task) & (trials["status"] == "ok")]
    used = trials.groupby("label").agg(wall_s=("wall_s", "median"), rss_peak_mb=("rss_peak_mb", "median"))
    mean = frame.groupby("label").agg(value=("value", "mean"), pairs=("value", "count"))
    table = mean.join(used).dropna(subset=["value", "wall_s"]).reset_index()
    n = len([pair for pair in tables.pairs(run, task) if pair not in apart])
    table["name"] = [row.label if row.pairs == n else f"{row.label} ({row.pairs} of {n})" for row in table.itertuples()]
    return table


def _not_of(frame: pd.DataFrame, pairs: Collection[tuple[str, str]]) -> NDArray[np.bool_]:
    """Rows that are of other (track, dataset) pairs than these."""
    # An empty list would choose columns, none of them.
    return np.array([pair not in pairs for pair in zip(frame["track"], frame["dataset"], strict=True)], dtype=bool)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """Two panels that share the metric's axis."""
    style_of = styles(tables.label_order(run, task))
    metric = tables.headline(run.tasks[task])
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, column, words in zip(
        panels, ("wall_s", "rss_peak_mb"), ("wall time (s)", "peak memory (MB)"), strict=True
    ):
        for row in frame.dropna(subset=[column]).itertuples():
            x = float(getattr(row, column))
            axes.scatter([x], [float(row.value)], s=40, color=style_of[row.label]["colour"], zorder=3)
        axes.set(xscale="log", xlabel=words)
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.xaxis.set_minor_formatter("{x:,g}")
        axes.grid(color="#EEEEEE", which="both", linewidth=0.6)
        axes.margins(x=0.15)
    figure.draw_without_rendering()  # settles the axes, so that labels can be placed by where marks lie
    for axes, column in zip(panels, ("wall_s", "rss_peak_mb"), strict=True):
        _label(axes, frame.dropna(subset=[column]), column)
    panels[0].set(ylabel=f"{metric.name if metric else ''} (mean over track and dataset pairs)")
    return figure


def _label(axes: Axes, frame: pd.DataFrame, column: str) -> None:
    """Name the marks, each at the first place that covers no other mark or name."""
    scale = axes.figure.dpi / 72
    marks = axes.transData.transform(frame[[column, "value"]].to_numpy(dtype=float)) / scale
    occupied = [(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    for (x, y), row in zip(marks, frame.itertuples(), strict=True):
        width = 4.0 * len(row.name)
        boxes = [(x + dx - width * (side == "right"), y + dy - 1) for dx, dy, side in _PLACES]
        free = [not any(_overlap((a, b, a + width, b + 8), box) for box in occupied) for a, b in boxes]
        place = free.index(True) if any(free) else 0
        a, b = boxes[place]
        occupied.append((a, b, a + width, b + 8))
        dx, dy, side = _PLACES[place]
        axes.annotate(
            row.name,
            (getattr(row, column), row.value),
            xytext=(dx, dy),
            textcoords="offset points",
            fontsize=7,
            ha=side,
        )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
