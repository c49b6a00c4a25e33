"""SciBet: genes by an entropy test, classes as multinomial models of logged expression, on sparse counts.

Written from the formulas of Li et al., Nature Communications 2020, doi:10.1038/s41467-020-15523-2, and checked against
the outputs of the authors' R package scibet 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import softmax

from bench.blocks import row_blocks
from bench.methods._shared.annotation import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Expression scales: what the counts of a cell are scaled to sum up to (None: left as they are).
SCALES: dict[str, float | None] = {"counts": None, "cp10k": 1e4, "cpm": 1e6}


@dataclass(frozen=True)
class Reference:
    """Sums over the training cells of each class, all genes.

    Parameters
    ----------
    n_cells
        Training cells (classes,).
    linear
        Sum of expression on the chosen scale (classes, genes).
    logged
        Sum of ``log2(1 + expression)`` (classes, genes).
    """

    n_cells: np.ndarray
    linear: np.ndarray
    logged: np.ndarray


@dataclass(frozen=True)
class Model:
    """Log probability (natural) of each chosen gene in each class.

    Parameters
    ----------
    genes
        Columns of the chosen genes.
    log_p
        (genes, classes).
    scale
        Key of :data:`SCALES` that the counts were on.
    """

    genes: np.ndarray
    log_p: np.ndarray
    scale: str


def expression(X: csr_matrix, scale: str) -> Iterator[tuple[slice, csr_matrix]]:
    """Blocks of cells on an expression scale: their rows, and a matrix of float64 of their own."""
    total = SCALES[scale]
    for rows in row_blocks(X.shape, ROWS):
        block = X[rows].astype(np.float64)
        block.sum_duplicates()
        if total is not None:
            held = np.asarray(block.sum(axis=1)).ravel()
            held = np.repeat(held, np.diff(block.indptr))
            block.data = np.divide(block.data, held, out=np.zeros_like(held), where=held > 0) * total
        yield rows, block


def log2_plus_one(block: csr_matrix) -> csr_matrix:
    """``log2(1 + x)``, in place."""
    np.log1p(block.data, out=block.data)
    block.data /= np.log(2)
    return block


def summarise(X: csr_matrix, codes: np.ndarray, n_classes: int, *, scale: str) -> Reference:
    """Sums by class of training cells (cells, genes) whose classes are ``codes`` (cells,)."""
    linear, logged = np.zeros((2, n_classes, X.shape[1]))
    for rows, block in expression(X, scale):
        n = block.shape[0]
        member = csr_matrix((np.ones(n), (codes[rows], np.arange(n))), shape=(n_classes, n))
        linear += (member @ block).toarray()
        logged += (member @ log2_plus_one(block)).toarray()
    return Reference(np.bincount(codes, minlength=n_classes), linear, logged)


def entropy_test(reference: Reference) -> np.ndarray:
    """Score how each gene tells classes apart (genes,): sum over classes of ``log(1 + grand mean) - log(1 + mean)``.

    The grand mean is that of the classes, each counted once whatever its size.
    """
    mean = reference.linear / reference.n_cells[:, None]
    # log1p would be rounded otherwise than in R, and equal genes would change places
    return len(mean) * np.log(1 + mean.mean(axis=0)) - np.log(1 + mean).sum(axis=0)


def select_genes(reference: Reference, k: int, *, per_class: int = 0) -> np.ndarray:
    """Columns of the ``k`` genes of highest entropy-test score, best first; equal scores keep the order of the genes.

    Parameters
    ----------
    per_class
        Add so many genes of highest mean expression of each class (the package's ``a``); the union then comes in
        the order of the genes.
    """
    chosen = np.argsort(-entropy_test(reference), kind="stable")[:k]
    if not per_class:
        return chosen
    highest = np.argsort(-reference.linear / reference.n_cells[:, None], axis=1, kind="stable")[:, :per_class]
    return np.union1d(chosen, highest)


def learn(reference: Reference, genes: np.ndarray, *, scale: str) -> Model:
    """Multinomial of the chosen genes in each class, with one pseudo-count a gene."""
    expression = reference.logged[:, genes] + 1
    return Model(genes, (np.log(expression) - np.log(expression.sum(axis=1, keepdims=True))).T, scale)


def log_likelihoods(model: Model, X: csr_matrix) -> np.ndarray:
    """Log-likelihood of each cell in each class (cells, classes), up to a term of the cell's own."""
    out = np.empty((X.shape[0], model.log_p.shape[1]))
    for rows, block in expression(X, model.scale):
        out[rows] = log2_plus_one(block[:, model.genes]) @ model.log_p
    return out


def probabilities(model: Model, X: csr_matrix) -> np.ndarray:
    """Probability of each class (cells, classes) with equal priors; all equal for a cell without counts."""
    return softmax(log_likelihoods(model, X), axis=1)
