"""Clusters of cells over resolutions, and how well they agree with the labels."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.seeds import derive_seed

if TYPE_CHECKING:
    import igraph
    from numpy.typing import NDArray

#: The paper's resolutions, and the one of the variant that never sees the labels.
RESOLUTIONS = tuple(np.round(np.arange(0.1, 2.01, 0.1), 1).tolist())
FIXED_RESOLUTION = 1.0
_N_NEIGHBORS, _N_COMPONENTS = 15, 50


def graph_of(X: NDArray[np.float32]) -> igraph.Graph:
    """Fuzzy graph of the exact 15 nearest neighbours (scanpy), the paper's ``sc.pp.neighbors(use_rep="X")``."""
    import igraph
    import scanpy as sc
    from anndata import AnnData
    from scipy import sparse
    from sklearn.neighbors import KNeighborsTransformer

    k = min(_N_NEIGHBORS, len(X) - 1)
    cells = AnnData(sparse.csr_matrix((len(X), 1), dtype=np.float32), obsm={"X": X})
    exact = KNeighborsTransformer(n_neighbors=k, algorithm="brute")
    sc.pp.neighbors(cells, n_neighbors=k, use_rep="X", transformer=exact, random_state=0)
    upper = sparse.triu(cells.obsp["connectivities"], k=1).tocoo()
    graph = igraph.Graph(len(X), list(zip(upper.row.tolist(), upper.col.tolist(), strict=True)))
    graph.es["weight"] = upper.data.tolist()
    return graph


def louvain(graph: igraph.Graph, resolution: float) -> NDArray[np.intp]:
    """The cluster of each cell."""
    import igraph

    igraph.set_random_number_generator(random.Random(derive_seed("integration", "louvain")))
    try:
        clustering = graph.community_multilevel(weights="weight", resolution=resolution)
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(clustering.membership)


def agreement(label: pd.Series, cluster: NDArray[np.intp]) -> dict[str, float]:
    """NMI (arithmetic mean) and ARI over the cells that have a label; NaN where all labels are one."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    labelled = label.notna().to_numpy()
    if label[labelled].nunique() < 2:
        return {"nmi": np.nan, "ari": np.nan}
    truth = label[labelled].astype(str)
    return {
        "nmi": float(normalized_mutual_info_score(truth, cluster[labelled])),
        "ari": float(adjusted_rand_score(truth, cluster[labelled])),
    }


def agreement_by_resolution(graph: igraph.Graph, labels: pd.DataFrame) -> pd.DataFrame:
    """``level, resolution, n_clusters, nmi, ari`` of the paper's resolutions and every column of labels."""
    return pd.DataFrame(
        [
            {"level": level, "resolution": r, "n_clusters": len(set(clusters)), **agreement(labels[level], clusters)}
            for r in RESOLUTIONS
            for clusters in [louvain(graph, r)]
            for level in labels
        ]
    )


def best_resolution(by_resolution: pd.DataFrame, level: str) -> pd.Series | dict[str, float]:
    """The row of the highest NMI with a level of labels; NaN where that is not defined."""
    of_level = by_resolution[by_resolution["level"] == level]
    return of_level.loc[of_level["nmi"].idxmax()] if of_level["nmi"].notna().any() else {"nmi": np.nan, "ari": np.nan}


def components_of(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first 50 principal components."""
    from sklearn.decomposition import PCA

    n = min(_N_COMPONENTS, min(X.shape) - 1)
    scores = PCA(n, svd_solver="randomized", random_state=derive_seed("integration", "pca")).fit_transform(X)
    return np.asarray(scores, dtype=np.float32)


def umap(components: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map of the cells (cells, 2)."""
    import scanpy as sc
    from anndata import AnnData

    cells = AnnData(components)
    sc.pp.neighbors(cells, n_neighbors=min(_N_NEIGHBORS, len(components) - 1), use_rep="X", random_state=0)
    sc.tl.umap(cells, random_state=0)
    return np.asarray(cells.obsm["X_umap"])
