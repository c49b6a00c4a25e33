"""Quantiles of P values where no gene can differ, against what they should be."""

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
    """:func:`bench.reports._deg.plain` of the table ``qq``."""
    return _deg.plain(run, task, "qq")


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a cell type, a column a kind of permutation; up to :data:`bench.reports._deg.CAP`."""
    looks = styles(_tables.label_order(run, task))
    figure, grid = panels_of_lines(frame.fillna({"kind": ""}), looks, x="expected", y="observed")
    for axes in grid.flat:
        top = axes.get_xlim()[1]
        axes.plot([0, top], [0, top], color="#444444", linestyle="--", linewidth=0.8)
        axes.set(xlim=(0, top), ylim=(0, min(axes.get_ylim()[1], _deg.CAP)))
    figure.supxlabel("expected -log10 P", fontsize=8)
    figure.supylabel("observed -log10 P", fontsize=8)
    return figure
