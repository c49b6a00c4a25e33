"""Time and memory against the headline metric, both on log axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports import _tables
from bench.reports._load import Run
from bench.reports._style import styles

if TYPE_CHECKING:
    import pandas as pd


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Per label: mean headline metric over pairs, and median wall time and peak memory over its finished trials."""
    metric = _tables.headline(run.tasks[task])
    frame = _tables.cells(run)
    frame = frame[
        (frame["task"] == task) & (frame["metric"] == (metric.name if metric else "")) & (frame["role"] == "method")
    ]
    trials = _tables.trials(run)
    trials = trials[(trials["task"] == task) & (trials["status"] == "ok")]
    used = trials.groupby("label").agg(wall_s=("wall_s", "median"), rss_peak_mb=("rss_peak_mb", "median"))
    mean = frame.groupby("label").agg(value=("value", "mean"), pairs=("value", "count"))
    return mean.join(used).dropna(subset=["value", "wall_s"]).reset_index()


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """Two panels that share the metric's axis."""
    looks = styles(_tables.label_order(run, task))
    metric = _tables.headline(run.tasks[task])
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, column, words in zip(
        panels, ("wall_s", "rss_peak_mb"), ("wall time (s)", "peak memory (MB)"), strict=True
    ):
        for row in frame.dropna(subset=[column]).itertuples():
            x = float(getattr(row, column))
            axes.scatter([x], [float(row.value)], s=40, color=looks[row.label]["colour"], zorder=3)
            axes.annotate(row.label, (x, float(row.value)), xytext=(4, 4), textcoords="offset points", fontsize=7)
        axes.set(xscale="log", xlabel=words)
        axes.grid(color="#EEEEEE", which="both", linewidth=0.6)
        axes.margins(x=0.15)
    panels[0].set(ylabel=f"{metric.name if metric else ''} (mean over track and dataset pairs)")
    return figure
