"""Cluster-level doublet labels by the paper's pipeline: clusters whose mean Scrublet score exceeds 0.1."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData

from bench.errors import NotApplicableError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

#: A cluster with a larger mean Scrublet score is labelled doublet.
THRESHOLD = 0.1

#: Fewer cells make neither a Scrublet embedding of a donor nor clusters.
MIN_CELLS = 50

_N_GENES, _TARGET, _N_PCS, _N_NEIGHBORS, _RESOLUTION = 2000, 50_000, 20, 40, 1.8


@dataclass(frozen=True)
class ClusterLabels:
    """Labels (n_cells,), the clusters and mean scores they come from, and what a reader must know."""

    is_doublet: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    mean_score: dict[int, float]
    notes: list[str]


def label_clusters(X: csr_matrix, donor: NDArray[np.object_], seed: int) -> ClusterLabels:
    """Label clusters as the paper did, except that donors are not integrated by Harmony.

    Scrublet score of every cell (by donor); 2,000 Pearson-residual genes; counts scaled to 50,000, log2(x + 1), scaled,
    PCA; 40 neighbours in 20 components; Leiden at resolution 1.8. Harmony is left out rather than used where it
    happens to be installed: the truth must not depend on the machine. Clusters, hence labels, vary with the seed.

    Parameters
    ----------
    X
        Raw counts (cells x genes).
    donor
        Donor of each cell.
    seed
        Seed of Scrublet, the neighbour search and Leiden.

    Raises
    ------
    bench.errors.NotApplicableError
        If there are fewer than 50 cells (in all, or of every donor), or no cluster's mean score exceeds the
        threshold, or every cluster's does (as in a sample of one cell type).
    """
    usable = np.asarray((X > 0).sum(axis=1)).ravel() >= 3
    if usable.sum() < MIN_CELLS:
        raise NotApplicableError(f"{usable.sum()} cells are too few to cluster (at least {MIN_CELLS})")
    score = np.full(X.shape[0], np.nan)
    score[usable] = scrublet_scores(X[usable], donor[usable], seed)
    if np.isnan(score).all():
        raise NotApplicableError(f"no donor has {MIN_CELLS} cells and enough variable genes for a Scrublet score")
    cluster = np.full(X.shape[0], -1)
    cluster[usable] = leiden_clusters(X[usable], seed)
    means = pd.Series(score[usable]).groupby(cluster[usable]).mean()
    high = means.index[means > THRESHOLD]
    if not len(high):
        top = means.max()
        raise NotApplicableError(f"no cluster's mean Scrublet score exceeds {THRESHOLD} (highest: {top:.3f})")
    if len(high) == len(means):
        raise NotApplicableError(f"every cluster's mean Scrublet score exceeds {THRESHOLD} (lowest: {means.min():.3f})")
    is_doublet = np.isin(cluster, high)
    notes = [
        f"labels made by the harness: mean Scrublet score above {THRESHOLD} in {len(high)} of {len(means)} clusters "
        f"({is_doublet.sum()} of {len(is_doublet)} cells); donors were not integrated (no Harmony)"
    ]
    if not usable.all():
        notes.append(f"{(~usable).sum()} cells with fewer than 3 genes were not clustered and count as singlets")
    unscored = int(np.isnan(score[usable]).sum())
    if unscored:
        notes.append(
            f"{unscored} cells have no Scrublet score (small donor or few genes); cluster means leave them out"
        )
    return ClusterLabels(is_doublet, cluster, {int(k): float(v) for k, v in means.items()}, notes)


def scrublet_scores(X: csr_matrix, donor: NDArray[np.object_], seed: int) -> NDArray[np.float64]:
    """Scrublet's score of every cell, donor by donor.

    scanpy's Scrublet with its defaults: two artificial doublets a cell, expected rate 0.05. Scores grow with that rate;
    at 0.1, the default of the scrublet package, a cell without any evidence would stand at the threshold itself, and
    large parts of real data sets would be labelled. Fewer than 30 components where a donor has fewer cells or variable
    genes. NaN for donors under 50 cells and for cells Scrublet filters out.
    """
    scores = np.full(X.shape[0], np.nan)
    for name in np.unique(donor.astype(str)):
        rows = np.flatnonzero(donor == name)
        if len(rows) < MIN_CELLS:
            continue
        names = rows.astype(str)
        library = AnnData(X[rows].astype(np.float32), obs=pd.DataFrame(index=names))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            components = min(30, min(_scrublet_shape(library)) - 1)
            if components < 2:
                continue
            # Only the scores are used; a fixed threshold skips the search for one, which can fail.
            # Exact neighbours: scanpy 1.11 cannot read the csr_array that new releases of pynndescent return.
            sc.pp.scrublet(
                library,
                n_prin_comps=components,
                threshold=0.5,
                use_approx_neighbors=False,
                random_state=seed,
                verbose=False,
            )
        scores[rows] = library.obs["doublet_score"].reindex(names).to_numpy(dtype=float)
    return scores


def _scrublet_shape(library: AnnData) -> tuple[int, int]:
    """Cells and variable genes that scanpy's Scrublet will keep, by the filters it applies itself."""
    filtered = library.copy()
    sc.pp.filter_genes(filtered, min_cells=3)
    sc.pp.filter_cells(filtered, min_genes=3)
    if min(filtered.shape) < 3:
        return 0, 0
    sc.pp.normalize_total(filtered)
    sc.pp.log1p(filtered)
    sc.pp.highly_variable_genes(filtered)
    return filtered.n_obs, int(filtered.var["highly_variable"].sum())


def leiden_clusters(X: csr_matrix, seed: int) -> NDArray[np.int64]:
    """Leiden clusters of all cells by the paper's pipeline without Harmony."""
    cells = AnnData(X.astype(np.float32))
    cells = cells[:, np.asarray(X.sum(axis=0)).ravel() > 0].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        n_genes = min(_N_GENES, cells.n_vars)
        sc.experimental.pp.highly_variable_genes(cells, flavor="pearson_residuals", n_top_genes=n_genes)
        sc.pp.normalize_total(cells, target_sum=_TARGET)
        cells = cells[:, cells.var["highly_variable"]].copy()
        sc.pp.log1p(cells, base=2)
        cells.X = cells.X.toarray()
        sc.pp.scale(cells)
        # The full decomposition of the covariance is exact, hence the same on every machine up to rounding.
        components = min(50, cells.n_obs - 1, cells.n_vars - 1)
        sc.pp.pca(cells, n_comps=components, svd_solver="covariance_eigh", random_state=seed)
        n_pcs, n_neighbors = min(_N_PCS, components), min(_N_NEIGHBORS, cells.n_obs - 1)
        sc.pp.neighbors(cells, n_neighbors=n_neighbors, n_pcs=n_pcs, transformer="sklearn", random_state=seed)
        sc.tl.leiden(cells, resolution=_RESOLUTION, flavor="igraph", n_iterations=2, directed=False, random_state=seed)
    return cells.obs["leiden"].astype(int).to_numpy()
