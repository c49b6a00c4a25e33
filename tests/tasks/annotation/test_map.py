from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.neighbors import KNeighborsClassifier

from bench.problem import Cells, Inputs, Problem
from bench.tasks.annotation import map
from bench.tasks.annotation.map import map_of_cells


def _problem(label: list[str], n_genes: int = 120, depth: float = 1.0) -> Problem:
    """Each class has ten genes of its own."""
    rng = np.random.default_rng(0)
    codes, names = pd.factorize(np.array(label))
    rates = np.full((len(names), n_genes), 0.2)
    for k in range(len(names)):
        rates[k, 10 * k : 10 * k + 10] = 3.0
    index = pd.Index([f"c{i}" for i in range(len(label))])
    X = sparse.csr_matrix(rng.poisson(depth * rates[codes]).astype(np.int32))
    cells = Cells(X, pd.DataFrame(index=index), pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))
    return Problem(Inputs(cells), pd.DataFrame({"label": label}, index=index))


def test_cells_of_a_class_lie_together_the_same_in_every_call_and_inputs_stay() -> None:
    problem = _problem(["a", "b", "c"] * 60)
    before = problem.inputs.cells.X.copy()
    found = map_of_cells(problem)
    assert found["cell"].tolist() == problem.solution.index.tolist()
    near = KNeighborsClassifier(6).fit(found[["x", "y"]], problem.solution["label"])
    assert near.score(found[["x", "y"]], problem.solution["label"]) > 0.95
    pd.testing.assert_frame_equal(found, map_of_cells(problem))
    assert (before != problem.inputs.cells.X).nnz == 0


def test_of_many_cells_some_are_drawn_and_no_class_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map, "MOST_CELLS", 100)
    monkeypatch.setattr(map, "_LEAST_OF_CLASS", 5)
    label = ["common"] * 700 + ["rare"] * 8 + ["single"]
    found = map_of_cells(_problem(label))
    shown = pd.Series(label, index=[f"c{i}" for i in range(len(label))])[found["cell"]]
    assert len(found) == 100
    assert found["cell"].is_unique
    counts = shown.value_counts()
    assert counts["single"] == 1
    assert 5 <= counts["rare"] <= 8
    assert [int(c[1:]) for c in found["cell"]] == sorted(int(c[1:]) for c in found["cell"])


@pytest.mark.parametrize(("n", "n_genes", "depth"), [(1, 40, 1), (2, 40, 1), (3, 40, 1), (5, 1, 1), (20, 40, 0)])
def test_a_few_cells_or_genes_or_no_counts_still_have_a_place(n: int, n_genes: int, depth: float) -> None:
    problem = _problem(["a"] * n, 40, depth)
    cells = problem.inputs.cells
    few = Cells(cells.X[:, :n_genes], cells.obs, cells.var.iloc[:n_genes])
    found = map_of_cells(Problem(Inputs(few), problem.solution))
    assert np.isfinite(found[["x", "y"]].to_numpy()).all()
    assert len(found) == n
