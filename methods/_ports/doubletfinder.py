"""DoubletFinder: artificial doublets, pANN, the pN-pK sweep and the homotypic adjustment.

Written after McGinnis et al. 2019 (doi:10.1016/j.cels.2019.03.003) and checked against DoubletFinder 2.0.6 on Seurat
4.3.0. What is done differently, all of it where the original has a fault:

- a call of 0 doublets calls none (original: one); ``k`` is at least 1 (original: meaningless at 0);
- a constant pANN has no bimodality and is left out of BCmvn (original: stops with an error);
- all pairs follow the seed (original: RunPCA resets the generator to 42, so that nearly all draws are the same).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack

from bench.errors import NotApplicableError
from bench.methods._ports.bcmvn import bcmvn, pann_bimodality
from bench.methods._ports.pann import count_artificial, count_artificial_each
from bench.methods._ports.seurat_preprocess import library_sizes, log_normalise, scaled_pca, variable_genes

#: pN and pK of paramSweep. R's ``seq`` is start + i * step, in floating point; it decides half cases of ``round``.
SWEEP_PN = tuple(0.05 + i * 0.05 for i in range(6))
SWEEP_PK = (0.0005, 0.001, 0.005, *(0.01 + i * 0.01 for i in range(30)))
#: Above this many cells the sweep runs on a random subset of this size.
SWEEP_CELLS = 10_000

_CLUSTER_CELLS = 10_000
_CLUSTER_NEIGHBOURS = 20


@dataclass(frozen=True)
class Counts:
    """The counts as DoubletFinder needs them.

    Parameters
    ----------
    selected
        Raw counts of the variable genes of the real cells, cells x selected genes.
    totals
        Total count of each cell over all genes.
    """

    selected: csr_matrix
    totals: np.ndarray

    @classmethod
    def select(cls, X: csr_matrix, n_features: int) -> Counts:
        """Keep the ``n_features`` most variable genes of raw counts ``X``."""
        return cls(X[:, variable_genes(X, n_features)], library_sizes(X))

    def take(self, rows: np.ndarray) -> Counts:
        """The cells at integer positions ``rows``."""
        return Counts(self.selected[rows], self.totals[rows])

    def __len__(self) -> int:
        return self.selected.shape[0]


def n_artificial(n_cells: int, pn: float) -> int:
    """Artificial doublets so that they make up the share ``pn`` of all points."""
    return round(n_cells / (1 - pn) - n_cells)


def draw_pairs(n_cells: int, pn: float, rng: np.random.Generator) -> np.ndarray:
    """Parents of the artificial doublets: doublets x 2 cell indices, drawn with replacement."""
    return rng.integers(n_cells, size=(2, n_artificial(n_cells, pn))).T


def n_neighbours(n_points: int, pk: float) -> int:
    """Neighbourhood size: ``pk`` of all points, half to even, at least 1 and fewer than the points."""
    return min(max(round(n_points * pk), 1), n_points - 1)


def embed(counts: Counts, pairs: np.ndarray, n_pcs: int) -> np.ndarray:
    """Principal components of the cells and their artificial doublets (each the mean of two raw profiles).

    Parameters
    ----------
    counts
        The real cells.
    pairs
        Doublets x 2 indices of cells.
    n_pcs
        Number of components.

    Returns
    -------
    Points x components: the cells, then the doublets.
    """
    a, b = pairs[:, 0], pairs[:, 1]
    doublets = counts.selected[a].astype(np.float64) + counts.selected[b]
    doublets.data /= 2
    merged = vstack([counts.selected, doublets], format="csr")
    del doublets  # a gigabyte at 450,000 cells
    totals = np.concatenate([counts.totals, (counts.totals[a] + counts.totals[b]) / 2])
    return scaled_pca(log_normalise(merged, totals), n_pcs)


def pann(
    coords: np.ndarray, n_cells: int, pk: float, progress: Callable[[float], None] = lambda fraction: None
) -> np.ndarray:
    """Share of artificial points among each cell's nearest neighbours.

    Parameters
    ----------
    coords
        Points x components, the ``n_cells`` real cells first.
    n_cells
        Number of real cells.
    pk
        Neighbourhood size as a share of all points.
    progress
        Told the share of cells done.

    Returns
    -------
    One value in [0, 1] per cell.
    """
    k = n_neighbours(len(coords), pk)
    return count_artificial(coords, n_cells, k, progress) / k


@dataclass(frozen=True)
class Sweep:
    """Outcome of the pN-pK sweep.

    Parameters
    ----------
    pn, pk
        The grid.
    coefficients
        Bimodality coefficients, pN x pK.
    bcmvn
        One value per pK.
    """

    pn: np.ndarray
    pk: np.ndarray
    coefficients: np.ndarray
    bcmvn: np.ndarray

    @property
    def best_pk(self) -> float:
        """The pK of the highest BCmvn (the smallest of equals)."""
        return float(self.pk[np.nanargmax(self.bcmvn)])


def sweep_grid(n_cells: int) -> np.ndarray:
    """The pK that leave at least one neighbour at the smallest pN."""
    fewest = n_artificial(n_cells, SWEEP_PN[0])
    return np.array([pk for pk in SWEEP_PK if round(pk * fewest) >= 1])


def sweep_pann(counts: Counts, pairs: np.ndarray, pks: np.ndarray, n_pcs: int, threads: int = 1) -> np.ndarray:
    """Score the cells (pANN) for every pK of ``pks`` at one pN: cells x pK."""
    coords = embed(counts, pairs, n_pcs)
    ks = np.array([n_neighbours(len(coords), pk) for pk in pks])
    return count_artificial_each(coords, len(counts), ks, threads) / ks


def sweep(
    counts: Counts,
    rng: np.random.Generator,
    n_pcs: int,
    threads: int = 1,
    pairs: Mapping[float, np.ndarray] | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Sweep:
    """Bimodality of pANN over the grid of pN and pK, and the BCmvn of each pK.

    Parameters
    ----------
    counts
        The real cells; a random 10,000 of them are used where there are more.
    rng
        Draws the subset and the parents.
    n_pcs
        Number of components.
    threads
        Threads to use.
    pairs
        Parents to use instead of drawing them, by pN.
    progress
        Told the share of the pN done.

    Raises
    ------
    NotApplicableError
        If there are too few cells for any pK, or no pK has a BCmvn.
    """
    pks = sweep_grid(len(counts))
    if not len(pks):
        raise NotApplicableError(
            f"{len(counts)} cells are too few for the pN-pK sweep",
            where="doubletfinder",
            fix="set the parameter pk, or leave this donor out",
        )
    if len(counts) > SWEEP_CELLS:
        counts = counts.take(np.sort(rng.choice(len(counts), SWEEP_CELLS, replace=False)))
    coefficients = np.empty((len(SWEEP_PN), len(pks)))
    for row, pn in enumerate(SWEEP_PN):
        parents = pairs[pn] if pairs else draw_pairs(len(counts), pn, rng)
        values = sweep_pann(counts, parents, pks, n_pcs, threads)
        coefficients[row] = [pann_bimodality(column) for column in values.T]
        progress((row + 1) / len(SWEEP_PN))
    metric = bcmvn(coefficients)
    if not np.isfinite(metric).any():
        raise NotApplicableError(
            f"pANN of {len(counts)} cells does not vary enough to choose pK",
            where="doubletfinder",
            fix="set the parameter pk, or leave this donor out",
        )
    return Sweep(np.array(SWEEP_PN), pks, coefficients, metric)


def homotypic_proportion(labels: np.ndarray) -> float:
    """Share of random pairs whose cells have the same label."""
    _, sizes = np.unique(labels, return_counts=True)
    return float(((sizes / sizes.sum()) ** 2).sum())


def cluster(coords: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Louvain clusters (resolution 0.8) of the shared-neighbour graph of at most 10,000 random cells.

    Only the clusters' frequencies are wanted, which a sample gives.

    Parameters
    ----------
    coords
        Cells x components.
    rng
        Draws the sample and seeds Louvain.

    Returns
    -------
    One integer label per sampled cell.
    """
    import random

    import igraph
    from sklearn.neighbors import kneighbors_graph

    if len(coords) > _CLUSTER_CELLS:
        coords = coords[rng.choice(len(coords), _CLUSTER_CELLS, replace=False)]
    k = min(_CLUSTER_NEIGHBOURS, len(coords))
    near = kneighbors_graph(coords, k, include_self=True)
    shared = (near @ near.T).tocoo()
    upper = shared.row < shared.col
    jaccard = shared.data[upper] / (2 * k - shared.data[upper])
    edges = np.column_stack([shared.row[upper], shared.col[upper]])[jaccard >= 1 / 15]
    igraph.set_random_number_generator(random.Random(int(rng.integers(2**31))))
    graph = igraph.Graph(n=len(coords), edges=edges, edge_attrs={"weight": jaccard[jaccard >= 1 / 15]})
    clustering = graph.community_multilevel(weights="weight", resolution=0.8)
    igraph.set_random_number_generator(random)
    return np.asarray(clustering.membership)


def n_expected(rate: float, n_cells: int, homotypic: float = 0.0) -> int:
    """Doublets to call: ``rate`` of the cells, less the share nobody can see; half to even at both steps."""
    return round(round(rate * n_cells) * (1 - homotypic))


def call_top(score: np.ndarray, n: int) -> np.ndarray:
    """True for the ``n`` highest scores; of equal scores the earlier cells."""
    called = np.zeros(len(score), bool)
    called[np.argsort(-score, kind="stable")[:n]] = True
    return called
