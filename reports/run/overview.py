"""Content of the summary figure: of each track and dataset a row per method, the best first, then the controls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.problem import SEEN, SEEN_OTHERS, UNTOLD
from bench.reports.run import tables
from bench.reports.run.load import Run, once
from bench.reports.run.standing import not_compared
from bench.reports.run.words import STATUS_WORDS
from bench.results.records import TaskCard
from bench.task import Metric

#: A row of the figure.
ENTRY = ["track", "dataset", "label"]
#: Columns of :func:`rows` that are no metric.
COLUMNS = [
    *ENTRY, "role", "status", "value", "ci_low", "ci_high", "tied", "below_trap", "flags", "cpu_s", "rss_peak_mb",
]  # fmt: skip


def other_metrics(run: Run, card: TaskCard) -> list[Metric]:
    """The main metrics besides the headline one that a whole can have."""
    left_out = {m.name for m in [tables.headline(card)] if m} | tables.part_metrics(run, card.name) | {*COLUMNS}
    return [m for m in card.metrics if m.name in tables.main_metrics(card) and m.name not in left_out]


@once
def rows(run: Run, card: TaskCard) -> pd.DataFrame:
    """The rows of the figure, over all trials and tested donors.

    Returns
    -------
    :data:`COLUMNS` and a column for each of :func:`other_metrics`. ``value`` is the headline metric; ``tied``, whether
    it cannot be told from the best, missing where methods are not compared or without intervals; ``below_trap``,
    whether a trap control is as good; ``cpu_s`` and ``rss_peak_mb``, medians over finished trials; ``flags``, what
    weakens this row alone, and of a row without a value why.
    """
    trials = _trials(run, card)
    if trials.empty:
        return pd.DataFrame(columns=COLUMNS)
    metric, others = tables.headline(card), other_metrics(run, card)
    cells = tables.cells(run)
    cells = cells[cells["task"] == card.name]
    head = cells[cells["metric"] == (metric.name if metric else "")].set_index(ENTRY)
    frame = trials.join(head[["value", "ci_low", "ci_high", "whole"]], on=ENTRY)
    wide = cells[cells["metric"].isin([m.name for m in others])].pivot(index=ENTRY, columns="metric", values="value")
    frame = frame.join(wide.reindex(columns=[m.name for m in others]), on=ENTRY)
    sign = metric.sign if metric else 1.0
    frame = frame.assign(
        key=sign * frame["value"].astype(float),
        whole=frame["whole"].astype("boolean").fillna(False),
        place=frame["role"].map(tables.ROLE_ORDER.index).astype(int),
        flags=[_flags(row) for row in frame.itertuples()],
    ).sort_values(["place", "key", "label"], ascending=[True, False, True])
    apart = not_compared(run, card)
    panels = [
        _compared(frame[(frame["track"] == track) & (frame["dataset"] == dataset)], sign, (track, dataset) in apart)
        for track, dataset in tables.pairs(run, card.name)
    ]
    return pd.concat(panels, ignore_index=True)[[*COLUMNS, *(m.name for m in others)]]


def span(panel: pd.DataFrame) -> tuple[float, float]:
    """Ends of the common axis: the methods with their intervals, the best trap control and the perfect one.

    Other controls may lie outside, so that a bad one does not squeeze the methods.
    """
    methods = panel[panel["role"] == "method"]
    marks = panel[panel["role"].isin(["perfect"]) | (panel["role"].eq("trap") & ~panel.duplicated("role"))]
    ends = pd.concat([methods["value"], methods["ci_low"], methods["ci_high"], marks["value"]]).astype(float).dropna()
    if ends.empty:
        return 0.0, 1.0
    room = 0.04 * (ends.max() - ends.min()) or 0.1 * abs(ends.max()) or 0.1
    return float(ends.min() - room), float(ends.max() + room)


def _trials(run: Run, card: TaskCard) -> pd.DataFrame:
    """Of each label: number of its trials, how they ended and why, what they used, and data it had seen before."""
    frame = tables.trials(run)
    frame = frame[frame["task"] == card.name]
    notes = [[note in run.trials[key].notes for note in (SEEN, SEEN_OTHERS, UNTOLD)] for key in frame["trial"]]
    seen = np.array(notes, dtype=bool).reshape(-1, 3)
    frame = frame.assign(
        ok=frame["status"] == "ok",
        rank=frame["status"].map(tables.STATUS_ORDER.index).astype(int),
        seen=seen[:, 0],
        seen_others=seen[:, 1],
        untold=seen[:, 2],
    ).sort_values("rank", ascending=False, kind="stable")
    used = frame[["cpu_s", "rss_peak_mb"]].where(frame["ok"])
    grouped = frame.assign(**used).groupby([*ENTRY, "role"], sort=False)
    known = grouped.agg(
        n=("trial", "size"), ok=("ok", "sum"), status=("status", "first"), why=("detail", "first"),
        cpu_s=("cpu_s", "median"), rss_peak_mb=("rss_peak_mb", "median"), seen=("seen", "any"),
        seen_others=("seen_others", "any"), untold=("untold", "any"),
    ).reset_index()  # fmt: skip
    missing = tables.outcomes(run)
    missing = missing[(missing["task"] == card.name) & (missing["status"] == "missing")]
    lacking = missing.groupby(["track", "dataset", "method", "role"]).size().rename("lacking").reset_index()
    lacking = lacking.rename(columns={"method": "label"})
    both = known.merge(lacking, on=[*ENTRY, "role"], how="outer")
    counts = both[["n", "ok", "lacking"]].astype("Int64").fillna(0)
    both = both.assign(n=counts["n"] + counts["lacking"], ok=counts["ok"])
    return both.assign(
        status=both["status"].fillna("missing"),
        why=both["why"].fillna(""),
        **{name: both[name].astype("boolean").fillna(False) for name in ("seen", "seen_others", "untold")},
    )


def _flags(row: Any) -> str:
    if pd.isna(row.value):
        what = STATUS_WORDS[row.status] if row.status != "ok" else "no value"
        return f"{what}: {row.why}" if row.why else what
    found = []
    if row.label.endswith("]"):
        found.append(f"answered with {row.label[row.label.rindex('[') + 1 : -1]}")
    if row.seen:
        found.append("saw this data before")
    elif row.seen_others:
        found.append("saw other donors of it before")
    if row.untold:
        found.append("pre-training data not told")
    if row.ok < row.n:
        found.append(f"{row.ok} of {row.n} trials")
    if not row.whole:
        found.append("lacks splits")
    return "; ".join(found)


def _compared(panel: pd.DataFrame, sign: float, apart: bool) -> pd.DataFrame:
    """Return the methods that cannot be told from the best, and which a trap control matches."""
    methods = (panel["role"] == "method") & panel["value"].notna()
    traps = panel.loc[panel["role"] == "trap", "key"].max()
    below = methods & (panel["key"] <= traps)
    tied = pd.Series(pd.NA, index=panel.index, dtype="boolean")
    leading = panel[methods & panel["whole"]]
    if len(leading) and not apart:
        best = leading.iloc[0]
        near, far = ("ci_low", "ci_high") if sign > 0 else ("ci_high", "ci_low")
        reach = (sign * panel[far] >= sign * best[near]).astype("boolean")  # missing where one has no interval
        tied = tied.mask(methods, reach.mask(panel["value"] == best["value"], True))
    return panel.assign(tied=tied, below_trap=below)
