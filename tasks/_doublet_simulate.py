"""Simulated doublets: pairs of real singlets of one donor, under three models of a droplet with two nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from bench.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mode = Literal["mean", "sum", "depth"]

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
    than once. ``mean`` (the paper's) averages the two profiles, ``sum`` adds them, ``depth`` thins the sum binomially
    to the depth of a randomly drawn singlet of the donor (a sum that is already shallower is kept). The three modes
    share their parents, so that they differ in nothing else.

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
    if mode == "mean":
        total = total.astype(np.float64) / 2
    elif mode == "depth":
        total = _thin(total, _depth_of_random_singlet(X, donor, donor[pairs[:, 0]], rng), rng)
    return SimulatedDoublets(integerise(total, rng, X.dtype), pairs, donor[pairs[:, 0]])


def integerise(X: sparse.csr_matrix, rng: np.random.Generator, dtype: np.dtype) -> sparse.csr_matrix:
    """Round counts to integers at random, up with probability equal to the fractional part; integers stay as they are.

    The mean of two profiles has half-integers, which count-based tools (R's among them) refuse or truncate. Truncating
    would erase every gene that one parent has once, and rounding half up would detect every such gene at full
    strength; random rounding keeps each gene's expectation. It is applied once, before any method sees the cells.
    """
    whole = np.floor(X.data)
    up = rng.random(len(whole)) < X.data - whole
    rounded = sparse.csr_matrix(((whole + up).astype(dtype), X.indices, X.indptr), shape=X.shape)
    rounded.eliminate_zeros()
    return rounded


def _pairs(n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``size`` pairs of two distinct numbers below ``n``."""
    if size == 0:
        return np.empty((0, 2), dtype=np.int64)
    first = rng.integers(n, size=size)
    second = rng.integers(n - 1, size=size)
    return np.column_stack([first, second + (second >= first)])


def _depth_of_random_singlet(
    X: sparse.csr_matrix, donor: NDArray[np.object_], wanted: NDArray[np.object_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Depth of a random cell of each wanted donor."""
    depth = np.asarray(X.sum(axis=1), dtype=float).ravel()
    drawn = np.empty(len(wanted))
    for name in np.unique(wanted.astype(str)):
        here = wanted == name
        drawn[here] = rng.choice(depth[donor == name], size=here.sum())
    return drawn


def _thin(X: sparse.csr_matrix, depth: NDArray[np.float64], rng: np.random.Generator) -> sparse.csr_matrix:
    """Keep each molecule with the probability that brings a row to ``depth`` on average."""
    total = np.asarray(X.sum(axis=1), dtype=float).ravel()
    keep = np.divide(depth, total, out=np.ones_like(total), where=total > depth)
    counts = rng.binomial(X.data.astype(np.int64), np.repeat(keep, np.diff(X.indptr)))
    return sparse.csr_matrix((counts, X.indices, X.indptr), shape=X.shape)
