"""Results by class: its scores, the cells they rest on, and its place in the hierarchy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.reports.run import tables
from bench.reports.run.load import Run

UNIT = "class:"
METRICS = ("f1", "precision", "recall")
#: A class is called lost where its F1 is below this: more of its answers are wrong than right.
LOST = 0.5
#: Between the coarser and the finer class of a lineage; no label has it, as one may have a slash.
WITHIN = " › "
#: What parts the coarser classes in a row's detail from each other: names may have a semicolon.
_ABOVE = r"; (?=(?:cell_type|subtype|subcluster) )"
_KEYS = ["track", "dataset", "label", "role", "class"]
_COLUMNS = [*_KEYS, *METRICS, "n", "train_cells", "train_donors", "lineage"]


def table(run: Run, task: str) -> pd.DataFrame:
    """Mean over seeds of the scores of each class.

    Returns
    -------
    Columns ``track, dataset, label, role, class, f1, precision, recall, n, train_cells, train_donors, lineage``: ``n``
    is the mean number of tested cells, ``lineage`` the coarser classes it belongs to, separated by :data:`WITHIN`.
    Empty for a task that is not scored by class.
    """
    rows = run.rows[(run.rows["task"] == task) & run.rows["unit"].str.startswith(UNIT).fillna(False)]
    if rows.empty:
        return pd.DataFrame(columns=_COLUMNS)
    rows = rows.assign(**{"class": rows["unit"].str.removeprefix(UNIT)})
    values = rows.groupby([*_KEYS, "metric"])["value"].mean().unstack("metric")
    learned = rows[rows["metric"] == "train_cells"].set_index(_KEYS)
    out = values.reindex(columns=[*METRICS, "train_cells"]).astype(float)
    out = out.join(rows.groupby(_KEYS)["n"].mean().astype(float), how="inner")
    detail = learned["detail"].groupby(level=_KEYS).first().fillna("").str.split(_ABOVE, regex=True)
    out["train_donors"] = pd.to_numeric(detail.str[0].str.extract(r"^(\d+) training donor", expand=False))
    out["lineage"] = detail.map(lambda parts: WITHIN.join(part.partition(" ")[2] for part in parts[1:]))
    out["lineage"] = out["lineage"].fillna("")
    return out.reset_index()[_COLUMNS]


def order(frame: pd.DataFrame) -> list[str]:
    """Classes of some rows of :func:`table`, relatives beside each other."""
    classes = frame.drop_duplicates("class")
    path = np.where(classes["lineage"] != "", classes["lineage"] + WITHIN + classes["class"], classes["class"])
    return [name for _, name in sorted(zip(path, classes["class"], strict=True))]


def pairs(run: Run, task: str, frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The (track, dataset) pairs that have classes."""
    with_classes = set(zip(frame["track"], frame["dataset"], strict=True))
    return [pair for pair in tables.pairs(run, task) if pair in with_classes]


def matrix(confusions: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Cells by true class (rows) and answer (columns): ``classes``, then what else was answered, as *unassigned*."""
    extra = sorted(set(confusions["answer"]) - set(classes))
    counts = confusions.groupby(["truth", "answer"])["n"].sum().unstack(fill_value=0)
    return counts.reindex(index=classes, columns=[*classes, *extra], fill_value=0), extra
