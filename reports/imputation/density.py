"""Two-dimensional histograms on one grid, and written as short strings for the page."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: Bins along each axis in the page and in the figures.
BINS = 48
#: Letters that stand for counts, on a log scale; empty bins are written as the length of their run.
LEVELS = string.ascii_letters


def top(joint: pd.DataFrame) -> float:
    """The largest true value, which ends both axes (as in the scMamba paper)."""
    return float(joint.loc[joint["n"] > 0, "x_high"].max())


def regrid(joint: pd.DataFrame, end: float, bins: int = BINS) -> np.ndarray:
    """Counts on a square grid over [0, ``end``]; the counts of a bin are spread evenly over its area.

    Parameters
    ----------
    joint
        Columns ``x_low, x_high, y_low, y_high, n``.

    Returns
    -------
    (bins, bins): y x x. What lies above the grid is not in it.
    """
    edges = np.linspace(0.0, end, bins + 1)
    x, y = (_overlap(joint[f"{a}_low"].to_numpy(float), joint[f"{a}_high"].to_numpy(float), edges) for a in "xy")
    return (y * joint["n"].to_numpy(float)[:, None]).T @ x


def _overlap(low: np.ndarray, high: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of each interval that falls between consecutive edges; a point falls into the bin it is in."""
    width = high - low
    inside = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    share = np.clip(inside, 0, None) / np.where(width > 0, width, 1.0)[:, None]
    points = np.flatnonzero((width <= 0) & (low >= edges[0]) & (low <= edges[-1]))
    place = np.clip(np.searchsorted(edges, low[points], side="right") - 1, 0, len(edges) - 2)
    share[points, place] = 1.0
    return share


def encode(counts: np.ndarray) -> dict[str, Any]:
    """``{"z", "most"}``: row by row from the lowest, a letter a bin (log1p of the count, rounded), digits for gaps."""
    most = float(counts.max())
    if most <= 0:
        return {"z": str(counts.size), "most": 0}
    values = counts.ravel()
    level = np.rint(np.log1p(values) / np.log1p(most) * len(LEVELS)).astype(int)
    level = np.where(values > 0, np.maximum(level, 1), 0)
    text = "".join(" " if k <= 0 else LEVELS[k - 1] for k in level)
    return {"z": re.sub(" +", lambda gap: str(len(gap.group())), text), "most": round(most, 1)}
