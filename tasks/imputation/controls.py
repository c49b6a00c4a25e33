"""Controls of the imputation task: values of the masked entries, or rows made when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from bench.dataset import without_label
from bench.errors import NotApplicableError
from bench.normalise import log1p_cp10k
from bench.tasks._shared.lazy_rows import LazyRows, group_means, profiles
from bench.tasks.imputation.masks import groups

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.problem import Inputs, Prediction, Problem

    #: ``values(cells, genes, k)``: values of masking round ``k`` at the entries (cell, gene).
    Values = Callable[[NDArray[np.integer], NDArray[np.integer], int], NDArray[np.floating]]


def identity(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Return the visible values: zero at masked entries."""
    if problem.asked is not None:
        return _entries(problem, lambda cells, genes, k: np.zeros(len(cells)))
    visible = log1p_cp10k(problem.inputs.cells.X)
    return _rows(problem, lambda rows: visible[rows].toarray())


def gene_mean(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The mean of the gene over all cells that are shown, training cells among them."""
    return _by_gene(problem, only_detected=False)


def gene_mean_detected(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The mean of the gene over the shown cells in which it is detected."""
    return _by_gene(problem, only_detected=True)


def cell_type_mean(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The mean of the gene over the tested cells of the cell's hidden type, as they are shown."""
    if "cell_type" not in problem.solution:
        raise NotApplicableError("the dataset has no cell types")
    labels = problem.solution["cell_type"]
    code, types = _coded(labels.astype(object).where(~without_label(labels), "none"))
    tables = [group_means(log1p_cp10k(inputs.cells.X), code, types) for inputs in problem.rounds]
    if problem.asked is not None:
        return _entries(problem, lambda cells, genes, k: tables[k][code[cells], genes])
    return {"expression": profiles(tables[0], code)}


def truth(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The hidden truth."""
    expression = problem.truth["expression"]
    if problem.asked is not None:
        return {"expression": expression}
    return _rows(problem, lambda rows: expression[rows].toarray())


def shuffled(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Values of other genes of the cell: visible counts at masked entries, else the cell's values in another order."""
    visible = [log1p_cp10k(inputs.cells.X) for inputs in problem.rounds]
    if problem.asked is None:
        seeds = rng.integers(2**31, size=visible[0].shape[0])

        def mixed(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            block = visible[0][rows].toarray()
            return np.stack(
                [np.random.default_rng(seeds[i]).permutation(row) for i, row in zip(rows, block, strict=True)]
            )

        return _rows(problem, mixed)

    def drawn(cells: NDArray[np.integer], genes: NDArray[np.integer], k: int) -> NDArray[np.floating]:
        first, n = visible[k].indptr[cells], np.diff(visible[k].indptr)[cells]
        return visible[k].data[first + (rng.random(len(cells)) * n).astype(np.int64)]

    return _entries(problem, drawn)


def _entries(problem: Problem, values: Values) -> Prediction:
    """Values of the masked entries, each from the masking round that hides it."""
    mask = problem.asked
    assert mask is not None
    cell, group = np.repeat(np.arange(mask.shape[0]), np.diff(mask.indptr)), groups(mask)
    answer = np.empty(mask.nnz, np.float32)
    for k in range(len(problem.rounds)):
        in_round = np.flatnonzero(group == k)
        answer[in_round] = values(cell[in_round], mask.indices[in_round], k)
    return {"expression": sparse.csr_matrix((answer, mask.indices, mask.indptr), shape=mask.shape)}


def _rows(problem: Problem, make: Callable[[NDArray[np.intp]], NDArray[np.float32]]) -> Prediction:
    return {"expression": LazyRows(problem.inputs.cells.X.shape, make)}


def _by_gene(problem: Problem, *, only_detected: bool) -> Prediction:
    means = [_gene_means(inputs, only_detected) for inputs in problem.rounds]
    if problem.asked is not None:
        return _entries(problem, lambda cells, genes, k: means[k][genes])
    return _rows(problem, lambda rows: np.tile(means[0], (len(rows), 1)))


def _gene_means(inputs: Inputs, only_detected: bool) -> NDArray[np.float64]:
    blocks = [log1p_cp10k(cells.X) for cells in (inputs.cells, inputs.train) if cells is not None]
    total = sum(np.asarray(X.sum(axis=0), dtype=np.float64).ravel() for X in blocks)
    n = sum(X.getnnz(axis=0) if only_detected else X.shape[0] for X in blocks)
    return total / np.maximum(n, 1)


def _coded(labels: object) -> tuple[NDArray[np.intp], int]:
    import pandas as pd

    code, names = pd.factorize(labels, sort=True)
    return code, len(names)
