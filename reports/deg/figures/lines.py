"""Lines of every method, a panel a cell type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from bench.reports.run.style import LINES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def panels_of_lines(frame: pd.DataFrame, style_of: Mapping[str, Any], *, x: str, y: str) -> tuple[Figure, np.ndarray]:
    """Draw ``y`` over ``x``, a row a cell type and a column a value of ``kind``; one legend beside them."""
    types, kinds = sorted(frame["cell_type"].unique()), sorted(frame["kind"].unique())
    size = (2.6 * len(kinds) + 1.8, 1.9 * len(types) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(types), len(kinds), squeeze=False)
    lines: dict[str, Any] = {}
    for (i, j), axes in np.ndenumerate(grid):
        panel_rows = frame[(frame["cell_type"] == types[i]) & (frame["kind"] == kinds[j])]
        for label, label_style in style_of.items():
            line = panel_rows[panel_rows["label"] == label].sort_values(x)
            if len(line):
                style = {"color": label_style["colour"], "linestyle": LINES[label_style["dash"]], "linewidth": 1.1}
                lines[label] = axes.plot(line[x].astype(float), line[y].astype(float), **style)[0]
        axes.set_title(f"{types[i]}, {kinds[j]}" if kinds[j] else types[i])
    figure.legend(lines.values(), lines.keys(), loc="outside right upper", frameon=False)
    return figure, grid
