"""Seurat's FindNeighbors and FindClusters: shared nearest neighbours, Louvain, singletons merged.

Written from the method (Stuart et al. 2019, doi:10.1016/j.cell.2019.05.031; Waltman & van Eck 2013,
doi:10.1140/epjb/e2013-40829-0) and checked against Seurat 4.3.0: from the same neighbours come the same clusters.
Neighbours are exact where Seurat's are approximate.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, vstack

#: Neighbours of a cell, itself among them (``k.param``).
NEIGHBOURS = 20
#: Edges of a smaller share of common neighbours are dropped (``prune.SNN``).
PRUNE = 1 / 15
#: Random starts of Louvain, of which the one of highest modularity counts (``n.start``).
STARTS = 10
#: Runs of Louvain from one start, each beginning where the last one ended (``n.iter``).
ITERATIONS = 10

_ROWS = 4096


def nearest(coords: np.ndarray, k: int = NEIGHBOURS) -> csr_matrix:
    """Cells x cells, 1 at the ``k`` nearest cells (Euclidean, exact), the cell itself among them."""
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(coords))
    model = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(coords)
    indices = np.sort(model.kneighbors(coords, return_distance=False), axis=1)
    starts = np.arange(len(coords) + 1) * k
    return csr_matrix((np.ones(indices.size, np.float32), indices.ravel(), starts), shape=(len(coords), len(coords)))


def shared_neighbours(near: csr_matrix) -> csr_matrix:
    """Jaccard index of the cells' neighbourhoods, pruned, with the diagonal of ones.

    Parameters
    ----------
    near
        As :func:`nearest` gives: every row has the same number of ones.
    """
    k = near.nnz // near.shape[0]
    parts = []
    for start in range(0, near.shape[0], _ROWS):
        part = (near[start : start + _ROWS] @ near.T).tocsr().astype(np.float64)
        part.data = part.data / (2 * k - part.data)
        part.data[part.data < PRUNE] = 0
        part.eliminate_zeros()
        parts.append(part)
    return vstack(parts, format="csr")


def louvain(snn: csr_matrix, resolution: float, seed: int) -> tuple[np.ndarray, float]:
    """Clusters of highest modularity among the starts, and that modularity (the diagonal of ``snn`` does not count).

    Returns
    -------
    One label per cell, 0 for the largest cluster, and the modularity at this resolution before singletons are merged.
    """
    from bench.methods._ports.seurat_louvain import best_of_starts

    labels, quality = best_of_starts(snn, resolution, starts=STARTS, iterations=ITERATIONS, seed=seed)
    return _by_size(merge_singletons(labels, snn)), quality


def merge_singletons(labels: np.ndarray, snn: csr_matrix) -> np.ndarray:
    """Give a cell that is a cluster by itself to the cluster it shares most with on average (GroupSingletons).

    A cell that shares with no cluster goes to the largest (Seurat: to a random one). Nothing changes where all are
    singletons.
    """
    labels = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(labels)
    if sizes.max() == 1:
        return labels
    merged = labels.copy()
    for cell in np.flatnonzero(sizes[labels] == 1):
        row = snn[cell]
        strength = np.bincount(labels[row.indices], weights=row.data, minlength=len(sizes)) / sizes
        strength[sizes == 1] = -1
        best = np.flatnonzero(strength == strength.max())
        merged[cell] = best[sizes[best].argmax()]
    return merged


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Labels 0, 1, ... by falling size; of equal sizes the first stays first."""
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[codes]
