"""The tested cells in the plane with their true class and each method's answer, in the form that the page carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.reports import _confusion, _scored
from bench.reports._load import Run
from bench.store import Store

#: Cells of one map in the HTML.
MOST_POINTS = 2_500
#: Steps of the grid that points are rounded to along each axis.
GRID = 999


def of_pair(run: Run, task: str, track: str, dataset: str, columns: list[str]) -> dict[str, Any] | None:
    """The map of the first split, or None where the run has none.

    Parameters
    ----------
    columns
        Classes and other answers; codes are places in it.

    Returns
    -------
    ``cells`` (tested), ``x, y`` (0 ... :data:`GRID`), ``truth`` (codes) and ``answers`` (label -> codes; first seeds).
    """
    trials = _scored.first_seeds(_scored.finished(run, task))
    here = trials[(trials["track"] == track) & (trials["dataset"] == dataset) & (trials["role"] == "method")]
    records = {str(label): run.trials[str(key)] for label, key in zip(here["label"], here["trial"], strict=True)}
    if not records:
        return None
    first = min(records.values(), key=lambda r: (r.spec.seeds.split, r.spec.seeds.simulation)).spec.problem
    plane = Store(run.folder).problem_table(first, "map")
    found = {
        label: table
        for label, record in records.items()
        if record.spec.problem == first and (table := _confusion.answers(run.folder, record)) is not None
    }
    if plane is None or not found:
        return None
    total = len(next(iter(found.values())))
    if len(plane) > MOST_POINTS:
        plane = plane.sample(MOST_POINTS, random_state=0)
    cell, codes = plane["cell"].to_numpy(), pd.Index(columns)
    truth = next(iter(found.values())).loc[cell, "truth"]
    return {
        "cells": total,
        "x": _on_grid(plane["x"]),
        "y": _on_grid(plane["y"]),
        "truth": codes.get_indexer(truth).tolist(),
        "answers": {label: codes.get_indexer(table.loc[cell, "answer"]).tolist() for label, table in found.items()},
    }


def _on_grid(values: pd.Series) -> list[int]:
    v = values.to_numpy(dtype=float)
    span = float(np.ptp(v)) or 1.0
    return np.rint((v - v.min()) / span * GRID).astype(int).tolist()
