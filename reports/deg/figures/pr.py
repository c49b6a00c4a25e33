"""Precision and recall of genes ranked by P, where the genes that differ are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reports.deg import tables as deg_tables
from bench.reports.deg.figures.lines import panels_of_lines
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import styles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.deg.tables.plain` of the table ``pr``."""
    return deg_tables.plain(run, task, "pr")


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel a cell type, a line a method."""
    style_of = styles(tables.label_order(run, task))
    figure, grid = panels_of_lines(frame.assign(kind=""), style_of, x="recall", y="precision")
    for axes in grid.flat:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.supxlabel("recall", fontsize=8)
    figure.supylabel("precision", fontsize=8)
    return figure
