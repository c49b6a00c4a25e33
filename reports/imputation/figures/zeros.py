"""False-positive imputation: zeros imputed as expressed, by what makes them true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.imputation import tables as imputation_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.imputation.tables.zeros`."""
    return imputation_tables.zeros(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a method, a column a kind of zeros, in each cell the share in per cent; dark is much."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    share = frame.pivot(index="label", columns="what", values="share").reindex(order)
    share = share[sorted(share.columns, key=lambda kind: (" than " in kind, kind))]
    figure = Figure(figsize=(0.5 * share.shape[1] + 2.2, 0.22 * len(order) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Purples", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in _cells(share):
        axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", fontsize=6.5,
                  color="white" if value > 0.55 else "black")  # fmt: skip
    axes.set_xticks(range(share.shape[1]), share.columns, rotation=35, ha="right", fontsize=6.5)
    axes.set_yticks(range(len(order)), order)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("false-positive imputation (% of zeros)")
    return figure


def _cells(share: pd.DataFrame) -> list[tuple[tuple[int, int], float]]:
    values = share.to_numpy(float)
    return [((y, x), v) for y, row in enumerate(values) for x, v in enumerate(row) if v == v]
