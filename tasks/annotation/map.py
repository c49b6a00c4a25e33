"""Tested cells in the plane, for the figures: their counts alone place them, no label and no method."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.normalise import CP10K
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from bench.problem import Problem

#: Cells laid out at most. More would hide each other, and the layout is made before the first trial starts.
MOST_CELLS = 5_000
#: Of a class that has as many, so that none of a hundred classes vanishes from the drawing.
_LEAST_OF_CLASS = 25

_N_GENES = 2_000
_N_COMPONENTS = 50
_N_NEIGHBORS = 15
_NOISE = 1e-4  # of the start, as in UMAP's own


def map_of_cells(problem: Problem) -> pd.DataFrame:
    """UMAP of log1p CP10K counts: variable genes, principal components, neighbours, as scanpy does by default.

    It starts from the first two components rather than UMAP's spectral layout, which differs from call to call where
    the graph of neighbours falls apart; for the global structure one is as good as the other (Kobak and Linderman
    2021, doi:10.1038/s41587-020-00809-z).

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
    import scanpy as sc
    from anndata import AnnData
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    adata = AnnData(X.astype(np.float32))
    # one thread: several add up in any order, and UMAP makes much of the last bit
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # umap warns of the seed that it was given, scanpy of small neighbourhoods
        sc.pp.normalize_total(adata, target_sum=CP10K)
        sc.pp.log1p(adata)
        mean_square = np.asarray(adata.X.multiply(adata.X).mean(axis=0)).ravel()
        if np.count_nonzero(mean_square) > _N_GENES:
            sc.pp.highly_variable_genes(adata, n_top_genes=_N_GENES)
            adata = adata[:, adata.var["highly_variable"]].copy()
        # small enough to be dense; this solver takes cells without counts, too
        pca = PCA(min(_N_COMPONENTS, n_cells, adata.n_vars), svd_solver="covariance_eigh")
        adata.obsm["X_pca"] = pca.fit_transform(adata.X.toarray())
        sc.pp.neighbors(adata, n_neighbors=min(_N_NEIGHBORS, n_cells - 1), use_rep="X_pca", random_state=seed)
        sc.tl.umap(adata, random_state=seed, init_pos=_start(adata.obsm["X_pca"], seed))
    return np.asarray(adata.obsm["X_umap"], dtype=np.float32)


def _start(components: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The first two components (n_cells, 2), each from -10 to 10; zero where there is none."""
    start = np.zeros((len(components), 2))
    start[:, : components.shape[1]] = components[:, :2]
    start *= 10 / np.maximum(np.abs(start).max(axis=0), np.finfo(np.float32).tiny)
    return (start + np.random.default_rng(seed).normal(0, _NOISE, start.shape)).astype(np.float32)
