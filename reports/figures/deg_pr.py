"""Precision and recall of genes ranked by P, where the genes that differ are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reports import _deg, _tables
from bench.reports._load import Run
from bench.reports._style import styles
from bench.reports.figures._lines import panels_of_lines

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports._deg.plain` of the table ``pr``."""
    return _deg.plain(run, task, "pr")


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel a cell type, a line a method."""
    looks = styles(_tables.label_order(run, task))
    figure, grid = panels_of_lines(frame.assign(kind=""), looks, x="recall", y="precision")
    for axes in grid.flat:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.supxlabel("recall", fontsize=8)
    figure.supylabel("precision", fontsize=8)
    return figure
