"""Imputed cells by cell type, subtype, donor and batch, after Fig. 6 of the scMamba paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from bench.reports.embeddings.figure import legend
from bench.reports.embeddings.tables import UNLABELLED, colours
from bench.reports.integration import tables as integration_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

if TYPE_CHECKING:
    import pandas as pd

PER_PAIR = True


def prepare(run: Run, task: str) -> pd.DataFrame:
    """:func:`bench.reports.integration.tables.maps`."""
    return integration_tables.maps(run, task)


def draw(run: Run, task: str, frame: pd.DataFrame) -> Figure:
    """A row a method, a column for each thing known of the cells, with NMI and ARI where it was compared."""
    labels = [label for label, _ in tables.label_order(run, task) if (frame["label"] == label).any()]
    names = [n for n in integration_tables.COLOURINGS if n in frame and frame[n].notna().any()]
    best = integration_tables.best(integration_tables.resolutions(run, task))
    track, dataset = frame.iloc[0][["track", "dataset"]]
    best = best[(best["track"] == track) & (best["dataset"] == dataset)].set_index(["label", "level"])
    columns = names or [""]
    figure = Figure(figsize=(4.0 * len(columns), 2.0 * len(labels) + 0.3), layout="constrained")
    grid = figure.subplots(len(labels), len(columns), squeeze=False)
    for (i, j), axes in np.ndenumerate(grid):
        cells = frame[frame["label"] == labels[i]].sample(frac=1, random_state=0)
        values = cells[names[j]].fillna(UNLABELLED) if names else None
        chosen = colours(frame[names[j]].fillna(UNLABELLED)) if names else {}
        colour = values.map(chosen) if values is not None else "#56758A"
        axes.scatter(cells["x"], cells["y"], s=2, c=colour, linewidths=0, rasterized=True)
        score = best.loc[(labels[i], columns[j])] if (labels[i], columns[j]) in best.index else None
        agreement = "" if score is None else f"NMI {score['nmi']:.2f}, ARI {score['ari']:.2f}"
        name = integration_tables.COLOURINGS[names[j]] if names and not i else ""
        axes.set(xticks=[], yticks=[], title="\n".join(part for part in (name, agreement) if part))
        axes.set_ylabel(labels[i] if not j else "")
        if not i:
            legend(axes, chosen)
    return figure
