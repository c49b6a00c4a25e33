"""Scores by class and confusion matrices in the form that the page carries, small even for hundreds of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.reports.classes import cell_map, confusion
from bench.reports.classes import tables as class_tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd

#: Entries of all confusion matrices in the HTML; beyond it the smallest shares are left out.
ENTRIES_BUDGET = 150_000
#: Shares of a class's cells below which its entries may be left out, tried in this order.
_SHARES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


def of_task(run: Run, task: str) -> dict[str, Any]:
    """Per (track, dataset): classes with their cells and lineage, scores by method, and sparse confusion matrices.

    Returns
    -------
    ``{"lost", "leftOut", "pairs"}``; a pair has ``track, dataset, names, n, train, donors, lineage, extra`` (answers
    that are no class), ``scores`` (label -> ``f1, precision, recall``, one value a class) and ``confusion``
    (label -> flat lists ``at`` = row * columns + column, ``n``, and
    ``of``, the cells of each class) and ``map`` (:func:`bench.reports.classes.cell_map.of_pair`).
    No pairs for a task without classes.
    """
    frame = class_tables.table(run, task)
    confusions = confusion.counts(run, task)
    least = _least_share(confusions)
    left_out = (
        f"Entries below {100 * least:g} % of a class's cells are left out to keep this file small." if least else ""
    )
    pairs = [_pair(run, task, frame, confusions, least, *pair) for pair in class_tables.pairs(run, task, frame)]
    return {"lost": class_tables.LOST, "leftOut": left_out, "pairs": pairs}


def _shares(confusions: pd.DataFrame) -> pd.Series:
    keys = ["track", "dataset", "label", "truth"]
    return confusions["n"] / confusions.groupby(keys)["n"].transform("sum")


def _least_share(confusions: pd.DataFrame) -> float:
    """The smallest of the thresholds with which all matrices fit."""
    shares = _shares(confusions).to_numpy(dtype=float)
    return next((least for least in _SHARES if (shares >= least).sum() <= ENTRIES_BUDGET), _SHARES[-1])


def _pair(
    run: Run, task: str, frame: pd.DataFrame, confusions: pd.DataFrame, least: float, track: str, dataset: str
) -> dict[str, Any]:
    pair_rows = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
    answered = confusions[(confusions["track"] == track) & (confusions["dataset"] == dataset)]
    names = class_tables.order(pair_rows)
    # the same for every method on a split; the mean over splits where there are several
    sizes = pair_rows.groupby("class")[["n", "train_cells", "train_donors"]].mean().reindex(names)
    lineage = pair_rows.drop_duplicates("class").set_index("class")["lineage"].reindex(names)
    counts, extra = class_tables.matrix(answered, names)
    scores = {
        str(label): {m: _rounded(rows.set_index("class")[m].reindex(names)) for m in class_tables.METRICS}
        for label, rows in pair_rows.groupby("label", sort=True)
    }
    cells = answered.groupby(["label", "truth"])["n"].sum()
    large_entries = answered[_shares(answered) >= least]
    place = {name: i for i, name in enumerate(counts.columns)}
    return {
        "track": track,
        "dataset": dataset,
        "names": names,
        "n": _rounded(sizes["n"], 1),
        "train": _rounded(sizes["train_cells"], 1),
        "donors": _rounded(sizes["train_donors"], 1),
        "lineage": lineage.tolist(),
        "extra": extra,
        "scores": scores,
        "map": cell_map.of_pair(run, task, track, dataset, list(counts.columns)),
        "confusion": {
            str(label): {
                "at": [place[t] * len(place) + place[a] for t, a in zip(rows["truth"], rows["answer"], strict=True)],
                "n": rows["n"].astype(int).tolist(),
                "of": cells.loc[label].reindex(names, fill_value=0).astype(int).tolist(),
            }
            for label, rows in large_entries.groupby("label", sort=True)
        },
    }


def _rounded(values: pd.Series, digits: int = 9) -> list[float | None]:
    # so many digits that rounding again for display gives what rounding the value itself does
    numbers = np.round(values.to_numpy(dtype=float, na_value=np.nan), digits)
    return [None if np.isnan(v) else float(v) for v in numbers]
