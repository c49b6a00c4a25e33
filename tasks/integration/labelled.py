"""Half of a study's donors with their labels, for methods that learn from labels; the other half is answered for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.errors import NotApplicableError
from bench.problem import Cells, Inputs, Problem
from bench.seeds import derive_seed
from bench.tasks._shared.labels import LEVELS
from bench.tasks.integration.problem import MIN_CELLS


def half_labelled(problem: Problem, digest: str) -> Problem:
    """Move half of the donors to the training cells, with the coarsest label as ``label``; solution: the other half.

    Which donors, hangs on the dataset alone. Cells without a label leave the training half.

    Raises
    ------
    bench.errors.NotApplicableError
        If fewer than two kinds of cells are labelled there, or too few cells here.
    """
    cells, solution = problem.inputs.cells, problem.solution
    donor = cells.obs["donor"].astype(str)
    names = np.random.default_rng(derive_seed("integration", "labelled", digest)).permutation(sorted(donor.unique()))
    shown = donor.isin(names[: len(names) // 2]).to_numpy()
    level = next(name for name in LEVELS if name in solution)
    known = shown & solution["labelled"].to_numpy(bool) & solution[level].notna().to_numpy()
    label = solution.loc[known, level].astype(str)
    classes = sorted(label.unique())
    if len(classes) < 2:
        raise NotApplicableError(f"the donors that are shown with labels have {len(classes)} kinds of cells")
    if (n := int(solution.loc[~shown, "labelled"].sum())) < MIN_CELLS:
        raise NotApplicableError(f"{n} labelled cells of the other donors are too few to cluster, of {MIN_CELLS}")
    train = _some(cells, known)
    inputs = Inputs(
        _some(cells, ~shown),
        Cells(train.X, train.obs.assign(label=label.to_numpy()), train.var),
        {**problem.inputs.info, "classes": classes},
    )
    note = f"{int(known.sum()):,} cells of {len(names) // 2} donors are shown with labels and not scored"
    return replace(problem, inputs=inputs, solution=solution[~shown], notes=(*problem.notes, note))


def _some(cells: Cells, rows: np.ndarray) -> Cells:
    return Cells(cells.X[rows], cells.obs[rows], cells.var)
