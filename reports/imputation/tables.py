"""Imputed against true expression: joint densities, errors by group and level, false positives."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.reports.imputation import density
from bench.reports.run import scored, tables
from bench.reports.run.load import Run
from bench.reports.run.words import rounded

#: Characters of all joint densities in the HTML; beyond it the groups are left out and only their sums are shown.
JOINT_BUDGET = 1_200_000
_PAIR_LABEL = ["track", "dataset", "label", "role"]
_JOINT = dict.fromkeys(("x_low", "x_high", "y_low", "y_high", "n"), "float64")
_GROUPS = {"n": "float64", "mse": "float64", "pearson": "float64", "slope": "float64"}
_BINS = dict.fromkeys(("low", "high", "n", "mse", "mean_true", "mean_imputed"), "float64")


def joint(run: Run, task: str) -> pd.DataFrame:
    """Entries by true and imputed value: ``track, dataset, label, role, group, x_low, x_high, y_low, y_high, n``.

    Summed over seeds.
    """
    frame = scored.table(run, "joint", scored.finished(run, task), {"group": "string", **_JOINT})
    keys = [*_PAIR_LABEL, "group", "x_low", "x_high", "y_low", "y_high"]
    return frame.groupby(keys, sort=True, as_index=False)["n"].sum()


def groups(run: Run, task: str) -> pd.DataFrame:
    """Error in each group of hidden entries, mean over seeds: ``track, dataset, label, role, group, n, mse, ...``."""
    frame = scored.table(run, "groups", scored.finished(run, task), {"group": "string", **_GROUPS})
    return frame.groupby([*_PAIR_LABEL, "group"], sort=True, as_index=False)[[*_GROUPS]].mean()


def whole(run: Run, task: str) -> pd.DataFrame:
    """Error over all entries, mean over seeds: ``track, dataset, label, mse, pearson, slope``."""
    frame = tables.cells(run)
    frame = frame[(frame["task"] == task) & frame["metric"].isin([*_GROUPS])]
    keys = ["track", "dataset", "label"]
    errors = frame.pivot(index=keys, columns="metric", values="value").astype("float64")  # undefined: NaN
    return errors.rename_axis(columns=None).reset_index()


def expression_bins(run: Run, task: str) -> pd.DataFrame:
    """Error by level of true expression, over groups and seeds weighted by entries."""
    frame = scored.table(run, "expression_bins", scored.finished(run, task), _BINS)
    frame = frame[frame["n"] > 0]
    means = ["mse", "mean_true", "mean_imputed"]
    weighted = frame.assign(**{name: frame[name] * frame["n"] for name in means})
    sums = weighted.groupby([*_PAIR_LABEL, "low", "high"], sort=True)[["n", *means]].sum()
    sums[means] = sums[means].div(sums["n"], axis=0)
    return sums.reset_index()


def zeros(run: Run, task: str) -> pd.DataFrame:
    """Shares of zeros imputed as expressed, mean over seeds: ``track, dataset, label, role, what, n, share``."""
    columns = {"what": "string", "n": "float64", "share": "float64"}
    frame = scored.table(run, "zeros", scored.finished(run, task), columns)
    return frame.groupby([*_PAIR_LABEL, "what"], sort=False, as_index=False)[["n", "share"]].mean()


def of_task(run: Run, task: str) -> dict[str, Any]:
    """Data that the page draws: per (track, dataset) densities and errors of each label; ``zeros`` as rows.

    Returns
    -------
    ``{"pairs", "leftOut", "zeros"}``. A pair has ``track, dataset, end`` (of the axes), ``groups``, ``panels``
    (label -> group -> ``z, most`` of :func:`bench.reports.imputation.density.encode`, ``above``, the share of entries
    imputed above the axis, and ``n, mse, pearson, slope``; group ``""`` is all of them) and ``bins`` (label ->
    columns).
    """
    frame, error, by_level = joint(run, task), groups(run, task), expression_bins(run, task)
    overall = whole(run, task)
    panels = len(frame.drop_duplicates([*_PAIR_LABEL, "group"]))
    each = panels * density.BINS**2 / 2 <= JOINT_BUDGET  # about half of a panel's bins are empty
    with_data = {(row.track, row.dataset) for part in (frame, error, by_level) for row in part.itertuples()}
    pairs = []
    for t, d in tables.pairs(run, task):
        if (t, d) in with_data:
            parts = (frame, error, by_level, overall)
            pair_parts = [part[(part["track"] == t) & (part["dataset"] == d)] for part in parts]
            pairs.append(_pair(pair_parts[0], pair_parts[1], pair_parts[2], pair_parts[3], each, t, d))
    left_out = (
        "" if each else "To keep this file small it shows the groups together; figures/ has a panel for each of them."
    )
    return {"pairs": pairs, "leftOut": left_out, "zeros": _zero_rows(zeros(run, task))}


def _zero_rows(frame: pd.DataFrame) -> list[list[Any]]:
    return [
        [r.track, r.dataset, r.label, r.what, rounded(r.n), rounded(r.share)] for r in frame.itertuples(index=False)
    ]


def _pair(
    frame: pd.DataFrame,
    error: pd.DataFrame,
    by_level: pd.DataFrame,
    overall: pd.DataFrame,
    each: bool,
    track: str,
    dataset: str,
) -> dict[str, Any]:
    end = density.top(frame) if len(frame) else 1.0
    names = sorted(set(frame["group"]) | set(error["group"]), key=group_order)
    panels: dict[str, dict[str, Any]] = {}
    all_entries = overall.set_index("label")
    for label in sorted(set(frame["label"]) | set(error["label"])):
        entries, errors = frame[frame["label"] == label], error[error["label"] == label].set_index("group")
        numbers = all_entries.loc[label] if label in all_entries.index else pd.Series(dtype=float)
        panels[label] = {"": _panel(entries, end, pd.Series({**numbers, "n": errors["n"].sum()}))}
        if each and len(names) > 1:
            for name in names:
                numbers = errors.loc[name] if name in errors.index else pd.Series(dtype=float)
                panels[label][name] = _panel(entries[entries["group"] == name], end, numbers)
    return {
        "track": track,
        "dataset": dataset,
        "end": end,
        "groups": names if each and len(names) > 1 else [],
        "panels": panels,
        "bins": {
            str(label): {name: [rounded(v) for v in part[name]] for name in _BINS}
            for label, part in by_level.groupby("label", sort=True)
        },
    }


def _panel(frame: pd.DataFrame, end: float, numbers: pd.Series) -> dict[str, Any]:
    counts, total = density.regrid(frame, end), frame["n"].sum()
    return {
        **density.encode(counts),
        "above": rounded(1 - counts.sum() / total) if total else None,
        **{name: rounded(numbers.get(name)) for name in _GROUPS},
    }


def group_order(name: str) -> tuple[float, str]:
    """Numbers as numbers, then names."""
    return (float(name), "") if name.isdecimal() else (math.inf, name)
