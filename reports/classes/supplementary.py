"""A row a method, dataset and level, as in Supplementary Table 4 of the scMamba paper, with the paper's own beside."""

from __future__ import annotations

import pandas as pd

from bench.reports.classes import same_cells
from bench.reports.classes import tables as class_tables
from bench.reports.run import caveats, tables
from bench.reports.run.load import Run, once
from bench.reports.run.published import published
from bench.reports.run.ranks import ranking

#: Columns of numbers, each with its 95 % interval, and how the page calls them.
METRICS = {
    "f1_macro": "F1 macro (official)",
    "f1_macro_union": "F1 macro (scikit-learn's default)",
    "f1_micro": "F1 micro = accuracy",
    "f1_weighted": "F1 weighted",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy_assigned": "Accuracy of assigned",
    "coverage": "Coverage",
}
RUN = "this run"
_KEYS = ["track", "dataset", "label"]
_BASIS = ["splits", "trials", "cells", "donors"]
#: A method against the best one of its level and dataset, on the same cells of the first split.
_AGAINST = ["difference", "difference_low", "difference_high", "p_holm", "p_mcnemar_holm", "testable"]


@once
def table(run: Run, task: str) -> pd.DataFrame:
    """Rows of this run, then rows that a paper reports; empty for a task that is not scored by class.

    Returns
    -------
    ``source`` (:data:`RUN` or *reported, not run: ...*), ``track, dataset, label, role, status`` (``ok``, or why there
    is no value), ``splits, trials, cells, donors``; of each metric of :data:`METRICS` that the run has ``M, M_ci_low,
    M_ci_high`` (means over splits) and, among methods, ``M_tie_group``: 1 for the best value and those whose interval
    overlaps with its. ``best`` is the method with the highest headline value, and ``difference ...`` compare with it
    (:func:`bench.reports.classes.same_cells.comparisons`; missing for the best itself).
    ``note``: what a reader must mind.
    """
    if class_tables.table(run, task).empty:
        return pd.DataFrame(columns=["source", *_KEYS])
    card = run.tasks[task]
    within = ranking(run, card).within
    of_run = _values(run, task).join(_ties(within)).join(_basis(run, task))
    of_run = of_run.join(_against_best(run, task, within), on=_KEYS).reset_index()
    of_run = pd.concat([of_run.assign(source=RUN, status="ok"), _without_value(run, task, of_run)], ignore_index=True)
    of_run = _ordered(run, task, of_run)
    rows = pd.concat([of_run, *_reported(task, of_run)], ignore_index=True)
    order = ["source", *_KEYS, "role", "status", *_BASIS, *_numbers(rows), "best", *_AGAINST, "note"]
    return rows[order].astype({name: _type(name) for name in (*_BASIS, *_numbers(rows), *_AGAINST)})


def metrics(frame: pd.DataFrame) -> dict[str, str]:
    """The metrics that some rows of :func:`table` have, and what they are called."""
    return {name: words for name, words in METRICS.items() if name in frame}


def _numbers(frame: pd.DataFrame) -> list[str]:
    parts = ("", "_ci_low", "_ci_high", "_tie_group")
    return [f"{m}{part}" for m in metrics(frame) for part in parts if f"{m}{part}" in frame]


def _type(name: str) -> str:
    """Said for every column of numbers: some may be missing throughout."""
    if name in ("splits", "trials", "donors") or name.endswith("_tie_group"):
        return "Int64"
    return "boolean" if name == "testable" else "Float64"


def _values(run: Run, task: str) -> pd.DataFrame:
    """Means over seeds with their intervals, a column each, by track, dataset, label and role."""
    cells = tables.cells(run)
    cells = cells[(cells["task"] == task) & cells["metric"].isin(METRICS)]
    wide = cells.pivot(index=[*_KEYS, "role"], columns="metric", values=["value", "ci_low", "ci_high"]).astype(
        "Float64"
    )
    wide.columns = [metric if part == "value" else f"{metric}_{part}" for part, metric in wide.columns]
    return wide.reset_index("role")


def _ties(within: pd.DataFrame) -> pd.DataFrame:
    """Tie groups of the methods (:class:`bench.reports.run.ranks.Ranking`) by every metric that is ranked."""
    within = within[within["metric"].isin(METRICS)].rename(columns={"method": "label"})
    wide = within.pivot(index=_KEYS, columns="metric", values="tie_group")
    return wide.add_suffix("_tie_group")


def _basis(run: Run, task: str) -> pd.DataFrame:
    """:data:`_BASIS`: splits, tested cells of one (mean over them), tested donors of all; and what to mind."""
    rows = run.rows[(run.rows["task"] == task) & (run.rows["metric"] == _headline(run, task))]
    pooled = rows[rows["unit"] == "pooled"]
    by = pooled.groupby(_KEYS)
    basis = by.agg(splits=("split", "nunique"), trials=("trial", "nunique"), cells=("n", "mean"))
    basis["cells"] = basis["cells"].astype(float)
    basis["donors"] = [caveats.tested_donors(run, task, *key[:2]) for key in basis.index]
    remarks = pooled.assign(note=pooled["detail"].fillna("").str.split("; ")).explode("note")
    one_split = remarks["note"].str.startswith("interval rests on ")  # says nothing of an interval over splits
    remarks = remarks[~one_split | (remarks.set_index(_KEYS).index.map(basis["splits"]) == 1)]
    basis["note"] = remarks.groupby(_KEYS)["note"].agg(lambda notes: "; ".join(dict.fromkeys(filter(None, notes))))
    return basis


def _headline(run: Run, task: str) -> str:
    metric = tables.headline(run.tasks[task])
    return metric.name if metric is not None else ""


def _against_best(run: Run, task: str, within: pd.DataFrame) -> pd.DataFrame:
    """Difference to the method with the highest headline value, by track, dataset and label; the best has none."""
    compared = same_cells.comparisons(run, task)
    best = within[(within["metric"] == _headline(run, task)) & (within["place"] == 1)]
    best = best.rename(columns={"method": "best"})[["track", "dataset", "best"]]
    flipped = compared.rename(columns={"method_a": "method_b", "method_b": "method_a"})
    flipped = flipped.assign(
        difference=-compared["difference"], ci_low=-compared["ci_high"], ci_high=-compared["ci_low"]
    )
    both = pd.concat([compared, flipped]) if len(compared) else compared
    both = both.rename(
        columns={"method_a": "label", "ci_low": "difference_low", "ci_high": "difference_high"}
    ).merge(best, left_on=["track", "dataset", "method_b"], right_on=["track", "dataset", "best"])  # fmt: skip
    return both.set_index(_KEYS)[["best", *_AGAINST]]


def _without_value(run: Run, task: str, of_run: pd.DataFrame) -> pd.DataFrame:
    """Methods that were planned and gave nothing, with their status: a failure does not vanish from the table."""
    coverage = tables.coverage(run)
    none = coverage[(coverage["task"] == task) & (coverage["role"] == "method") & (coverage["ok"] == 0)]
    none = none.rename(columns={"method": "label"})[[*_KEYS, "role", "status"]].assign(source=RUN, trials=0)
    served = set(zip(of_run["track"], of_run["dataset"], strict=True))
    return none[[pair in served for pair in zip(none["track"], none["dataset"], strict=True)]]


def _ordered(run: Run, task: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Level, dataset, methods from the best to the worst of that dataset, then controls."""
    pairs = {pair: i for i, pair in enumerate(tables.pairs(run, task))}
    frame = frame.assign(
        pair=[pairs[pair] for pair in zip(frame["track"], frame["dataset"], strict=True)],
        place=frame["role"].map(tables.ROLE_ORDER.index),
        behind=-frame[_headline(run, task)],
    )
    return frame.sort_values(["pair", "place", "behind"], kind="stable")


def _reported(task: str, of_run: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of the papers on the levels that the run has."""
    parts = []
    for source, rows in published(task):
        rows = rows[rows["track"].isin(of_run["track"]) & rows["metric"].isin(METRICS)]
        if rows.empty:
            continue
        wide = rows.rename(columns={"method": "label"}).pivot(index=_KEYS, columns="metric", values="value")
        wide = wide.reset_index()
        wide["status"] = ["ok" if has_value else "not run" for has_value in wide[[*metrics(wide)]].notna().any(axis=1)]
        parts.append(wide.assign(source=f"reported, not run: {source.title}", role="method"))
    return parts
