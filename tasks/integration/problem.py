"""The problem of the integration task: a whole study, its labels hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.dataset import Dataset
from bench.errors import NotApplicableError
from bench.normalise import log1p_cp10k
from bench.problem import Note, Notes, Problem
from bench.tasks._shared.donors import donors_of
from bench.tasks._shared.labels import LEVELS, resolve
from bench.tasks._shared.lazy_rows import LazyRows, group_means
from bench.tasks._shared.study import study_inputs
from bench.tasks.integration.score import MOST_CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Prediction

#: Fewer labelled cells are not clustered.
MIN_CELLS = 50


def make_problem(dataset: Dataset) -> Problem:
    """The problem (see :class:`bench.tasks.integration.IntegrationTask`)."""
    weak = dataset.card.weak_labels
    notes: Notes = [Note(weak, "warning")] if weak else []
    inputs, keep = study_inputs(dataset, notes)
    obs = dataset.adata.obs
    finest = [level for level in LEVELS if level in obs][-1]
    labels = resolve(dataset, finest, np.ones(len(obs), dtype=bool))
    notes += [f"not scored, though shown to methods: {note}" for note in labels.notes if "`exclude`" not in str(note)]
    table = labels.table.astype(object)
    table.loc[~labels.keep] = None
    table["labelled"] = labels.keep
    table["donor"] = donors_of(dataset)
    for column in ("batch", "condition"):
        if column in obs:
            table[column] = obs[column].astype(str).astype(object)
    solution = table[keep]
    n = int(solution["labelled"].sum())
    if n < MIN_CELLS:
        raise NotApplicableError(
            f"{n} labelled cells are too few to cluster",
            where=dataset.card.name,
            fix=f"at least {MIN_CELLS} are needed",
        )
    if n > MOST_CELLS:
        notes.append(f"scored on {MOST_CELLS:,} of {n:,} labelled cells, drawn at random, the same for every method")
    empty = int((np.asarray(inputs.cells.X.sum(axis=1)).ravel() == 0).sum())
    if empty:
        notes.append(f"{empty} cells have no counts at all")
    return Problem(inputs, solution, tuple(notes))


def scramble(dataset: Dataset, rng: np.random.Generator, hidden: pd.Index) -> Dataset:
    """The dataset with its labels dealt anew among the cells whose labels are hidden."""
    from dataclasses import replace

    from anndata import AnnData

    obs = dataset.adata.obs.copy()
    places = np.flatnonzero(obs.index.isin(hidden))
    order = np.arange(len(obs))
    order[places] = rng.permutation(places)
    for level in (name for name in LEVELS if name in obs):
        obs[level] = obs[level].astype(object).to_numpy()[order]
    adata = AnnData(dataset.adata.X, obs, dataset.adata.var)
    return replace(dataset, adata=adata)


def raw(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Return what was measured, zeros left."""
    n_cells, n_genes = problem.inputs.cells.X.shape
    return {"expression": _filled(problem, np.zeros((1, n_genes), np.float32), np.zeros(n_cells, np.intp))}


def gene_mean(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The gene's mean in place of every zero."""
    mean = np.asarray(log1p_cp10k(problem.inputs.cells.X).mean(axis=0), dtype=np.float32)
    return {"expression": _filled(problem, mean, np.zeros(len(problem.solution), np.intp))}


def cell_type_mean(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The gene's mean in the cell's hidden type in place of every zero: of the coarsest level, as the headline is."""
    return {"expression": _by_group(problem, _types(problem))}


def random(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Means of random groups of cells, as many as there are types, in place of every zero."""
    return {"expression": _by_group(problem, rng.permutation(_types(problem)))}


def _types(problem: Problem) -> NDArray[np.intp]:
    """Code of every cell's label at the coarsest level; cells without one share a code."""
    level = next(name for name in LEVELS if name in problem.solution)
    return pd.factorize(problem.solution[level].fillna(""))[0]


def _by_group(problem: Problem, group: NDArray[np.intp]) -> LazyRows:
    return _filled(problem, group_means(log1p_cp10k(problem.inputs.cells.X), group, int(group.max()) + 1), group)


def _filled(problem: Problem, means: NDArray[np.float32], group: NDArray[np.intp]) -> LazyRows:
    """ln(1 + counts per 10,000), with a cell's zeros taken from its group's row of ``means``; made block by block."""

    def make(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        measured = log1p_cp10k(problem.inputs.cells.X[rows]).toarray()
        return np.where(measured > 0, measured, means[group[rows]])

    return LazyRows(problem.inputs.cells.X.shape, make)
