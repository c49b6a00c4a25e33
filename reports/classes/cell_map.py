"""The tested cells in the plane with their true class and each method's answer, in the form that the page carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.reports.classes import confusion
from bench.reports.run import scored
from bench.reports.run.load import Run
from bench.results.store import Store

#: Cells of one map in the HTML.
MOST_POINTS = 2_500
#: Steps of the grid that points are rounded to along each axis.
GRID = 999
#: What the columns of answers begin with, before the method's name.
ANSWER = "answer_"


def table(run: Run, task: str, track: str, dataset: str) -> pd.DataFrame | None:
    """Tested cells of the first split, or None where the run has no map of them.

    Returns
    -------
    ``cell, x, y, truth`` and an ``answer_METHOD`` for every method (first seeds); ``attrs["cells"]`` is the number of
    tested cells, of which large problems have placed only a part.
    """
    trials = scored.first_seeds(scored.finished(run, task))
    pair_trials = trials[(trials["track"] == track) & (trials["dataset"] == dataset) & (trials["role"] == "method")]
    records = {
        str(label): run.trials[str(key)] for label, key in zip(pair_trials["label"], pair_trials["trial"], strict=True)
    }
    if not records:
        return None
    first = min(records.values(), key=lambda r: (r.spec.seeds.split, r.spec.seeds.simulation)).spec.problem
    plane = Store(run.folder).problem_table(first, "map")
    answers_of = {
        label: answers
        for label, record in records.items()
        if record.spec.problem == first and (answers := confusion.answers(run.folder, record)) is not None
    }
    if plane is None or not answers_of:
        return None
    first_answers = next(iter(answers_of.values()))
    frame = plane[["cell", "x", "y"]].assign(truth=first_answers.loc[plane["cell"], "truth"].to_numpy())
    for label, answers in answers_of.items():
        frame[f"{ANSWER}{label}"] = answers.loc[plane["cell"], "answer"].to_numpy()
    frame.attrs["cells"] = len(first_answers)
    return frame


def of_pair(run: Run, task: str, track: str, dataset: str, columns: list[str]) -> dict[str, Any] | None:
    """:func:`table` thinned and as codes, or None where there is none.

    Parameters
    ----------
    columns
        Classes and other answers; codes are places in it.

    Returns
    -------
    ``cells`` (tested), ``x, y`` (0 ... :data:`GRID`), ``truth`` (codes) and ``answers`` (label -> codes).
    """
    frame = table(run, task, track, dataset)
    if frame is None:
        return None
    drawn = frame.sample(MOST_POINTS, random_state=0) if len(frame) > MOST_POINTS else frame
    codes = pd.Index(columns)
    labels = [name.removeprefix(ANSWER) for name in drawn if str(name).startswith(ANSWER)]
    return {
        "cells": frame.attrs["cells"],
        "x": _on_grid(drawn["x"]),
        "y": _on_grid(drawn["y"]),
        "truth": codes.get_indexer(drawn["truth"]).tolist(),
        "answers": {label: codes.get_indexer(drawn[f"{ANSWER}{label}"]).tolist() for label in labels},
    }


def _on_grid(values: pd.Series) -> list[int]:
    v = values.to_numpy(dtype=float)
    span = float(np.ptp(v)) or 1.0
    return np.rint((v - v.min()) / span * GRID).astype(int).tolist()
