"""Error and mean imputed value by level of true expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.imputation import tables as imputation_tables
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import LINES, styles

if TYPE_CHECKING:
    import pandas as pd


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.imputation.tables.expression_bins`."""
    return imputation_tables.expression_bins(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a (track, dataset): the error, and the imputed mean with the line on which it equals the true one."""
    order = tables.label_order(run, task)
    style_of = styles(order)
    with_bins = set(zip(frame["track"], frame["dataset"], strict=True))
    pairs = [pair for pair in tables.pairs(run, task) if pair in with_bins]
    figure = Figure(figsize=(8, 2.8 * len(pairs) + 0.4), layout="constrained")
    for row, (track, dataset) in zip(figure.subplots(len(pairs), 2, squeeze=False), pairs, strict=True):
        pair_bins = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        for label, _ in order:
            bins = pair_bins[pair_bins["label"] == label].sort_values("mean_true")
            for axes, column in zip(row, ("mse", "mean_imputed"), strict=True):
                style = style_of[label]
                axes.plot(bins["mean_true"], bins[column], color=style["colour"], linestyle=LINES[style["dash"]],
                          marker="o", markersize=2.5, linewidth=1.1, label=label if len(bins) else None)  # fmt: skip
        top = pair_bins["mean_true"].max()
        row[0].set_yscale("log", nonpositive="mask")  # controls differ from methods by powers of ten
        row[0].yaxis.set_major_formatter("{x:g}")
        row[1].plot([0, top], [0, top], color="#AAAAAA", linewidth=0.8, linestyle=":")
        row[0].set(title=f"{track} · {dataset}", xlabel="mean true expression", ylabel="MSE")
        row[1].set(xlabel="mean true expression", ylabel="mean imputed expression")
        row[1].legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, fontsize=7)
    return figure
