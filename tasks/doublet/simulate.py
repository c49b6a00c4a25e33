"""Simulated doublets: pairs of real singlets of one donor, under four models of a droplet with two nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from bench.normalise import rounded
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mode = Literal["unrounded", "mean", "sum", "depth"]

#: Donors with fewer cells yield no doublet (one in ten cells, rounded down).
MIN_CELLS = 10

#: Share of doublets among all cells once they are added to the singlets, up to rounding down.
SIMULATED_RATE = 0.1 / 1.1


@dataclass(frozen=True)
class SimulatedDoublets:
    """Counts of the doublets (doublets x genes), their parents' row numbers (doublets x 2) and donors."""

    X: sparse.csr_matrix
    parents: NDArray[np.int64]
    donor: NDArray[np.object_]


def simulate_doublets(
    X: sparse.csr_matrix, donor: NDArray[np.object_], mode: Mode, *, digest: str, seed: int
) -> SimulatedDoublets:
    """Make ``n // 10`` doublets for each donor with ``n`` cells.

    Each comes from two distinct cells of the donor, drawn uniformly whatever their types; a cell can be a parent more
    than once. ``unrounded`` (the paper's) averages the two profiles, so that a doublet has the genes of both, many of
    them with half a count; ``mean`` rounds these averages (:func:`integerise`); ``sum`` adds the profiles; ``depth``
    thins the sum binomially to the depth of a randomly drawn singlet of the donor (a sum that is already shallower is
    kept). The modes share their parents, so that they differ in nothing else.

    Parameters
    ----------
    X
        Raw counts of singlets (cells x genes).
    donor
        Donor of each cell.
    mode
        What two profiles become.
    digest
        Digest of the dataset.
    seed
        Replicate on the simulation axis.
    """
    parents = [np.empty((0, 2), dtype=np.int64)]
    for name in np.unique(donor.astype(str)):
        rows = np.flatnonzero(donor == name)
        rng = np.random.default_rng(derive_seed("doublet/parents", digest, str(name), seed))
        parents.append(rows[_pairs(len(rows), len(rows) // MIN_CELLS, rng)])
    pairs = np.concatenate(parents)
    rng = np.random.default_rng(derive_seed("doublet/counts", digest, mode, seed))
    total = (X[pairs[:, 0]] + X[pairs[:, 1]]).tocsr()
    if mode == "depth":
        total = _thin(total, _depth_of_random_singlet(X, donor, donor[pairs[:, 0]], rng), rng)
    elif mode != "sum":
        total = total.astype(np.float64) / 2
    # Half counts are exact in single precision up to 2^23.
    counts = total.astype(np.float32) if mode == "unrounded" else integerise(total, rng, X.dtype)
    return SimulatedDoublets(counts, pairs, donor[pairs[:, 0]])


def integerise(X: sparse.csr_matrix, rng: np.random.Generator, dtype: np.dtype) -> sparse.csr_matrix:
    """Round counts at random (:func:`bench.normalise.rounded`), once, before any method sees the cells."""
    counts = sparse.csr_matrix((rounded(X.data, rng).astype(dtype), X.indices, X.indptr), shape=X.shape)
    counts.eliminate_zeros()
    return counts


def _pairs(n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``size`` pairs of two distinct numbers below ``n``."""
    if size == 0:
        return np.empty((0, 2), dtype=np.int64)
    first = rng.integers(n, size=size)
    second = rng.integers(n - 1, size=size)
    return np.column_stack([first, second + (second >= first)])


def _depth_of_random_singlet(
    X: sparse.csr_matrix, donor: NDArray[np.object_], chosen: NDArray[np.object_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Depth of a random cell of each wanted donor."""
    depth = np.asarray(X.sum(axis=1), dtype=float).ravel()
    drawn = np.empty(len(chosen))
    for name in np.unique(chosen.astype(str)):
        of_donor = chosen == name
        drawn[of_donor] = rng.choice(depth[donor == name], size=of_donor.sum())
    return drawn


def _thin(X: sparse.csr_matrix, depth: NDArray[np.float64], rng: np.random.Generator) -> sparse.csr_matrix:
    """Keep each molecule with the probability that brings a row to ``depth`` on average."""
    total = np.asarray(X.sum(axis=1), dtype=float).ravel()
    keep = np.divide(depth, total, out=np.ones_like(total), where=total > depth)
    counts = rng.binomial(X.data.astype(np.int64), np.repeat(keep, np.diff(X.indptr)))
    return sparse.csr_matrix((counts, X.indices, X.indptr), shape=X.shape)
