"""Controls of the doublet task: a coin, the truth, and two quantities any method must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.tasks.doublet.metrics import n_calls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Prediction, Problem


def random(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Uniform scores."""
    return _with_calls(problem, rng.random(len(problem.solution)), rng)


def truth(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The solution itself."""
    is_doublet = problem.solution["is_doublet"].to_numpy(dtype=bool)
    return {"score": is_doublet.astype(float), "call": is_doublet}


def library_size(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Total counts."""
    return _with_calls(problem, np.asarray(problem.inputs.cells.X.sum(axis=1), dtype=float).ravel(), rng)


def n_genes(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Number of genes detected."""
    return _with_calls(problem, np.asarray((problem.inputs.cells.X > 0).sum(axis=1), dtype=float).ravel(), rng)


def _with_calls(problem: Problem, score: NDArray[np.float64], rng: np.random.Generator) -> Prediction:
    """Call the expected fraction of each donor's cells from the top; ties are broken at random."""
    obs = problem.inputs.cells.obs
    call = np.zeros(len(score), dtype=bool)
    for _, rows in obs.groupby("donor", sort=True).indices.items():
        k = int(n_calls(obs["expected_doublet_rate"].iloc[rows[0]], len(rows)))
        from_top = rows[np.lexsort((rng.random(len(rows)), -score[rows]))]
        call[from_top[:k]] = True
    return {"score": score, "call": call}
