"""Error of each group of hidden entries with its interval, after Fig. 5b of the scMamba paper."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from bench.reports.imputation import tables as imputation_tables
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.style import styles

PER_PAIR = True
_METRICS = ("mse", "pearson")
_MEAN, _PREFIX = "group_mean", "group:"


def prepare(run: Run, task: str) -> pd.DataFrame:
    """Means with their intervals (:func:`bench.reports.run.tables.cells`); units ``group_mean`` and ``group:<name>``.

    Returns
    -------
    Columns ``track, dataset, label, role, metric, unit, value, ci_low, ci_high``.
    """
    keys = ["track", "dataset", "label", "role", "metric", "unit"]
    rows = run.rows[(run.rows["task"] == task) & run.rows["metric"].isin(_METRICS)]
    units = sorted(u for u in rows["unit"].dropna().unique() if u == _MEAN or u.startswith(_PREFIX))
    if not units:
        return pd.DataFrame(columns=[*keys, "value", "ci_low", "ci_high"])
    frame = pd.concat([tables.cells(run, unit).assign(unit=unit) for unit in units])
    frame = frame[(frame["task"] == task) & frame["metric"].isin(_METRICS) & frame["value"].notna()]
    frame = frame[frame["dataset"].isin(frame.loc[frame["unit"] == _MEAN, "dataset"])]
    return frame.sort_values(keys)[[*keys, "value", "ci_low", "ci_high"]].reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a metric, a column a group, a bar a method; the mean over groups comes first."""
    order = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    style_of = styles(tables.label_order(run, task))
    named = sorted(
        {unit for unit in frame["unit"] if unit != _MEAN},
        key=lambda u: imputation_tables.group_order(u[len(_PREFIX) :]),
    )
    units, metrics = [_MEAN, *named], [m for m in _METRICS if (frame["metric"] == m).any()]
    figure = Figure(figsize=(1.5 * len(units) + 1.2, (0.19 * len(order) + 0.7) * len(metrics)), layout="constrained")
    grid = figure.subplots(len(metrics), len(units), squeeze=False, sharex="row", sharey=True)
    for row, metric in zip(grid, metrics, strict=True):
        for axes, unit in zip(row, units, strict=True):
            panel_rows = frame[(frame["metric"] == metric) & (frame["unit"] == unit)].set_index("label")
            bars = [(y, label) for y, label in enumerate(order) if label in panel_rows.index]
            if not bars:
                axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", color="#777777")
            values = panel_rows.loc[[label for _, label in bars]]
            spread = [(values["value"] - values["ci_low"]).clip(0), (values["ci_high"] - values["value"]).clip(0)]
            colours = [style_of[label]["colour"] for _, label in bars]
            axes.barh([y for y, _ in bars], values["value"], color=colours, xerr=[s.fillna(0) for s in spread],
                      error_kw={"linewidth": 0.7, "capsize": 1.5})  # fmt: skip
            axes.set(title="mean" if unit == _MEAN else f"group {unit[len(_PREFIX) :]}", ylim=(len(order) - 0.5, -0.5))
            axes.set_yticks(range(len(order)), order)
        row[0].set_xlabel("MSE" if metric == "mse" else "Pearson r")
    return figure
