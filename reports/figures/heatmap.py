"""Metrics x methods x datasets, after Fig. 4b, c of the scMamba paper: white means no result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.results.records import TaskCard
from bench.task import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Mean over seeds of the pooled main metrics, with the best trap control of each pair and metric."""
    frame = tables.cells(run)
    frame = frame[(frame["task"] == task) & frame["metric"].isin(tables.main_metrics(run.tasks[task]))]
    traps = tables.trap_values(frame, run.tasks[task])
    return frame.merge(traps, on=[*tables.PAIR, "metric"], how="left").reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """One panel per (track, dataset); a triangle marks a value that does not beat the best trap control."""
    pairs, order, card = tables.pairs(run, task), tables.label_order(run, task), run.tasks[task]
    parts = tables.part_metrics(run, task)
    metrics = [name for name in tables.main_metrics(card) if name not in parts]
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    width, height = 0.46 * len(metrics) + 1.3, 0.23 * len(order) + 1.1
    figure = Figure(figsize=(width * across + 0.6, height * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in grid.flat[len(pairs) :]:
        axes.set_axis_off()
    for axes, (track, dataset) in zip(grid.flat, pairs, strict=False):
        pair_rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        _panel(axes, pair_rows, order, card, metrics)
        axes.set_title(f"{track} · {dataset}")
    figure.supxlabel(
        "hatched white: no result · ▾: does not beat the best trivial baseline · brighter is better", fontsize=8
    )
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, order: list[tuple[str, str]], card: TaskCard, metrics: list[str]) -> None:
    by_name = {m.name: m for m in card.metrics}
    values = {(row.label, row.metric): row for row in frame.itertuples()}
    for y, (label, role) in enumerate(order):
        for x, metric in enumerate(metrics):
            row = values.get((label, metric))
            if row is None or pd.isna(row.value):
                hatch = "" if row is not None else "/////"
                axes.add_patch(
                    Rectangle((x, y), 1, 1, facecolor="white", hatch=hatch, edgecolor="#BBBBBB", linewidth=0.4)
                )
                axes.text(
                    x + 0.5,
                    y + 0.5,
                    "n/a" if row is not None else "",
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="#666666",
                )
                continue
            shade = scaled(row.value, by_name[metric], frame.loc[frame["metric"] == metric, "value"])
            axes.add_patch(
                Rectangle(
                    (x, y), 1, 1, facecolor=matplotlib.colormaps["viridis"](shade), edgecolor="white", linewidth=0.6
                )
            )
            mark = "▾" if role == "method" and beaten(row.value, row.trap, by_name[metric]) else ""
            axes.text(x + 0.5, y + 0.5, f"{row.value:.2f}{mark}", ha="center", va="center", fontsize=6.5,
                      color="black" if shade > 0.55 else "white")  # fmt: skip
    methods = sum(role == "method" for _, role in order)
    if 0 < methods < len(order):
        axes.axhline(methods, color="#333333", linewidth=1.2)
    axes.set(xlim=(0, len(metrics)), ylim=(len(order), 0))
    axes.set_xticks([i + 0.5 for i in range(len(metrics))], metrics, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        [i + 0.5 for i in range(len(order))],
        [label if role == "method" else f"{label} ({role})" for label, role in order],
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def scaled(value: float, metric: Metric, values: pd.Series) -> float:
    """Position in [0, 1] between worst and best: the metric's range, or that of the values where it has none."""
    low = values.min() if metric.low is None else metric.low
    high = values.max() if metric.high is None else metric.high
    shade = float(Normalize(low, high, clip=True)(value)) if high > low else 0.5
    return shade if metric.higher_is_better else 1 - shade


def beaten(value: float, trap: float, metric: Metric) -> bool:
    """Return whether the trap control is as good as ``value`` or better."""
    return not pd.isna(trap) and bool(value <= trap if metric.higher_is_better else value >= trap)
