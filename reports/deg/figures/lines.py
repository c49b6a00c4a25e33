"""Lines of every method, a panel a cell type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from bench.reports.run.style import LINES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def panels_of_lines(frame: pd.DataFrame, looks: Mapping[str, Any], *, x: str, y: str) -> tuple[Figure, np.ndarray]:
    """Draw ``y`` over ``x``, a row a cell type and a column a value of ``kind``; one legend beside them."""
    types, kinds = sorted(frame["cell_type"].unique()), sorted(frame["kind"].unique())
    size = (2.6 * len(kinds) + 1.8, 1.9 * len(types) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(types), len(kinds), squeeze=False)
    shown: dict[str, Any] = {}
    for (i, j), axes in np.ndenumerate(grid):
        here = frame[(frame["cell_type"] == types[i]) & (frame["kind"] == kinds[j])]
        for label, look in looks.items():
            mine = here[here["label"] == label].sort_values(x)
            if len(mine):
                style = {"color": look["colour"], "linestyle": LINES[look["dash"]], "linewidth": 1.1}
                shown[label] = axes.plot(mine[x].astype(float), mine[y].astype(float), **style)[0]
        axes.set_title(f"{types[i]}, {kinds[j]}" if kinds[j] else types[i])
    figure.legend(shown.values(), shown.keys(), loc="outside right upper", frameon=False)
    return figure, grid
