"""The masking rounds: which non-zero counts each hides, and their values on the scale of what is left visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from bench.normalise import CP10K, totals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Interleaved groups of non-zero counts, one for each masking round (scMamba, Fig. 5; official imputation_inference).
N_GROUPS = 5
#: Entries that are handled at a time: their positions take eight bytes each, and a study has hundreds of millions.
_BLOCK = 1 << 22


def blocks(X: sparse.csr_matrix) -> Iterator[tuple[slice, slice, NDArray[np.intp]]]:
    """Consecutive cells with few enough stored entries to hold several arrays of them: cells, entries, cell of each."""
    start = 0
    while start < X.shape[0]:
        stop = int(np.searchsorted(X.indptr, int(X.indptr[start]) + _BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), X.shape[0])
        entries = slice(int(X.indptr[start]), int(X.indptr[stop]))
        yield slice(start, stop), entries, np.repeat(np.arange(start, stop), np.diff(X.indptr[start : stop + 1]))
        start = stop


def groups(X: sparse.csr_matrix) -> NDArray[np.int8]:
    """Group of every stored entry: position ``i`` among the entries of its cell, in gene order, is in ``i mod 5``.

    Parameters
    ----------
    X
        Cells x genes, with sorted indices and no stored zeros.
    """
    group = np.empty(X.nnz, np.int8)
    for _, part, cell in blocks(X):
        group[part] = (np.arange(part.start, part.stop) - X.indptr[cell]) % N_GROUPS
    return group


def only(X: sparse.csr_matrix, chosen: NDArray[np.bool_]) -> sparse.csr_matrix:
    """The chosen entries (nnz,) of a matrix, and no others."""
    n_chosen = np.zeros(X.shape[0] + 1, np.int64)
    for rows, part, cell in blocks(X):
        cell_of_chosen = cell[chosen[part]] - rows.start
        n_chosen[rows.start + 1 : rows.stop + 1] = np.bincount(cell_of_chosen, minlength=rows.stop - rows.start)
    return sparse.csr_matrix((X.data[chosen], X.indices[chosen], np.cumsum(n_chosen)), shape=X.shape)


def pattern(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """True at every stored entry."""
    return sparse.csr_matrix((np.ones(X.nnz, dtype=bool), X.indices, X.indptr), shape=X.shape)


def visible_totals(X: sparse.csr_matrix) -> NDArray[np.float64]:
    """(cells, groups): counts of every cell that are left when a group is hidden."""
    hidden, group = np.zeros(X.shape[0] * N_GROUPS), groups(X)
    for _, part, cell in blocks(X):
        hidden += np.bincount(cell * N_GROUPS + group[part], weights=X.data[part], minlength=len(hidden))
    return totals(X)[:, None] - hidden.reshape(X.shape[0], N_GROUPS)


def truth(X: sparse.csr_matrix, *, full_library: bool) -> sparse.csr_matrix:
    """ln(1 + counts per 10,000) of every count, as the masking round that hides it asks for it.

    Parameters
    ----------
    full_library
        Normalise by all counts of the cell, which is what normalising before masking amounts to; otherwise by those
        that the round leaves visible, the only library size a method can know.
    """
    size = np.tile(totals(X)[:, None], N_GROUPS) if full_library else visible_totals(X)
    values, group = np.empty(X.nnz, np.float32), groups(X)
    for _, part, cell in blocks(X):
        values[part] = np.log1p(X.data[part] / size[cell, group[part]] * CP10K)
    return sparse.csr_matrix((values, X.indices, X.indptr), shape=X.shape)
