"""Two tracks of one question side by side, such as cells of new donors and new cells of known donors."""

from __future__ import annotations

import pandas as pd

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.results.records import TaskCard

_VALUES = ["value", "ci_low", "ci_high"]
_OTHERS = {value: f"other_{value}" for value in _VALUES}
COLUMNS = ["dataset", "track", "other", "label", *_VALUES, *_OTHERS.values(), "gap"]


def of_task(run: Run, card: TaskCard) -> pd.DataFrame:
    """Headline metric of each method on a track and on the one that it is set beside.

    Returns
    -------
    Columns ``dataset, track, other, label``; ``value, ci_low, ci_high`` on ``track``, and ``other_*`` on the other one;
    ``gap``, the other's value less this one's. Empty where no two such tracks were run on a dataset.
    """
    metric = tables.headline(card)
    means = tables.cells(run)
    means = means[(means["task"] == card.name) & (means["metric"] == (metric.name if metric else ""))]
    parts = []
    for name, track in card.tracks.items():
        this, other = means[means["track"] == track.beside], means[means["track"] == name]
        both = this.merge(other[["dataset", "label", *_VALUES]].rename(columns=_OTHERS), on=["dataset", "label"])
        if len(both):
            parts.append(both.assign(other=name, gap=both["other_value"] - both["value"])[COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
