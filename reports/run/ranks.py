"""Ranks and paired comparisons of the methods of a run, per track and metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.run import tables
from bench.reports.run.load import Run, once
from bench.reports.run.standing import not_compared, without_scale
from bench.results.records import DECLARED, TaskCard
from bench.stats import paired_tests, power_floor, rank_with_ties, ranks_under_policies
from bench.words import count

#: How each policy counts a failure, in the reader's words.
POLICIES = {
    "exclude": "left out",
    "worst": "last place",
    "zero": "worst control",
}
_RANKS = ["task", "track", "metric", "policy", "method", "mean_rank", "rank", "tie_group", "n_datasets", "n_failed"]
_WITHIN = ["task", "track", "dataset", "metric", "method", "rank", "tie_group", "place"]


@dataclass(frozen=True)
class Ranking:
    """Ranks of the methods (not the controls) over all tracks and main metrics of a task.

    Parameters
    ----------
    policies
        Mean ranks over datasets under each failure policy (:func:`bench.stats.ranks_under_policies`).
    within
        Ranks on each dataset by itself; a method whose confidence interval overlaps that of a group's best joins it.
        ``place`` is the order of the values alone: all there is (no ``tie_group``) where no method has an interval.
    unranked
        Methods that could not be tried anywhere (not installed, not applicable), which no policy ranks.
    """

    policies: pd.DataFrame
    within: pd.DataFrame
    unranked: list[str]


@once
def ranking(run: Run, card: TaskCard) -> Ranking:
    """Rank the methods of one task where they may be compared (:mod:`bench.reports.run.standing`)."""
    cells, tried, flat = _task_cells(run, card), _tried(run, card), without_scale(run, card)
    directions = {m.name: m.higher_is_better for m in card.metrics}
    policies, within = [], []
    for track, every in datasets_of(run, card).items():
        for metric in tables.main_metrics(card):
            datasets = [dataset for dataset in every if (track, dataset, metric) not in flat]
            track_cells = cells[(cells["track"] == track) & (cells["metric"] == metric)]
            table = _wide(track_cells, datasets, tried[track])
            if table.isna().all(axis=None):
                continue
            keys = {"task": card.name, "track": track, "metric": metric}
            up = directions[metric]
            floor = _worst_control(track_cells, datasets, higher_is_better=up)
            policies.append(ranks_under_policies(table, zero=floor, higher_is_better=up).assign(**keys))
            bounds = _bounds(track_cells, table)
            within += [_within(bounds[dataset], table[dataset], up).assign(**keys) for dataset in datasets]
    ranked = {label for labels in tried.values() for label in labels}
    unranked = [label for label, role in tables.label_order(run, card.name) if role == "method" and label not in ranked]
    return Ranking(_joined(policies, _RANKS), _joined(within, _WITHIN), unranked)


@once
def comparisons(run: Run, card: TaskCard) -> pd.DataFrame:
    """Paired comparisons over the datasets of each track by the headline metric (:func:`bench.stats.paired_tests`)."""
    cells, metric, tried = _task_cells(run, card), tables.headline(card), _tried(run, card)
    tests = []
    for track, datasets in datasets_of(run, card).items():
        track_cells = cells[(cells["track"] == track) & (cells["metric"] == (metric.name if metric else ""))]
        table = _wide(track_cells, datasets, tried[track])
        if metric is not None and len(table) > 1 and len(datasets) > 1:
            pairwise = paired_tests(table, np.random.default_rng(0), n_boot=1000)
            tests.append(pairwise.assign(task=card.name, track=track, metric=metric.name))
    return _joined(tests, [])


def power_notes(run: Run, card: TaskCard) -> dict[str, str]:
    """Track -> what its number of datasets allows to say."""
    return {track: _power_note(len(datasets)) for track, datasets in datasets_of(run, card).items()}


@once
def datasets_of(run: Run, card: TaskCard) -> dict[str, list[str]]:
    """Track -> its datasets whose methods may be compared and that a method could be tried on."""
    apart = not_compared(run, card)
    tried = set(tables.trials(run).pipe(_undeclared, card)[["track", "dataset"]].itertuples(index=False, name=None))
    tracks: dict[str, list[str]] = {}
    for track, dataset in tables.pairs(run, card.name):
        if (track, dataset) in tried and (track, dataset) not in apart:
            tracks.setdefault(track, []).append(dataset)
    return tracks


def _tried(run: Run, card: TaskCard) -> dict[str, list[str]]:
    """Track -> methods that finished or failed on at least one of its datasets.

    One that failed on all of them has no value, but its failures must count.
    """
    frame = _undeclared(tables.trials(run), card)
    return {str(track): sorted(labels.unique()) for track, labels in frame.groupby("track")["label"]}


def _undeclared(trials: pd.DataFrame, card: TaskCard) -> pd.DataFrame:
    """Trials of the task's methods that were not declared impossible."""
    return trials[(trials["task"] == card.name) & (trials["role"] == "method") & ~trials["status"].isin(DECLARED)]


def _task_cells(run: Run, card: TaskCard) -> pd.DataFrame:
    cells = tables.cells(run)
    return cells[cells["task"] == card.name]


def _wide(frame: pd.DataFrame, datasets: list[str], methods: list[str]) -> pd.DataFrame:
    """Methods x datasets, NaN where there is no value, or one of fewer splits than others have."""
    frame = frame[(frame["role"] == "method") & frame["whole"]]
    table = frame.pivot(index="label", columns="dataset", values="value").reindex(index=methods, columns=datasets)
    return table.astype(float).rename_axis(index="method")


def _worst_control(frame: pd.DataFrame, datasets: list[str], *, higher_is_better: bool) -> pd.Series:
    """Value of the worst control on each dataset; 0 where there is none."""
    controls = frame[frame["role"] != "method"].groupby("dataset")["value"]
    worst = controls.min() if higher_is_better else controls.max()
    return worst.reindex(datasets).astype(float).fillna(0.0)


def _bounds(frame: pd.DataFrame, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Dataset -> ``ci_low`` and ``ci_high`` of the methods of a table."""
    methods = frame[frame["role"] == "method"].astype({"ci_low": float, "ci_high": float}).groupby("dataset")
    found = {name: rows.set_index("label")[["ci_low", "ci_high"]].reindex(table.index) for name, rows in methods}
    none = pd.DataFrame(np.nan, index=table.index, columns=["ci_low", "ci_high"])
    return {dataset: found.get(dataset, none) for dataset in table.columns}


def _within(intervals: pd.DataFrame, values: pd.Series, higher_is_better: bool) -> pd.DataFrame:
    ranks = rank_with_ties(values, higher_is_better=higher_is_better, intervals=intervals)
    if intervals.isna().all(axis=None):
        ranks["tie_group"] = pd.array([pd.NA] * len(ranks), dtype="Int64")
    place = values.rank(ascending=not higher_is_better, method="first")
    return ranks.assign(place=place).rename_axis("method").reset_index().assign(dataset=values.name)


def _power_note(n: int) -> str:
    floor = power_floor(n)
    datasets = count(n, "dataset")
    if floor > 0.05:
        return (
            f"With {datasets} an exact paired test cannot give p below {floor:.3g}, so no difference can reach 0.05. "
            "Stars are withheld; look at the differences and their intervals."
        )
    return f"With {datasets} an exact paired test can reach p = {floor:.3g}, before correction for many comparisons."


def _joined(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=columns)
    joined = pd.concat(frames, ignore_index=True)
    return joined[columns] if columns else joined
