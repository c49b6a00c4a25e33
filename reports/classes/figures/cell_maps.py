"""The tested cells in the plane: by truth, by the answers of the best methods, and where these are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from bench.reports.classes import cell_map
from bench.reports.classes import tables as class_tables
from bench.reports.embeddings.figure import legend
from bench.reports.embeddings.tables import colours
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PER_PAIR = True
#: Methods drawn; the CSV beside the figure has all.
MOST_METHODS = 3
WRONG, RIGHT = "#C1121F", "#C9D3D9"


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.classes.cell_map.table` of every track and dataset that has a map."""
    parts = []
    for track, dataset in class_tables.pairs(run, task, class_tables.table(run, task)):
        frame = cell_map.table(run, task, track, dataset)
        if frame is not None:
            parts.append(frame.assign(track=track, dataset=dataset))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """Truth in the first row; in a row for each method, the best first, its answers and its errors."""
    order = [label for label, role in tables.label_order(run, task) if role == "method"]
    labels = [label for label in order if frame.get(f"{cell_map.ANSWER}{label}", pd.Series()).notna().any()]
    labels = labels[:MOST_METHODS]
    cells = frame.sample(frac=1, random_state=0)  # in random order, or the last class would hide the others
    answers = [cells[f"{cell_map.ANSWER}{label}"] for label in labels]
    chosen = colours(pd.concat([cells["truth"], *answers]))
    figure = Figure(figsize=(11, 3.8 * len(labels)), layout="constrained")
    for row, label, answer in zip(figure.subplots(len(labels), 3, squeeze=False), labels, answers, strict=True):
        wrong = answer != cells["truth"]
        if label == labels[0]:
            _scatter(row[0], cells, cells["truth"].map(chosen), "truth")
            legend(row[2], chosen)
        else:
            row[0].set_axis_off()
        _scatter(row[1], cells, answer.map(chosen), label)
        late = cells.assign(wrong=wrong).sort_values("wrong", kind="stable")
        _scatter(row[2], late, late["wrong"].map({True: WRONG, False: RIGHT}), f"wrong: {wrong.mean():.1%}")
    figure.suptitle(f"{frame['track'].iloc[0]} · {frame['dataset'].iloc[0]}", fontsize=9, x=0.01, ha="left")
    return figure


def _scatter(axes: Axes, cells: pd.DataFrame, colour: pd.Series, title: str) -> None:
    axes.scatter(cells["x"], cells["y"], s=3, c=colour, linewidths=0, rasterized=True)
    axes.set(title=title, xticks=[], yticks=[])
