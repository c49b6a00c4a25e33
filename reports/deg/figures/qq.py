"""Quantiles of P values where no gene can differ, against what they should be."""

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
    """:func:`bench.reports.deg.tables.plain` of the table ``qq``."""
    return deg_tables.plain(run, task, "qq")


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a cell type, a column a kind of permutation; up to :data:`bench.reports.deg.tables.CAP`."""
    style_of = styles(tables.label_order(run, task))
    figure, grid = panels_of_lines(frame.fillna({"kind": ""}), style_of, x="expected", y="observed")
    for axes in grid.flat:
        top = axes.get_xlim()[1]
        axes.plot([0, top], [0, top], color="#444444", linestyle="--", linewidth=0.8)
        axes.set(xlim=(0, top), ylim=(0, min(axes.get_ylim()[1], deg_tables.CAP)))
    figure.supxlabel("expected -log10 P", fontsize=8)
    figure.supylabel("observed -log10 P", fontsize=8)
    return figure
