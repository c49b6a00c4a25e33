"""The summary figure of a track and dataset: the headline metric with its interval, other metrics, time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bench.reports.figures.heatmap import scaled
from bench.reports.run import overview, tables
from bench.reports.run.caveats import flags
from bench.reports.run.load import Run
from bench.reports.run.words import interval, number, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.task import Metric

PER_PAIR = True
#: Methods drawn, and tracks and datasets that have a file; the table ``summary_table`` has all.
MOST, MOST_PAIRS = 40, 12
#: Colours of the page: a method that may be the best, one that is behind, a control, and the band of the leader.
FRONT, BEHIND, BASELINE, BAND = "#1F5F7A", "#8A939A", "#8A4B00", "#E8F1F5"
_SHADES = LinearSegmentedColormap.from_list("shades", ["#C9DFEA", "#124A68"])
_ROLES = {"perfect": "perfect", "trap": "baseline", "random": "random"}
_KEY = (
    "filled: cannot be told from the best · hollow: clearly behind · band: interval of the best · dashed: best trivial "
    "baseline, ▾: not above it · dotted: perfect control · circles: fuller and darker is better"
)
_COSTS = {"cpu_s": "CPU time (s)", "rss_peak_mb": "peak memory (MB)"}


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.run.overview.rows`, of the first tracks and datasets on which something has a value."""
    frame = overview.rows(run, run.tasks[task])
    if frame.empty:
        return frame
    frame = frame[frame.groupby(["track", "dataset"])["value"].transform("count") > 0]
    return frame[frame.groupby(["track", "dataset"], sort=False).ngroup() < MOST_PAIRS].reset_index(drop=True)


def table(run: Run, task: str) -> pd.DataFrame:
    """The numbers of all tracks and datasets."""
    return overview.rows(run, run.tasks[task])


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """Rows of methods and controls; panels for the headline metric, the others, time and memory."""
    card, (track, dataset) = run.tasks[task], frame.loc[0, ["track", "dataset"]]
    metric, limits = tables.headline(card), overview.span(frame)
    methods = frame[frame["role"] == "method"]
    shown = pd.concat([methods.head(MOST), frame[frame["role"] != "method"]]).reset_index(drop=True)
    others = [m for m in overview.other_metrics(run, card) if shown[m.name].notna().any()]
    widths = [3.4, max(0.1, 0.42 * len(others)), 1.1, 1.1]
    figure = Figure(figsize=(3.4 + sum(widths), 1.5 + 0.22 * len(shown)), layout="constrained")
    strip, discs, *costs = figure.subplots(1, 4, sharey=True, width_ratios=widths)
    _strip(strip, shown, limits)
    better = metric.direction if metric else "higher is better"
    with_interval = " and 95 % interval" if methods["ci_low"].notna().any() else ", no interval"
    strip.set_xlabel(f"{metric.name if metric else ''}{with_interval}, {better}")
    strip.set_yticks(range(len(shown)), [_name(row) for row in shown.itertuples()])
    for text, role in zip(strip.get_yticklabels(), shown["role"], strict=True):
        text.set_color("black" if role == "method" else "#5B6770")
    _discs(discs, shown, others)
    for axes, (column, words) in zip(costs, _COSTS.items(), strict=True):
        values = shown[column].astype(float).fillna(0)
        axes.barh(range(len(shown)), values, height=0.5, color="#9FB4BF")
        for y, value in enumerate(values):
            if value:
                axes.annotate(
                    f"{value:.3g}", (value, y), xytext=(2, 0), textcoords="offset points", va="center", size=6
                )
        axes.set(xlim=(0, 1.35 * (values.max() or 1)), xticks=[])
        axes.set_title(words, fontsize=8, fontweight="normal")
        axes.spines["bottom"].set_visible(False)
    for axes in (discs, *costs):
        axes.tick_params(left=False)
    strip.set_ylim(len(shown) - 0.4, -0.6)
    more = f"; {len(methods) - MOST} more methods in the table" if len(methods) > MOST else ""
    why = "; ".join(words for words, _ in flags(run, card, str(track), str(dataset)))
    figure.supxlabel(_KEY, x=0.01, ha="left", fontsize=6.5, color="#5B6770")
    figure.suptitle(f"{task}: {track} on {dataset} ({why}{more})", x=0.01, ha="left", fontsize=9, fontweight="bold")
    return figure


def _name(row: Any) -> str:
    role = "" if row.role == "method" else f" ({_ROLES[row.role]})"
    return f"{short(row.label)}{role}" + (f"\n{row.flags}" if row.flags and pd.notna(row.value) else "")


def _strip(axes: Axes, shown: pd.DataFrame, limits: tuple[float, float]) -> None:
    """Dots and intervals, over the interval of the best and lines of the best trap and the perfect control."""
    best = shown[(shown["role"] == "method") & shown["tied"].fillna(False)].head(1)
    if len(best) and pd.notna(best["ci_low"].iloc[0]):
        axes.axvspan(best["ci_low"].iloc[0], best["ci_high"].iloc[0], color=BAND, zorder=0, linewidth=0)
    for role, style in (("trap", "--"), ("perfect", ":")):
        value = shown.loc[(shown["role"] == role) & shown["value"].notna(), "value"].head(1)
        for x in value:
            axes.axvline(x, color=BASELINE if role == "trap" else BEHIND, linestyle=style, linewidth=0.9, zorder=1)
    for y, row in enumerate(shown.itertuples()):
        if pd.isna(row.value):
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            text = axes.annotate(short(row.flags, 60), (0.01, y), xycoords=("axes fraction", "data"), bbox=box)
            text.set(va="center", fontsize=6, color=BEHIND)
            continue
        behind = pd.notna(row.tied) and not row.tied
        edge = BASELINE if row.role != "method" else BEHIND if behind else FRONT
        if pd.notna(row.ci_low) and pd.notna(row.ci_high):
            colour = FRONT if edge == FRONT else "#AAB2B8"
            axes.plot([row.ci_low, row.ci_high], [y, y], color=colour, linewidth=1.2 if row.role == "method" else 0.8)
        face = FRONT if edge == FRONT else "white"
        axes.plot([row.value], [y], marker="o", markersize=4.5, markerfacecolor=face, markeredgecolor=edge, zorder=3)
        mark = " ▾" if row.below_trap else ""
        words = f"{number(row.value)}{mark} {interval(row.ci_low, row.ci_high)}"
        axes.annotate(words, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=6)
    axes.set_xlim(limits)


def _discs(axes: Axes, shown: pd.DataFrame, metrics: list[Metric]) -> None:
    """A circle a metric, fuller and darker towards the best of its range, in a ring that is the best there can be."""
    for x, metric in enumerate(metrics):
        values = shown[metric.name].astype(float)
        known = values[values.notna()]
        shades = [scaled(value, metric, known) for value in known]
        rows = list(known.index)
        axes.scatter([x] * len(rows), rows, s=90, facecolor="white", edgecolor="#C3CAD0", linewidth=0.6)
        axes.scatter(
            [x] * len(rows), rows, s=[90 * s for s in shades], c=shades, cmap=_SHADES, vmin=0, vmax=1, linewidth=0
        )
    axes.set(xlim=(-0.6, max(len(metrics), 1) - 0.4))
    axes.set_xticks(range(len(metrics)), [m.name for m in metrics], rotation=35, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
