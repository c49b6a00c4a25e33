"""Which non-zero counts are hidden in which round, and what they are on the scale of what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from bench.normalise import CP10K, totals

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Interleaved groups of non-zero counts, each hidden in one round (scMamba, Fig. 5; official imputation_inference).
N_GROUPS = 5


def groups(X: sparse.csr_matrix) -> NDArray[np.int64]:
    """Group of every stored entry: position ``i`` among the entries of its cell, in gene order, is in ``i mod 5``.

    Parameters
    ----------
    X
        Cells x genes, with sorted indices and no stored zeros.
    """
    first = np.repeat(X.indptr[:-1].astype(np.int64), np.diff(X.indptr))
    return (np.arange(X.nnz) - first) % N_GROUPS


def only(X: sparse.csr_matrix, chosen: NDArray[np.bool_]) -> sparse.csr_matrix:
    """The chosen entries (nnz,) of a matrix, and no others."""
    kept = np.append(0, np.cumsum(chosen))[X.indptr]
    return sparse.csr_matrix((X.data[chosen], X.indices[chosen], kept), shape=X.shape)


def pattern(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """True at every stored entry."""
    return sparse.csr_matrix((np.ones(X.nnz, dtype=bool), X.indices, X.indptr), shape=X.shape)


def visible_totals(X: sparse.csr_matrix) -> NDArray[np.float64]:
    """(cells, groups): counts of every cell that are left when a group is hidden."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    hidden = np.bincount(rows * N_GROUPS + groups(X), weights=X.data, minlength=X.shape[0] * N_GROUPS)
    return totals(X)[:, None] - hidden.reshape(X.shape[0], N_GROUPS)


def truth(X: sparse.csr_matrix, *, full_library: bool) -> sparse.csr_matrix:
    """ln(1 + counts per 10,000) of every count, as it is asked for in the round that hides it.

    Parameters
    ----------
    full_library
        Normalise by all counts of the cell, which is what normalising before masking amounts to; otherwise by those
        that are shown in the round, the only library size a method can know.
    """
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    size = totals(X)[rows] if full_library else visible_totals(X)[rows, groups(X)]
    values = np.log1p(X.data / size * CP10K).astype(np.float32)
    return sparse.csr_matrix((values, X.indices, X.indptr), shape=X.shape)
