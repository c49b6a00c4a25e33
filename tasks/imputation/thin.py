"""Binomial thinning of counts: every molecule is kept or lost by a coin of its own, whatever the other counts are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Share of molecules that thinning keeps: a cell of 4,000 becomes one of 1,000.
KEPT = 0.25

#: Molecules whose coins are in memory at once.
_BLOCK = 1 << 23
_LONGEST_RUN = 8
_NEW_SHARE = 0.02


def thin(X: sparse.csr_matrix, rows: NDArray[np.intp], seed: int) -> sparse.csr_matrix:
    """Counts of the cells at ``rows`` when each molecule is kept with probability :data:`KEPT`.

    The coin of a molecule depends only on ``seed``, its cell's position in ``X``, its gene and its number among that
    gene's molecules: what is left of a count tells nothing of what was lost, and :func:`more_lost` can prove it.
    """
    chosen = X[rows]
    cell = np.repeat(np.asarray(rows, dtype=np.uint64), np.diff(chosen.indptr))
    surviving = np.zeros(chosen.nnz, dtype=chosen.data.dtype)
    ends = np.cumsum(chosen.data, dtype=np.int64)
    start = 0
    while start < chosen.nnz:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK, side="right")))
        counts = chosen.data[start:stop].astype(np.int64)
        entry = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
        survives = _survives(seed, cell[start:stop][entry], chosen.indices[start:stop][entry], number)
        surviving[start:stop] = np.bincount(entry[survives], minlength=len(counts))
        start = stop
    thinned = sparse.csr_matrix((surviving, chosen.indices, chosen.indptr), shape=chosen.shape)
    thinned.eliminate_zeros()
    return thinned


def more_lost(X: sparse.csr_matrix, rows: NDArray[np.intp], seed: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """The same counts with further molecules at ``rows`` that thinning loses, among them of genes without any yet.

    :func:`thin` gives the same of it, byte for byte; the truth is another one.
    """
    chosen = X[rows].tocsr()
    n_new = max(1, int(_NEW_SHARE * X.shape[1]))
    gene = rng.integers(X.shape[1], size=(len(rows), n_new))
    at = (np.repeat(np.arange(len(rows)), n_new), gene.ravel())
    extra = sparse.csr_matrix((np.ones(gene.size, dtype=np.int64), at), shape=chosen.shape)
    slots = (chosen + extra).tocoo()
    stored = np.asarray(chosen[slots.row, slots.col]).ravel().astype(np.int64)
    cell = np.asarray(rows, dtype=np.uint64)[slots.row]
    run, alive = np.zeros(len(stored), dtype=np.int64), np.ones(len(stored), dtype=bool)
    for ahead in range(_LONGEST_RUN):
        alive &= ~_survives(seed, cell, slots.col, stored + ahead)
        run += alive
    grown = sparse.csr_matrix((stored + rng.integers(0, run + 1), (slots.row, slots.col)), shape=chosen.shape)
    grown.eliminate_zeros()
    return with_rows(X, rows, grown)


def with_rows(X: sparse.csr_matrix, rows: NDArray[np.intp], other: sparse.csr_matrix) -> sparse.csr_matrix:
    """``X`` with the cells at ``rows`` taken from ``other``."""
    source = np.arange(X.shape[0])
    source[rows] = X.shape[0] + np.arange(len(rows))
    mixed = sparse.vstack([X, other.astype(X.dtype)], format="csr")[source]
    mixed.sort_indices()
    return sparse.csr_matrix(mixed)


def _survives(
    seed: int, cell: NDArray[np.uint64], gene: NDArray[np.integer], number: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The molecules' coins: a hash of (seed, cell, gene, number) below :data:`KEPT` of its range."""
    key = _mix(np.uint64(seed) + _mix(cell))
    key = _mix(key + _mix(gene.astype(np.uint64)))
    return _mix(key + _mix(number.astype(np.uint64))) < np.uint64(int(KEPT * 2**64))


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit in has a say in every bit out."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
