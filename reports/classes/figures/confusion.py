"""Confusion matrices of the best methods, a row a true class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.classes import tables as class_tables
from bench.reports.classes.confusion import counts
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.image import AxesImage

#: Methods and (track, dataset) pairs drawn; the CSV beside the figure has all.
MOST_METHODS = 3
MOST_PAIRS = 9
#: Names of so many classes can be read beside a panel.
MOST_NAMES = 50
MOST_LETTERS = 34


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Cells by true and answered class for every method, with the share of the true class."""
    frame = counts(run, task)
    total = frame.groupby(["track", "dataset", "label", "truth"])["n"].transform("sum")
    return frame.assign(share=frame["n"] / total).reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row per (track, dataset), a column per method, the best ones by the headline metric."""
    table = class_tables.table(run, task)
    labels = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()][:MOST_METHODS]
    pairs = class_tables.pairs(run, task, frame)[:MOST_PAIRS]
    figure = Figure(figsize=(4.2 * len(labels) + 0.6, 4.0 * len(pairs)), layout="constrained")
    grid = figure.subplots(len(pairs), len(labels), squeeze=False)
    image = None
    for row, (track, dataset) in zip(grid, pairs, strict=True):
        pair_rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        class_rows = table[(table["track"] == track) & (table["dataset"] == dataset)]
        classes = class_tables.order(class_rows)
        coarsest = (
            class_rows.drop_duplicates("class")
            .set_index("class")["lineage"]
            .str.split(class_tables.WITHIN)
            .str[0]
            .to_dict()
        )
        for axes, label in zip(row, labels, strict=True):
            image = _panel(axes, pair_rows[pair_rows["label"] == label], classes, coarsest)
            axes.set_title(f"{label}: {track} · {dataset}")
    if image is not None:
        figure.colorbar(image, ax=grid, shrink=0.9 / len(pairs), aspect=15, label="share of the true class")
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, classes: list[str], coarsest: dict[str, str]) -> AxesImage:
    """Shares of each true class among the answers; relatives stand together, classes without cells are left out.

    Where the names of classes do not fit, those of their coarsest ancestors stand beside the panel.
    """
    counts, _ = class_tables.matrix(frame, classes)
    true = counts.sum(axis=1) > 0
    answered = (counts.sum(axis=0) > 0) | counts.columns.isin(counts.index[true])
    counts = counts.loc[true, answered]
    shares = counts.div(counts.sum(axis=1), axis=0).to_numpy(dtype=float)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="nearest")
    if counts.shape[1] <= MOST_NAMES:
        size = min(7.0, 140 / max(counts.shape))
        axes.set_yticks(range(len(counts)), map(_short, counts.index), fontsize=size)
        axes.set_xticks(range(counts.shape[1]), map(_short, counts.columns), fontsize=size, rotation=90)
    else:
        _ancestors(axes.yaxis, axes.axhline, [coarsest.get(name, "") for name in counts.index])
        _ancestors(axes.xaxis, axes.axvline, [coarsest.get(name, "") for name in counts.columns])
        axes.tick_params(axis="x", rotation=90)
    axes.tick_params(length=0)
    axes.set(xlabel="answered", ylabel="true")
    axes.spines[:].set_visible(True)
    return image


def _short(name: str) -> str:
    """The end of a long name, which tells relatives apart."""
    return name if len(name) <= MOST_LETTERS else f"…{name[1 - MOST_LETTERS :]}"


def _ancestors(axis: Axis, line: Callable[..., object], names: list[str]) -> None:
    """Name each run of relatives at its middle, and part it from the next."""
    starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]
    ends = [*starts[1:], len(names)]
    axis.set_ticks([(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)], [names[a] for a in starts], fontsize=5)
    for start in starts[1:]:
        line(start - 0.5, color="#C9D1D6", linewidth=0.4)
