"""Classes that each method loses, and the tested cells they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from bench.reports.classes import tables as class_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEYS = ["track", "dataset", "label"]
COLUMNS = [
    *_KEYS, "classes", "lost", "lost_entirely", "cells", "cells_lost", "median_tested_lost", "median_tested_kept",
    "median_training_lost", "median_training_kept", "lost_classes",
]  # fmt: skip


def prepare(run: Run, task: str) -> pd.DataFrame:
    """By method: classes with tested cells, those with F1 below ``class_tables.LOST`` and with F1 0.

    ``cells`` and ``cells_lost`` are tested cells; medians are over the classes that are lost and kept.
    """
    frame = class_tables.table(run, task)
    frame = frame[(frame["role"] == "method") & (frame["n"] > 0)]
    rows = []
    for keys, of_method in frame.groupby(_KEYS, sort=True):
        f1 = of_method["f1"].fillna(0.0)
        lost, kept = of_method[f1 < class_tables.LOST], of_method[f1 >= class_tables.LOST]
        medians = [part[column].median() for column in ("n", "train_cells") for part in (lost, kept)]
        names = " | ".join(lost.sort_values("n", ascending=False)["class"])
        counts = [len(of_method), len(lost), int((f1 == 0).sum()), of_method["n"].sum(), lost["n"].sum()]
        rows.append([*keys, *counts, *medians, names])
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row per (track, dataset): share of the classes, and of the tested cells, that each method loses."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    pairs = class_tables.pairs(run, task, frame)
    figure = Figure(figsize=(7, (0.24 * len(order) + 0.7) * len(pairs) + 0.3), layout="constrained")
    grid = figure.subplots(len(pairs), 2, squeeze=False, sharex=True, sharey=True)
    for row, (track, dataset) in zip(grid, pairs, strict=True):
        pair_rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)].set_index("label").reindex(order)
        _bars(row[0], pair_rows["lost"], pair_rows["classes"])
        _bars(row[1], pair_rows["cells_lost"], pair_rows["cells"])
        row[0].set_title(f"{track} · {dataset}")
    grid[-1, 0].set_xlabel(f"share of classes that are lost (F1 below {class_tables.LOST})")
    grid[-1, 1].set_xlabel("share of tested cells that have these classes")
    return figure


def _bars(axes: Axes, part: pd.Series, whole: pd.Series) -> None:
    places = range(len(part))
    axes.barh(places, (part / whole).fillna(0.0), color="#56758A", height=0.65)
    for y, n, total in zip(places, part, whole, strict=True):
        if total == total:  # a method without a result here has no bar and no number
            axes.text(1.02, y, f"{n:,.0f} of {total:,.0f}", va="center", fontsize=6.5, color="#5B6770")
    axes.set(xlim=(0, 1.3), ylim=(len(part) - 0.5, -0.5))
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks(places, part.index)
