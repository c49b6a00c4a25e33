"""Curves of each trial: precision-recall, ROC, identification rate, or whatever the task returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import LINES, styles

if TYPE_CHECKING:
    import pandas as pd

#: Known curves: title and axes. Others are shown under their own name.
CURVES = {
    "identification": {"title": "Identification rate", "x": "fraction of cells called", "y": "F1"},
    "pr": {"title": "Precision and recall", "x": "recall", "y": "precision"},
    "roc": {"title": "ROC", "x": "false positive rate", "y": "true positive rate"},
    "overlap": {"title": "DEGs found in part of the cells", "x": "share of the cells", "y": "overlap"},
    "reliability": {"title": "Reliability", "x": "largest probability", "y": "share that is right"},
}
#: Curves of a few bins, on [0, 1] x [0, 1], where the diagonal is perfect.
DIAGONAL = ("reliability",)


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Every point of every curve of the task."""
    frame = run.curves[run.curves["task"] == task]
    return frame[["track", "dataset", "label", "trial", "curve", "x", "y"]].reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row per kind of curve, a column per (track, dataset)."""
    names = [*(n for n in CURVES if (frame["curve"] == n).any()), *sorted(set(frame["curve"]) - set(CURVES))]
    with_points = set(zip(frame["track"], frame["dataset"], strict=True))
    pairs = [pair for pair in tables.pairs(run, task) if pair in with_points]
    style_of = styles(tables.label_order(run, task))
    figure = Figure(figsize=(2.6 * len(pairs) + 1.6, 2.5 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(pairs), squeeze=False)
    lines = {}
    for row, name in zip(grid, names, strict=True):
        words = CURVES.get(name, {"title": name, "x": "x", "y": "y"})
        for axes, (track, dataset) in zip(row, pairs, strict=True):
            panel_points = frame[(frame["curve"] == name) & (frame["track"] == track) & (frame["dataset"] == dataset)]
            several = panel_points.groupby("label")["trial"].nunique() > 1
            for (label, _), points in panel_points.groupby(["label", "trial"], sort=True):
                style = style_of[label]
                lines[label] = axes.plot(
                    points["x"].astype(float), points["y"].astype(float),
                    color=style["colour"], linestyle=LINES[style["dash"]],
                    linewidth=0.5 if several[label] else 1.1, alpha=0.6 if several[label] else 1.0,
                    marker="o" if name in DIAGONAL else "", markersize=2.5,
                )[0]  # fmt: skip
            if name in DIAGONAL:
                axes.axline((0, 0), slope=1, color="#BBBBBB", linewidth=0.8, linestyle="--", zorder=0)
                axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axes.set(xlabel=words["x"], title=f"{track} · {dataset}")
        row[0].set_ylabel(words["y"])
    labels = [label for label in style_of if label in lines]
    figure.legend([lines[label] for label in labels], labels, loc="outside right upper", frameon=False)
    return figure
