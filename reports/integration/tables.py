"""Maps of the imputed cells, and how well clusters in them agree with the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.embeddings import tables as embedding_tables
from bench.reports.run import scored, tables
from bench.reports.run.load import Run
from bench.reports.run.words import rounded
from bench.results.store import read_parquet

#: Points of all maps in the HTML, and of one; the figures show all cells.
POINTS_BUDGET = 90_000
_MOST_POINTS = 2_500
#: Steps of the grid that points are rounded to along each axis.
GRID = 999
#: What cells can be coloured by, in this order, and how it is called.
COLOURINGS = {**embedding_tables.COLOURINGS, "batch": "batch"}
_PAIR_LABEL = ["track", "dataset", "label", "role"]
_RESOLUTIONS = {"level": "string", **dict.fromkeys(("resolution", "nmi", "ari", "n_clusters"), "float64")}


def resolutions(run: Run, task: str) -> pd.DataFrame:
    """Agreement by resolution, mean over seeds: ``track, dataset, label, role, level, resolution, nmi, ari, ...``."""
    frame = scored.table(run, "resolutions", scored.finished(run, task), _RESOLUTIONS)
    return frame.groupby([*_PAIR_LABEL, "level", "resolution"], sort=True, as_index=False)[
        ["nmi", "ari", "n_clusters"]
    ].mean()


def best(frame: pd.DataFrame) -> pd.DataFrame:
    """The resolution with the highest NMI of each label and level, as the paper chooses it (it sees the labels)."""
    defined = frame[frame["nmi"].notna()].sort_values("nmi", ascending=False, kind="stable")
    return defined.drop_duplicates([*_PAIR_LABEL, "level"])


def maps(run: Run, task: str) -> pd.DataFrame:
    """Cells of the first seeds' maps with what is known of them.

    Returns
    -------
    Columns ``track, dataset, label, role, trial, cell, x, y``, and those of :data:`COLOURINGS` that any solution has
    (missing where this one has not).
    """
    trials = scored.first_seeds(scored.finished(run, task))
    points = scored.table(run, "umap", trials, {"cell": "string", "x": "float64", "y": "float64"})
    parts = [
        part.join(_labels_of_cells(run.folder / "problems" / run.trials[str(key)].spec.problem), on="cell")
        for key, part in points.groupby("trial", sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else points


def _labels_of_cells(folder: Path) -> pd.DataFrame:
    """Labels that the solution gives each cell; no columns where it is not kept or gives none."""
    file = folder / "solution.parquet"
    if not file.is_file():
        return pd.DataFrame(index=pd.Index([], name="cell", dtype="string"))
    solution = read_parquet(file)
    columns = [name for name in COLOURINGS if name in solution and solution[name].notna().any()]
    if {"batch", "donor"} <= set(columns):
        pairs = solution[["batch", "donor"]].drop_duplicates()
        if len(pairs) == solution["batch"].nunique() == solution["donor"].nunique():
            columns.remove("batch")  # each donor a batch: the same map twice
    labels = solution.set_index(solution["cell"].astype("string"))[columns]
    return labels.astype("string").fillna(embedding_tables.UNLABELLED)


def of_task(run: Run, task: str) -> dict[str, Any]:
    """Data that the page draws.

    Returns
    -------
    ``{"pairs", "levels"}``. A pair has ``track, dataset, cells`` (of its maps), ``pairs`` (points of each),
    ``colourings`` (name, words), ``colours`` (name -> word -> colour), ``labels`` (name -> ``words, codes``, by cell),
    ``maps`` (label -> ``x, y``, rounded to 0 ... :data:`GRID`, null where a map lacks the cell), ``best`` (label ->
    level -> ``nmi, ari, resolution``) and ``resolutions`` (label -> level -> columns).
    """
    points, by_resolution = maps(run, task), resolutions(run, task)
    n = max(1, len(points.drop_duplicates([*_PAIR_LABEL])))
    limit = min(_MOST_POINTS, POINTS_BUDGET // n)
    with_data = {(row.track, row.dataset) for part in (points, by_resolution) for row in part.itertuples()}
    pairs = []
    for track, dataset in tables.pairs(run, task):
        if (track, dataset) in with_data:
            parts = (part[(part["track"] == track) & (part["dataset"] == dataset)] for part in (points, by_resolution))
            pairs.append({"track": track, "dataset": dataset, **_maps(next(parts), limit), **_curves(next(parts))})
    return {"pairs": pairs, "levels": sorted(by_resolution["level"].unique(), key=_level_order)}


def _level_order(level: str) -> tuple[int, str]:
    names = list(COLOURINGS)
    return (names.index(level) if level in names else len(names), level)


def _maps(points: pd.DataFrame, limit: int) -> dict[str, Any]:
    """The same random cells in every map, so that what is known of them stands in the file once."""
    cells = points.drop_duplicates("cell").set_index("cell")
    chosen = cells.sample(min(limit, len(cells)), random_state=0)
    names = [name for name in COLOURINGS if name in points and points[name].notna().any()]
    labels = {}
    for name in names:
        codes, words = pd.factorize(chosen[name].fillna(embedding_tables.UNLABELLED), sort=True)
        labels[name] = {"words": [str(word) for word in words], "codes": codes.tolist()}
    return {
        "cells": len(cells),
        "shown": len(chosen),
        "colourings": [[name, COLOURINGS[name]] for name in names],
        "colours": {name: embedding_tables.colours(chosen[name].fillna(embedding_tables.UNLABELLED)) for name in names},
        "labels": labels,
        "maps": {str(label): _quantised(part, chosen.index) for label, part in points.groupby("label", sort=True)},
    }


def _quantised(part: pd.DataFrame, cells: pd.Index) -> dict[str, list[int | None]]:
    """Points as whole numbers in the square that holds them all, its shape kept."""
    xy = part[["x", "y"]].to_numpy(float)
    low, span = np.nanmin(xy, axis=0), max(float(np.nanmax(np.ptp(xy, axis=0))), 1e-12)
    centred = (xy - low - np.ptp(xy, axis=0) / 2) / span + 0.5
    grid = pd.DataFrame(np.rint(centred * GRID), index=part["cell"], columns=["x", "y"]).reindex(cells)
    return {axis: [None if np.isnan(v) else int(v) for v in grid[axis]] for axis in ("x", "y")}


def _curves(frame: pd.DataFrame) -> dict[str, Any]:
    curves: dict[str, dict[str, Any]] = {}
    tops: dict[str, dict[str, Any]] = {}
    for (label, level), part in frame.groupby(["label", "level"], sort=True):
        columns = ("resolution", "nmi", "ari", "n_clusters")
        curves.setdefault(label, {})[level] = {name: [rounded(v) for v in part[name]] for name in columns}
    for row in best(frame).itertuples():
        numbers = {name: rounded(getattr(row, name)) for name in ("nmi", "ari", "resolution")}
        tops.setdefault(row.label, {})[row.level] = numbers
    return {"resolutions": curves, "best": tops}
