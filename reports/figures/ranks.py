"""Mean ranks of the headline metric under each failure policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.ranks import POLICIES, ranking
from bench.reports.run.style import styles

if TYPE_CHECKING:
    import pandas as pd


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Ranks by the headline metric, per track and policy."""
    metric = tables.headline(run.tasks[task])
    frame = ranking(run, run.tasks[task]).policies
    return frame[frame["metric"] == (metric.name if metric else "")].reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A panel per track, a column per policy, a line per method; equal mean ranks meet."""
    tracks = list(dict.fromkeys(frame["track"]))
    style_of = styles(tables.label_order(run, task))
    figure = Figure(figsize=(4.2 * len(tracks), 0.28 * frame["method"].nunique() + 1.4), layout="constrained")
    for axes, track in zip(figure.subplots(1, len(tracks), squeeze=False).flat, tracks, strict=True):
        mean_ranks = frame[frame["track"] == track].pivot(index="method", columns="policy", values="mean_rank")
        mean_ranks = mean_ranks.reindex(columns=list(POLICIES))
        for method, ranks in mean_ranks.iterrows():
            axes.plot(
                range(len(ranks)), ranks.astype(float), marker="o", markersize=4, color=style_of[str(method)]["colour"]
            )
        for rank, methods in mean_ranks["zero"].groupby(mean_ranks["zero"]):
            axes.annotate(" = ".join(sorted(methods.index)), (len(POLICIES) - 1, rank), xytext=(6, 0),
                          textcoords="offset points", va="center", fontsize=7)  # fmt: skip
        axes.set_xticks(range(len(POLICIES)), [words.replace(" ", "\n") for words in POLICIES.values()])
        axes.set_xlabel("how a failure counts")
        axes.set(xlim=(-0.2, len(POLICIES) - 0.1), title=track, ylabel="mean rank over datasets (1 is best)")
        axes.invert_yaxis()
    return figure
