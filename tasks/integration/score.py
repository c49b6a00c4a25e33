"""Scores of expression and embeddings alike: clusters against labels, mixing of batches, false positives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.normalise import log1p_cp10k
from bench.problem import Score, Scored
from bench.seeds import derive_seed
from bench.tasks._shared.labels import LEVELS
from bench.tasks._shared.zeros import ALL, FEWEST_CELLS, MARKERS, FalsePositives, markers_of_others
from bench.tasks.integration.clusters import (
    FIXED_RESOLUTION,
    agreement,
    agreement_by_resolution,
    best_resolution,
    components_of,
    graph_of,
    louvain,
    umap,
)
from bench.tasks.integration.mixing import mixing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Prediction, Problem

#: Cells that are clustered and drawn at most: all pairs of them are compared on all genes.
MOST_CELLS = 10_000
_ROWS = 1024


@dataclass(frozen=True)
class Representation:
    """The scored cells as an answer has them.

    Parameters
    ----------
    whole
        All that a cell has: every gene of expression, every dimension of an embedding (cells, columns).
    reduced
        The same in 50 principal components of expression; an embedding as it is.
    kind
        ``expression``, or ``embedding of N dimensions``.
    """

    whole: NDArray[np.float32]
    reduced: NDArray[np.float32]
    kind: str


def represented(problem: Problem, prediction: Prediction, rows: NDArray[np.intp]) -> Representation:
    """Read the scored cells from a prediction."""
    if "embedding" in prediction:
        embedding = np.asarray(prediction["embedding"], dtype=np.float32)[rows]
        return Representation(embedding, embedding, f"embedding of {embedding.shape[1]:,} dimensions")
    imputed = observed_kept(problem, prediction["expression"], rows)
    return Representation(imputed, components_of(imputed), "expression")


def score(problem: Problem, prediction: Prediction) -> Scored:
    """All metrics and tables of one answer (see :class:`bench.tasks.integration.IntegrationTask`)."""
    rows = scored_cells(problem)
    cells = represented(problem, prediction, rows)
    table = problem.solution.iloc[rows]
    levels = [level for level in LEVELS if level in table]
    by_resolution = agreement_by_resolution(graph_of(cells.whole), table[levels])
    fixed = louvain(graph_of(cells.reduced), FIXED_RESOLUTION)
    scores: list[Score] = []
    for level in levels:
        unit, n = "pooled" if level == levels[0] else f"level:{level}", int(table[level].notna().sum())
        best = best_resolution(by_resolution, level)
        why = "" if table[level].nunique() > 1 else "all cells have one label"
        how = why or f"{cells.kind}; resolution {best['resolution']:g}, chosen by the labels"
        scores += [Score(f"{name}_oracle", float(best[name]), unit, n=n, detail=how) for name in ("nmi", "ari")]
        scores += [
            Score(name, value, unit, n=n, detail=why or cells.kind)
            for name, value in agreement(table[level], fixed).items()
        ]
    column = "batch" if "batch" in problem.inputs.cells.obs else "donor"  # what methods were shown to correct
    scores += mixing(cells.reduced, table[levels[0]], table[column])
    tables = {"umap": _map_of(cells.reduced, table), "resolutions": by_resolution}
    if "expression" in prediction:
        false_positives = count_false_positives(problem, prediction["expression"])
        share = false_positives.share(MARKERS)
        why = f"no type of {FEWEST_CELLS} cells lacks a gene that another type has" if np.isnan(share) else ""
        tables["zeros"] = false_positives.table()
    else:
        share, why = np.nan, "an embedding has no expression"
    scores.append(Score("zeros_turned_on", share, n=len(problem.solution), detail=why))
    return Scored(scores, tables=tables)


def _map_of(cells: NDArray[np.float32], table: pd.DataFrame) -> pd.DataFrame:
    points = pd.DataFrame(umap(cells), columns=["x", "y"])
    points.insert(0, "cell", table.index.astype(str))
    return points


def scored_cells(problem: Problem) -> NDArray[np.intp]:
    """The labelled cells, or a random :data:`MOST_CELLS` of them, the same for every method."""
    labelled = np.flatnonzero(problem.solution["labelled"].to_numpy(bool))
    if len(labelled) <= MOST_CELLS:
        return labelled
    rng = np.random.default_rng(derive_seed("integration", "cells"))
    return np.sort(rng.choice(labelled, MOST_CELLS, replace=False))


def observed_kept(problem: Problem, expression: Any, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Imputed values where nothing was counted, ln(1 + counts per 10,000) elsewhere; (cells, genes)."""
    filled = np.empty((len(rows), expression.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        measured = log1p_cp10k(problem.inputs.cells.X[part])
        block = np.maximum(np.asarray(expression[part], dtype=np.float32), 0)
        row = np.repeat(np.arange(len(part)), np.diff(measured.indptr))
        block[row, measured.indices] = measured.data
        filled[start : start + _ROWS] = block
    return filled


def count_false_positives(problem: Problem, expression: Any) -> FalsePositives:
    """Zeros of all cells of the study, and of them those of other types' markers; types of the coarsest level."""
    X, solution = problem.inputs.cells.X, problem.solution
    labels = solution["cell_type"] if "cell_type" in solution else pd.Series(None, index=solution.index, dtype=object)
    of_others, false_positives = markers_of_others(X, labels), FalsePositives()
    for start in range(0, X.shape[0], _ROWS):
        rows = slice(start, min(start + _ROWS, X.shape[0]))
        is_zero, imputed = X[rows].toarray() == 0, np.asarray(expression[rows])
        false_positives.add(ALL, is_zero, imputed)
        false_positives.add_markers(of_others, labels.to_numpy(object)[rows], is_zero, imputed)
    return false_positives
