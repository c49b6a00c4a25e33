"""The labels of each dataset from coarse to fine, after Fig. 3 of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.reports.classes import tables as class_tables
from bench.reports.run.load import Run
from bench.reports.run.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Width of a box, as a share of the panel, from which its name fits when it stands upright.
_ROOM = 0.007


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Classes of each dataset's finest level: ``dataset, track, class, lineage, n, train_cells``."""
    frame = class_tables.table(run, task)
    classes = frame.drop_duplicates(["track", "dataset", "class"])
    parts = []
    for _, of_dataset in classes.groupby("dataset", sort=True):
        finest = of_dataset["track"].value_counts().sort_index(kind="stable").idxmax()
        level = of_dataset[of_dataset["track"] == finest]
        parts.append(level.set_index("class").loc[class_tables.order(level)].reset_index())
    columns = ["dataset", "track", "class", "lineage", "n", "train_cells"]
    return pd.concat(parts)[columns].reset_index(drop=True) if parts else pd.DataFrame(columns=columns)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel per dataset: a row per level, width by training and tested cells, a colour per coarsest class."""
    datasets = list(dict.fromkeys(frame["dataset"]))
    figure = Figure(figsize=(11, 3.1 * len(datasets)), layout="constrained")
    for axes, dataset in zip(figure.subplots(len(datasets), 1, squeeze=False)[:, 0], datasets, strict=True):
        of_dataset = frame[frame["dataset"] == dataset]
        _panel(axes, of_dataset)
        axes.set_title(f"{dataset}: {len(of_dataset)} classes ({of_dataset['track'].iloc[0]}), width by cells")
    return figure


def _panel(axes: Axes, frame: pd.DataFrame) -> None:
    paths = [
        [*lineage.split(class_tables.WITHIN), name] if lineage else [name]
        for lineage, name in zip(frame["lineage"], frame["class"], strict=True)
    ]
    cells = (frame["n"] + frame["train_cells"].fillna(0)).to_numpy(dtype=float)
    width = cells / (cells.sum() or 1.0)
    left_edge = width.cumsum() - width
    depth = max(len(path) for path in paths)
    tops = list(dict.fromkeys(path[0] for path in paths))
    for level in range(depth):
        start = 0
        for i, path in enumerate(paths):
            # a box ends where the next class has another ancestor at this level
            if i + 1 < len(paths) and paths[i + 1][: level + 1] == path[: level + 1]:
                continue
            if level < len(path):
                span = width[start : i + 1].sum()
                colour = PALETTE[tops.index(path[0]) % len(PALETTE)]
                axes.add_patch(Rectangle((left_edge[start], -level), span, -1, facecolor=colour, edgecolor="white",
                                         linewidth=0.6, alpha=max(0.2, 0.6 - 0.15 * level)))  # fmt: skip
                if span > _ROOM:
                    _name(axes, path[level], left_edge[start] + span / 2, -level - 0.5, span)
            start = i + 1
    axes.set(xlim=(0, 1), ylim=(-depth, 0))
    axes.set_axis_off()


def _name(axes: Axes, name: str, x: float, y: float, span: float) -> None:
    """Write a name into its box: upright where the box is too narrow, smaller where it is too long for that."""
    upright = span * 150 < len(name)
    axes.text(
        x, y, name, ha="center", va="center", rotation=90 if upright else 0, clip_on=True,
        fontsize=min(5.0, 105 / len(name)) if upright else 6.5,
    )  # fmt: skip
