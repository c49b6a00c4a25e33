"""Change of the overlap of DEGs by imputation, after Fig. 7a of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bench.reports.deg import tables as deg_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = LinearSegmentedColormap.from_list("overlap", ["#B34E00", "#FFFFFF", "#08519C"])


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.deg.tables.overlap`."""
    return deg_tables.overlap(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """Cell types x studies at half of the cells (or donors): a row a method and direction, a column a test."""
    several = frame.groupby(["track", "dataset"])["ratio"].transform("nunique") > 1
    half = frame[~several | ((frame["ratio"] - 0.5).abs() < 1e-6)]
    compared = half.dropna(subset=["paper"]) if half["paper"].notna().any() else half
    rows = [
        (label, direction)
        for label, _ in tables.label_order(run, task)
        for direction in sorted(compared["direction"].unique())
        if (compared["label"] == label).any()
    ]
    types, studies = sorted(half["cell_type"].unique()), sorted(set(zip(half["track"], half["dataset"], strict=True)))
    size = (2 * (0.75 * len(studies) + 1.7), len(rows) * (0.24 * len(types) + 0.35) + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex=True, sharey=True)
    for (i, j), axes in np.ndenumerate(grid):
        label, direction = rows[i]
        column = list(deg_tables.TESTS)[j]
        panel_rows = half[(half["label"] == label) & (half["direction"] == direction)]
        image = _panel(axes, panel_rows, types, studies, column)
        if not j:
            axes.set_title(f"{label}, {direction}", fontsize=7)
        if not i:
            axes.text(
                1, 1.02, f"{deg_tables.TESTS[column]} P", transform=axes.transAxes, ha="right", va="bottom", fontsize=7
            )
    figure.colorbar(
        image, ax=grid, shrink=min(1.0, 3 / size[1]), label="-log10 P (blue: imputation raises the overlap)"
    )
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, types: list[str], studies: list[tuple[str, str]], test: str):
    values, stars = np.full((len(types), len(studies)), np.nan), {}
    for row in frame.itertuples():
        at = types.index(row.cell_type), studies.index((row.track, row.dataset))
        values[at] = getattr(row, test.removeprefix("p_"))
        p = getattr(row, test)
        stars[at] = "" if pd.isna(p) else "*" * int(sum(p < limit for limit in (0.05, 0.01, 0.001)))
    axes.set_facecolor("#D5D9DC")
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=_COLOURS, vmin=-deg_tables.CAP, vmax=deg_tables.CAP, aspect="auto"
    )
    for (i, j), text in stars.items():
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=7,
            color="white" if abs(values[i, j]) > deg_tables.CAP / 2 else "black",
        )
    axes.set_xticks(range(len(studies)), [f"{d}\n{t}" for t, d in studies], rotation=45, ha="right", fontsize=6)
    axes.set_yticks(range(len(types)), types, fontsize=6)
    axes.tick_params(length=0)
    return image
