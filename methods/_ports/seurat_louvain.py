"""Clusters of highest modularity as Seurat's FindClusters finds them: repeated Louvain from several random starts.

Written from the method (Blondel et al. 2008, doi:10.1088/1742-5468/2008/10/P10008; Waltman & van Eck 2013,
doi:10.1140/epjb/e2013-40829-0) and the documented generator of ``java.util.Random``, whose order of the nodes Seurat
keeps. Checked against Seurat 4.3.0: the same labels from the same graph and seed. Compiled by numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MASK = (1 << 48) - 1
_MULTIPLIER, _INCREMENT = 0x5DEECE66D, 0xB


def best_of_starts(
    graph: csr_matrix, resolution: float, *, starts: int, iterations: int, seed: int
) -> tuple[NDArray[np.int64], float]:
    """The partition of highest modularity among the starts (the first of equals), and that modularity.

    A start puts each node by itself and runs Louvain, each time from the partition that the last run found, until
    nothing changes or ``iterations`` runs are done.

    Parameters
    ----------
    graph
        Symmetric, weights above 0; the diagonal does not count.
    seed
        Of the order in which nodes are looked at, in [0, 2**31).

    Returns
    -------
    One label per node and its quality, sum of (weights within clusters - resolution x what their degrees promise) over
    all weights.
    """
    edges = graph.tocsr().astype(np.float64)
    edges.setdiag(0)
    edges.eliminate_zeros()
    edges.sort_indices()
    total = edges.data.sum()
    best, quality = np.arange(edges.shape[0]), -np.inf
    if not total:
        return best, 0.0
    degree = np.asarray(edges.sum(axis=1)).ravel()
    state = np.array([(seed ^ _MULTIPLIER) & _MASK], np.int64)
    for _ in range(starts):
        labels = np.arange(edges.shape[0])
        for _ in range(iterations):
            if not _louvain(edges, degree, labels, resolution / total, state):
                break
        reached = modularity(edges, labels, resolution)
        if reached > quality:
            best, quality = labels, reached
    return best, quality


def modularity(graph: csr_matrix, labels: NDArray[np.int64], resolution: float) -> float:
    """Modularity of a partition (Newman & Girvan 2004, with resolution); a graph without a diagonal."""
    total = graph.data.sum()
    degree = np.bincount(labels, weights=np.asarray(graph.sum(axis=1)).ravel())
    rows = np.repeat(labels, np.diff(graph.indptr))
    within = graph.data[rows == labels[graph.indices]].sum()
    return float(within / total - resolution * (degree**2).sum() / total**2)


def _louvain(
    graph: csr_matrix,
    degree: NDArray[np.float64],
    labels: NDArray[np.int64],
    resolution: float,
    state: NDArray[np.int64],
) -> bool:
    """Move nodes, then clusters as nodes of a smaller graph, and so on; ``labels`` are changed in place.

    Returns
    -------
    Whether anything moved.
    """
    if len(labels) == 1:
        return False
    moved = bool(_move_nodes(graph.indptr, graph.indices, graph.data, degree, labels, resolution, state))
    names, compact = np.unique(labels, return_inverse=True)
    labels[:] = compact
    if len(names) < len(labels):
        member = csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(len(names), len(labels)))
        smaller = (member @ graph @ member.T).tocsr()
        smaller.setdiag(0)
        smaller.eliminate_zeros()
        smaller.sort_indices()
        above = np.arange(len(names))
        heavier = np.bincount(labels, weights=degree).astype(np.float64)
        if _louvain(smaller, heavier, above, resolution, state):
            labels[:] = above[labels]
            moved = True
    return moved


@njit(cache=True)
def _next_int(state, n):
    """A number below ``n``, as ``java.util.Random.nextInt(n)`` draws it."""
    while True:
        state[0] = (state[0] * _MULTIPLIER + _INCREMENT) & _MASK
        bits = state[0] >> 17
        if n & -n == n:
            return (n * bits) >> 31
        value = bits % n
        if bits - value + (n - 1) < 1 << 31:
            return value


@njit(cache=True)
def _shuffled(state, n):
    order = np.arange(n)
    for i in range(n):
        j = _next_int(state, n)
        order[i], order[j] = order[j], order[i]
    return order


@njit(cache=True)
def _move_nodes(indptr, indices, weights, degree, labels, resolution, state):
    """Give each node in turn to the neighbouring cluster of highest gain, or to one of its own, until none moves.

    Equal gains go to the cluster of the lowest number; a node that gains nowhere takes the number freed last.
    """
    n = len(labels)
    total, size = np.zeros(n), np.zeros(n, np.int64)
    for node in range(n):
        total[labels[node]] += degree[node]
        size[labels[node]] += 1
    free, n_free = np.empty(n, np.int64), 0
    for cluster in range(n):
        if size[cluster] == 0:
            free[n_free] = cluster
            n_free += 1
    order = _shuffled(state, n)
    shared, near = np.zeros(n), np.empty(n, np.int64)
    moved, stable, at = False, 0, 0
    while stable < n:
        node = order[at]
        n_near = 0
        for e in range(indptr[node], indptr[node + 1]):
            cluster = labels[indices[e]]
            if shared[cluster] == 0:
                near[n_near] = cluster
                n_near += 1
            shared[cluster] += weights[e]
        own = labels[node]
        total[own] -= degree[node]
        size[own] -= 1
        if size[own] == 0:
            free[n_free] = own
            n_free += 1
        best, gain = -1, 0.0
        for k in range(n_near):
            cluster = near[k]
            gain_here = shared[cluster] - degree[node] * total[cluster] * resolution
            if gain_here > gain or (gain_here == gain and cluster < best):
                best, gain = cluster, gain_here
            shared[cluster] = 0
        if gain == 0:
            n_free -= 1
            best = free[n_free]
        total[best] += degree[node]
        size[best] += 1
        if best == own:
            stable += 1
        else:
            labels[node] = best
            stable, moved = 1, True
        at = at + 1 if at < n - 1 else 0
    return moved
