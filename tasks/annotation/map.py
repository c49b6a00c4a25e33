"""Tested cells in the plane, for the figures: their counts alone place them, no label and no method."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.normalise import log1p_cp10k
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from bench.problem import Problem

#: Cells laid out at most. More would hide each other.
MOST_CELLS = 5_000
#: Of a class that has as many, so that none of a hundred classes vanishes from the drawing.
_LEAST_OF_CLASS = 25

_N_GENES = 2_000
_N_COMPONENTS = 50
_N_NEIGHBORS = 15
_MIN_DIST = 0.1
_EPOCHS = 200
_NOISE = 1e-4  # of the start, as in UMAP's own


def map_of_cells(problem: Problem) -> pd.DataFrame:
    """UMAP of log1p CP10K counts: variable genes, principal components, neighbours.

    igraph's UMAP rather than umap-learn's, which compiles itself anew in every process, for longer than all else here
    takes. It starts from the first two components; for the global structure one start is as good as another (Kobak and
    Linderman 2021, doi:10.1038/s41587-020-00809-z).

    Returns
    -------
    Columns ``cell, x, y``, of at most :data:`MOST_CELLS` cells in the problem's order: drawn at random where there are
    more, but :data:`_LEAST_OF_CLASS` of every class that has them.
    """
    names = problem.solution.index
    seed = derive_seed("annotation/map", *names.astype(str)) % 2**32
    rows = _drawn(problem.solution["label"].to_numpy(), np.random.default_rng(seed))
    plane = _in_the_plane(problem.inputs.cells.X[rows], seed)
    return pd.DataFrame({"cell": names[rows].astype(str), "x": plane[:, 0], "y": plane[:, 1]})


def _drawn(label: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of the cells that are shown, sorted."""
    if len(label) <= MOST_CELLS:
        return np.arange(len(label))
    order = rng.permutation(len(label))
    place = pd.Series(label[order]).groupby(label[order]).cumcount().to_numpy()
    first = np.argsort(place >= _LEAST_OF_CLASS, kind="stable")
    return np.sort(order[first[:MOST_CELLS]])


def _in_the_plane(X: csr_matrix, seed: int) -> NDArray[np.float32]:
    """(n_cells, 2)."""
    n_cells = X.shape[0]
    if n_cells < 3:  # two points have no neighbourhood that a layout could show
        return np.column_stack([np.arange(n_cells), np.zeros(n_cells)]).astype(np.float32)
    import igraph
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    # one thread: several add up in any order, and UMAP makes much of the last bit
    with threadpool_limits(1):
        components = _components(X)
        n_neighbors = min(_N_NEIGHBORS, n_cells - 1)
        distance, neighbor = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(components).kneighbors()
    edges = np.column_stack([np.repeat(np.arange(n_cells), n_neighbors), neighbor.ravel()])
    graph = igraph.Graph(n_cells, edges.tolist(), directed=True)
    igraph.set_random_number_generator(random.Random(seed))
    try:
        layout = graph.layout_umap(
            dist=distance.ravel().tolist(), seed=_start(components, seed).tolist(), min_dist=_MIN_DIST, epochs=_EPOCHS
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(layout.coords, dtype=np.float32)


def _components(X: csr_matrix) -> NDArray[np.float64]:
    """Leading principal components of the most variable genes (n_cells, at most :data:`_N_COMPONENTS`)."""
    from sklearn.decomposition import PCA

    expression = log1p_cp10k(X)
    variance = np.asarray(expression.multiply(expression).mean(axis=0) - np.square(expression.mean(axis=0))).ravel()
    genes = np.sort(np.argsort(-variance, kind="stable")[:_N_GENES])
    # small enough to be dense; this solver takes cells without counts, too
    pca = PCA(min(_N_COMPONENTS, X.shape[0], len(genes)), svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):  # the share of a variance that is 0
        return np.asarray(pca.fit_transform(expression[:, genes].toarray().astype(np.float64)))


def _start(components: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The first two components (n_cells, 2), each from -10 to 10; zero where there is none."""
    start = np.zeros((len(components), 2))
    start[:, : components.shape[1]] = components[:, :2]
    start *= 10 / np.maximum(np.abs(start).max(axis=0), np.finfo(np.float32).tiny)
    return start + np.random.default_rng(seed).normal(0, _NOISE, start.shape)
