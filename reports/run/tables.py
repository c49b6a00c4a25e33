"""The tidy frames behind the figures and the text: each prepared once, here."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.run import splits
from bench.reports.run.load import Run, once
from bench.results.records import TaskCard
from bench.stats import mean_interval, split_interval
from bench.task import Metric

#: Where a trial stands, from best to worst; ``missing`` was planned but has no record (interrupted or still running).
STATUS_ORDER = ("ok", "not_applicable", "unavailable", "missing", "invalid_output", "crash", "oom", "timeout")
ROLE_ORDER = ("method", "perfect", "trap", "random")
PAIR = ["task", "track", "dataset"]
#: What an interval of :func:`cells` is.
INTERVALS = {
    "one": "tested donors, then cells, resampled",
    "trials": "tested donors, then cells, resampled; chance between trials added",
    "splits": "Student's t over splits, widened for the donors they share",
    "": "no interval",
}

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_NUMBERS = ["value", "ci_low", "ci_high", "low", "high"]


def headline(task: TaskCard) -> Metric | None:
    """The metric the task asks to be judged by first."""
    return next((m for m in task.metrics if m.headline), task.metrics[0] if task.metrics else None)


def main_metrics(task: TaskCard) -> list[str]:
    """Metrics shown and ranked first: no variants (``f1@10%``) of another, none that has no better and worse."""
    return [m.name for m in task.metrics if "@" not in m.name and not m.neutral]


@once
def part_metrics(run: Run, task: str) -> set[str]:
    """Metrics that only parts (``class:NAME``) have, never a whole: they would be empty columns beside the others."""
    rows = run.rows[["task", "unit", "metric"]].drop_duplicates()
    rows = rows[(rows["task"] == task) & rows["metric"].notna()]
    whole = ~rows["unit"].str.contains(":").fillna(False)
    return set(rows["metric"]) - set(rows.loc[whole, "metric"])


@once
def trials(run: Run) -> pd.DataFrame:
    """One row per trial: every column of the results that does not change within a trial, and ``label``."""
    varying = ["unit", "metric", "value", "ci_low", "ci_high", "n"]
    frame = run.rows.drop_duplicates("trial").drop(columns=varying).reset_index(drop=True)
    return frame.assign(detail=frame["detail"].where(frame["status"] != "ok", ""))


@once
def cells(run: Run, unit: str = "pooled") -> pd.DataFrame:
    """Mean per task, track, dataset, label and metric, for one unit: over trials of a split, then over splits.

    Splits that test the same donors are one (:mod:`bench.reports.run.splits`).

    Returns
    -------
    Columns ``task, track, dataset, label, role, metric, value, ci_low, ci_high, interval, low, high, trials, splits,
    whole``. ``low`` and ``high`` are the extremes, over splits where there are several, else over trials. ``interval``
    says what the 95 % bounds are: a key of :data:`INTERVALS`. ``whole`` is false where the value lacks splits that
    another label has: then it is no fair comparison.
    """
    keys = [*PAIR, "label", "role", "metric"]
    rows = run.rows[(run.rows["status"] == "ok") & (run.rows["unit"] == unit)]
    numbers = [rows[c].to_numpy(float, na_value=np.nan) for c in ("split", "value", "ci_low", "ci_high")]
    grouped = rows.groupby(keys)
    shares = {pair: splits.tested_to_trained(of, run.datasets.get(pair[2])) for pair, of in run.splits.items()}
    names = grouped.size().index.to_frame(index=False)
    share = np.array([shares.get(pair) for pair in zip(*(names[c] for c in PAIR), strict=True)], dtype=float)
    group = grouped.ngroup().to_numpy()
    means = means_of_trials(group, numbers[0], numbers[1], numbers[2], numbers[3], share)
    frame = pd.concat([names, means], axis=1).astype(dict.fromkeys(keys, "string") | dict.fromkeys(_NUMBERS, "Float64"))
    limits = {(name, m.name): (m.low, m.high) for name, card in run.tasks.items() for m in card.metrics}
    ends = [limits.get(names, (None, None)) for names in zip(frame["task"], frame["metric"], strict=True)]
    least, most = (pd.Series([end[side] for end in ends], dtype="Float64") for side in (0, 1))
    frame["ci_low"], frame["ci_high"] = frame["ci_low"].clip(lower=least), frame["ci_high"].clip(upper=most)
    return frame.assign(whole=frame["splits"] == frame.groupby([*PAIR, "metric"])["splits"].transform("max"))


def means_of_trials(
    group: Integers, split: Floats, value: Floats, ci_low: Floats, ci_high: Floats, share: Floats
) -> pd.DataFrame:
    """Mean over trials of a split, then over splits, with its interval: columns of :func:`cells`, a row per group.

    Parameters
    ----------
    group, split, value, ci_low, ci_high
        Of each trial: the number of its group (0, 1, ...) and split, what is averaged, and its 95 % bounds (NaN
        without).
    share
        Of each group the tested donors of a split divided by the others
        (:func:`bench.reports.run.splits.tested_to_trained`); NaN where that is not known.
    """
    order = np.lexsort((split, group))
    order = order[~np.isnan(value[order])]
    of_trial = np.stack([group, split])[:, order]
    first = np.flatnonzero((np.diff(of_trial, axis=1, prepend=np.nan) != 0).any(axis=0))  # of each split of each group
    sizes = np.diff(first, append=len(order)).tolist()
    alike: dict[tuple[int, ...], list[tuple[int, int]]] = {}  # as many trials in each split: averaged together
    for number, i in itertools.groupby(range(len(first)), lambda i: int(of_trial[0, first[i]])):
        one, *others = i
        alike.setdefault(tuple(sizes[j] for j in (one, *others)), []).append((number, first[one]))
    n = len(share)
    out = {"interval": np.full(n, "", object), "trials": np.zeros(n, int), "splits": np.zeros(n, int)}
    numbers = np.full((n, len(_NUMBERS)), np.nan)
    for counts, places in alike.items():
        groups, starts = np.array(places).T
        rows = order[starts[:, None] + np.arange(sum(counts))]
        numbers[groups] = _means(counts, value[rows], ci_low[rows], ci_high[rows], share[groups])
        out["interval"][groups] = "splits" if len(counts) > 1 else "trials" if sum(counts) > 1 else "one"
        out["trials"][groups], out["splits"][groups] = sum(counts), len(counts)
    out["interval"][np.isnan(numbers[:, 1])] = ""
    return pd.DataFrame(dict(zip(_NUMBERS, numbers.T, strict=True)) | out)


def _means(counts: tuple[int, ...], value: Floats, ci_low: Floats, ci_high: Floats, share: Floats) -> Floats:
    """:data:`_NUMBERS` of groups that have ``counts`` trials in each split; values are groups x trials, by split."""
    means = np.stack([of_split.mean(1) for of_split in np.split(value, np.cumsum(counts)[:-1], axis=1)], axis=1)
    if len(counts) > 1:
        spread, bounds = means, split_interval(means, share)
    else:
        spread, bounds = value, mean_interval(value, ci_low, ci_high)
    return np.stack([means.mean(1), *bounds, spread.min(1), spread.max(1)], axis=1)


@once
def outcomes(run: Run) -> pd.DataFrame:
    """Return the end of each planned trial, and each that is there without a plan.

    A planned key whose code has changed since is answered by the newer trial of the same name.

    Returns
    -------
    Columns ``task, track, dataset, method, role, key, status``; ``missing`` is a status here: no record.
    """
    status = {key: record.status for key, record in run.trials.items()}
    rows = [(task, t.track, t.dataset, t.method, key) for key, (task, t) in run.planned.items()]
    planned_keys = {row[-1] for row in rows}
    identity = {(*row[:4], run.planned[row[-1]][1].seeds) for row in rows if row[-1] in status}
    rows = [row for row in rows if row[-1] in status or (*row[:4], run.planned[row[-1]][1].seeds) not in identity]
    rows += [
        (r.spec.task, r.spec.track, r.spec.dataset, r.spec.method, key)
        for key, r in run.trials.items()
        if key not in planned_keys
    ]
    frame = pd.DataFrame(rows, columns=[*PAIR, "method", "key"], dtype="string")
    roles = {name: card.role for name, card in run.methods.items()}
    frame.insert(4, "role", frame["method"].map(roles).fillna("method").astype("string"))
    return frame.assign(status=frame["key"].map(status).fillna("missing").astype("string"))


@once
def coverage(run: Run) -> pd.DataFrame:
    """Planned against obtained.

    Returns
    -------
    A row per task, track, dataset and method with ``role``, ``planned``, ``ok``, ``missing`` (trials without a record)
    and ``status`` (the worst one).
    """
    frame = outcomes(run)
    frame = frame.assign(
        ok=frame["status"] == "ok",
        missing=frame["status"] == "missing",
        rank=frame["status"].map(STATUS_ORDER.index).astype("Int64"),
    )
    out = frame.groupby([*PAIR, "method", "role"], sort=True).agg(
        planned=("key", "size"), ok=("ok", "sum"), missing=("missing", "sum"), rank=("rank", "max")
    )
    out = out.reset_index()
    return out.assign(status=out.pop("rank").map(lambda i: STATUS_ORDER[int(i)]).astype("string"))


@once
def pairs(run: Run, task: str) -> list[tuple[str, str]]:
    """(track, dataset) pairs of a task, in the order of its card, then by name."""
    tracks = list(run.tasks[task].tracks) if task in run.tasks else []
    present = {(t.track, t.dataset) for name, t in run.planned.values() if name == task}
    present |= {(r.spec.track, r.spec.dataset) for r in run.trials.values() if r.spec.task == task}
    return sorted(present, key=lambda p: (tracks.index(p[0]) if p[0] in tracks else len(tracks), p[0], p[1]))


@once
def label_order(run: Run, task: str) -> list[tuple[str, str]]:
    """(label, role) of a task: methods from best to worst mean headline value, then controls by role."""
    metric = headline(run.tasks[task]) if task in run.tasks else None
    frame = cells(run)
    frame = frame[(frame["task"] == task) & (frame["metric"] == (metric.name if metric else ""))]
    mean = frame.groupby("label")["value"].mean()
    sign = -1.0 if metric is None or metric.higher_is_better else 1.0
    rows = trials(run)
    entries = {(str(a), str(b)) for a, b, t in zip(rows["label"], rows["role"], rows["task"], strict=True) if t == task}
    started = {record.spec.method for record in run.trials.values() if record.spec.task == task}
    for name, planned in run.planned.values():
        if name == task and planned.method not in started:
            role = run.methods[planned.method].role if planned.method in run.methods else "method"
            entries.add((planned.method, role))

    def place(entry: tuple[str, str]) -> tuple[int, float, str]:
        value = mean.get(entry[0])
        return (
            ROLE_ORDER.index(entry[1]),
            float("inf") if value is None or pd.isna(value) else sign * float(value),
            entry[0],
        )

    return sorted(entries, key=place)


def trap_values(frame: pd.DataFrame, task: TaskCard) -> pd.DataFrame:
    """The best trap control per pair and metric of :func:`cells`: columns ``trap`` (its value) and ``trap_label``."""
    better = {m.name: m.higher_is_better for m in task.metrics}
    traps = frame[(frame["role"] == "trap") & (frame["task"] == task.name) & frame["value"].notna()].copy()
    traps["key"] = [v if better.get(m, True) else -v for v, m in zip(traps["value"], traps["metric"], strict=True)]
    best = traps.sort_values(["key", "label"], ascending=[False, True]).drop_duplicates([*PAIR, "metric"])
    return best.rename(columns={"value": "trap", "label": "trap_label"})[[*PAIR, "metric", "trap", "trap_label"]]
