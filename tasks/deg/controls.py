"""Controls of the DEG task: nothing done, too much smoothing, the arms mixed up, noise, and the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.normalise import log1p_cp10k
from bench.tasks._shared.lazy_rows import group_means, profiles
from bench.tasks.deg.problem import EFFECT

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bench.problem import Prediction, Problem


def raw(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Return what was measured."""
    return {"expression": log1p_cp10k(problem.inputs.cells.X)}


def over_smoother(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The mean of a cell's type in its sample: no cell differs from its neighbours, every donor differs."""
    group, n = _groups(problem, ["cell_type", "arm", "donor"])
    return {"expression": profiles(group_means(log1p_cp10k(problem.inputs.cells.X), group, n), group)}


def permuted_labels(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The expression of another cell of the same type, of whichever arm."""
    order = np.arange(len(problem.solution))
    for cells in problem.solution.groupby("cell_type").indices.values():
        order[cells] = cells[rng.permutation(len(cells))]
    return {"expression": log1p_cp10k(problem.inputs.cells.X)[order]}


def random(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The expression of another cell of the study, of whichever type."""
    return {"expression": log1p_cp10k(problem.inputs.cells.X)[rng.permutation(len(problem.solution))]}


def oracle(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Every cell of a type and arm is the same: the arms differ by what the disease does, by nothing else.

    Where the disease's effects are not known, by all that their means differ.
    """
    keys = ["cell_type", "arm"]
    group, n = _groups(problem, keys)
    level = log1p_cp10k(problem.inputs.cells.X)
    level.data = np.expm1(level.data)
    first = problem.solution.iloc[np.unique(group, return_index=True)[1]][keys].reset_index(drop=True)
    means = group_means(level, group, n).astype(np.float64)
    if EFFECT in problem.truth:
        effect = problem.truth[EFFECT]
        for (_, place), rows in zip(first.groupby("cell_type"), _cases(problem, first), strict=True):
            if rows is not None:
                _set_apart(means, place["arm"], effect[rows].toarray().ravel())
    return {"expression": profiles(np.log1p(means).astype(np.float32), group)}


def _cases(problem: Problem, first: pd.DataFrame) -> list[int | None]:
    """A case cell of each cell type, in alphabetical order; None of a type that is not compared."""
    solution = problem.solution
    cases = solution.reset_index(drop=True)
    cases = cases[(cases["arm"] == "case") & (cases["cell_type"] != "")]
    first_case = {name: int(rows[0]) for name, rows in cases.groupby("cell_type").groups.items()}
    return [first_case.get(name) for name in sorted(first["cell_type"].unique())]


def _set_apart(means: NDArray[np.float64], arm: pd.Series, effect: NDArray[np.float32]) -> None:
    """Give case and control of a type the control's profile, but for the changed genes.

    Those are expressed in one arm only, at the level that makes the tested fold change (1 is added to the means)
    exactly the effect.
    """
    rows = {name: place for place, name in arm.items()}
    if not {"case", "control"} <= set(rows):
        return
    changed, level = effect != 0, np.exp2(np.abs(effect)) - 1
    base = means[rows["control"]].copy()
    means[rows["case"]] = np.where(changed, np.where(effect > 0, level, 0), base)
    means[rows["control"]] = np.where(changed, np.where(effect < 0, level, 0), base)


def _groups(problem: Problem, keys: list[str]) -> tuple[NDArray[np.intp], int]:
    """Group of every cell by columns of the solution, and how many groups there are."""
    group = problem.solution.groupby(keys).ngroup().to_numpy()
    return group, int(group.max()) + 1
