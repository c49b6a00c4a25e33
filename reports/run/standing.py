"""The pairs whose methods may be compared: not by a circular truth, not half-way, not without a scale."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from bench.reports.run import tables
from bench.reports.run.load import Run, once
from bench.results.records import DECLARED, TaskCard
from bench.results.scale import Anchor, why_untold
from bench.words import count

_Pair = tuple[str, str]


@once
def not_compared(run: Run, card: TaskCard) -> dict[_Pair, str]:
    """(track, dataset) -> why its methods are neither ranked nor led nor part of a mean; other pairs are absent."""
    coverage = tables.coverage(run)
    coverage = coverage[coverage["task"] == card.name]
    ran = {pair: set(rows["method"]) for pair, rows in _run(coverage).groupby(["track", "dataset"])}
    methods = set().union(*ran.values())
    trials = coverage.groupby(["track", "dataset"])[["planned", "missing"]].sum()
    metric = tables.headline(card)
    flat = without_scale(run, card) if metric else {}
    reasons = {}
    for track, dataset in tables.pairs(run, card.name):
        planned, missing = trials.loc[(track, dataset)] if (track, dataset) in trials.index else (0, 0)
        here = ran.get((track, dataset), methods)
        if track in card.tracks and card.tracks[track].circular:
            reasons[track, dataset] = "its truth is circular"
        elif missing:
            have = "has" if missing == 1 else "have"
            reasons[track, dataset] = (
                f"unfinished: {missing:,} of {count(planned, 'planned trial')} {have} no record yet"
            )
        elif 2 * len(here) < len(methods):
            were = "was" if len(here) == 1 else "were"
            reasons[track, dataset] = f"unfinished: {len(here)} of {count(len(methods), 'method')} {were} run"
        elif metric and (track, dataset, metric.name) in flat:
            reasons[track, dataset] = flat[track, dataset, metric.name]
    return reasons


@once
def without_scale(run: Run, card: TaskCard) -> dict[tuple[str, str, str], str]:
    """(track, dataset, metric) -> why it can tell nothing (:func:`bench.results.scale.why_untold`)."""
    frame = tables.cells(run)
    frame = frame[(frame["task"] == card.name) & frame["role"].isin(["perfect", "random"]) & frame["value"].notna()]
    anchors: dict[tuple[str, str, str], dict[str, Anchor]] = {}  # the first control of each role
    for row in frame.to_dict("records"):
        anchors.setdefault((row["track"], row["dataset"], row["metric"]), {}).setdefault(row["role"], _anchor(row))
    metrics = {metric.name: metric for metric in card.metrics}
    reasons = {}
    for place, of in anchors.items():
        if len(of) == 2 and place[2] in metrics and (why := why_untold(of["perfect"], of["random"], metrics[place[2]])):
            reasons[place] = why
    return reasons


def _anchor(row: dict[Hashable, Any]) -> Anchor:
    low, high = (None if pd.isna(row[end]) else float(row[end]) for end in ("ci_low", "ci_high"))
    return Anchor(row["label"], float(row["value"]), low, high)


def _run(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the rows where a method was asked for; one that is nowhere possible is left out."""
    methods = coverage[coverage["role"] == "method"]
    possible = methods.loc[~methods["status"].isin(DECLARED), "method"].unique()
    return methods[methods["method"].isin(possible)]
