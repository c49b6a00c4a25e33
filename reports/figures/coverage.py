"""Planned against obtained: a tile per method and (track, dataset)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd

#: Status -> face colour and hatch, so that it reads without colour.
LOOKS = {
    "ok": ("#2A788E", ""),
    "not_applicable": ("#E4E4E0", ""),
    "unavailable": ("#E4E4E0", "...."),
    "missing": ("#FFFFFF", ""),
    "invalid_output": ("#FFFFFF", "++++"),
    "crash": ("#FFFFFF", "xxxx"),
    "oom": ("#FFFFFF", "||||"),
    "timeout": ("#FFFFFF", "////"),
}


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.run.tables.coverage` of one task."""
    frame = tables.coverage(run)
    return frame[frame["task"] == task].reset_index(drop=True)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """Tiles with the number of trials obtained of those planned."""
    pairs = tables.pairs(run, task)
    methods = [
        name for role in tables.ROLE_ORDER for name in sorted(frame.loc[frame["role"] == role, "method"].unique())
    ]
    figure = Figure(figsize=(2.2 + 1.0 * len(pairs), 1.6 + 0.26 * len(methods)))
    axes = figure.add_subplot()
    for row in frame.itertuples():
        x, y = pairs.index((row.track, row.dataset)), methods.index(row.method)
        face, hatch = LOOKS[row.status]
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=face, hatch=hatch, edgecolor="#AAAAAA", linewidth=0.5))
        colour = "white" if row.status == "ok" else "#333333"
        box = None if row.status == "ok" else {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(
            x + 0.5, y + 0.5, f"{row.ok}/{row.planned}", ha="center", va="center", color=colour, fontsize=7, bbox=box
        )
    axes.set(xlim=(0, len(pairs)), ylim=(len(methods), 0), title=f"{task}: trials obtained of those planned")
    axes.set_xticks([i + 0.5 for i in range(len(pairs))], [f"{t}\n{d}" for t, d in pairs], rotation=0)
    axes.set_yticks([i + 0.5 for i in range(len(methods))], methods)
    axes.tick_params(length=0)
    handles = [
        Patch(facecolor=face, hatch=hatch, edgecolor="#AAAAAA", label=status)
        for status, (face, hatch) in LOOKS.items()
        if (frame["status"] == status).any()
    ]
    axes.legend(handles=handles, bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, title="worst status")
    return figure
