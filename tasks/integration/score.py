"""Do clusters of imputed cells agree with the labels, and do batches mix?"""

from __future__ import annotations

import random
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.normalise import log1p_cp10k
from bench.problem import Score, Scored
from bench.seeds import derive_seed
from bench.tasks._shared.labels import LEVELS
from bench.tasks._shared.zeros import ALL, FEWEST_CELLS, MARKERS, FalsePositives, markers_of_others

if TYPE_CHECKING:
    import igraph
    from numpy.typing import NDArray
    from scib_metrics.nearest_neighbors import NeighborsResults

    from bench.problem import Prediction, Problem

#: Cells that are clustered and drawn at most: all pairs of them are compared on all genes.
MOST_CELLS = 10_000
#: The paper's resolutions, and the one of the variant that never sees the labels.
RESOLUTIONS = tuple(np.round(np.arange(0.1, 2.01, 0.1), 1).tolist())
FIXED_RESOLUTION = 1.0
_N_NEIGHBORS, _N_COMPONENTS = 15, 50
#: Neighbours that batch mixing is judged in, as in scib-metrics.
_N_MIXING = 90
_ROWS = 1024


def score(problem: Problem, prediction: Prediction) -> Scored:
    """All metrics and tables of one imputed study (see :class:`bench.tasks.integration.IntegrationTask`)."""
    rows = scored_cells(problem)
    imputed = observed_kept(problem, prediction["expression"], rows)
    table = problem.solution.iloc[rows]
    levels = [level for level in LEVELS if level in table]
    full = full_graph(imputed)
    components = components_of(imputed)
    reduced = _graph(components, derive_seed("integration", "components"))
    by_resolution = agreement_by_resolution(full, table[levels])
    fixed = _louvain(reduced, FIXED_RESOLUTION)
    scores: list[Score] = []
    for level in levels:
        unit, n = "pooled" if level == levels[0] else f"level:{level}", int(table[level].notna().sum())
        best = best_resolution(by_resolution, level)
        why = "" if table[level].nunique() > 1 else "all cells have one label"
        how_chosen = f"resolution {best['resolution']:g}, chosen by the labels" if not why else why
        scores += [
            Score("nmi_oracle", float(best["nmi"]), unit, n=n, detail=how_chosen),
            Score("ari_oracle", float(best["ari"]), unit, n=n, detail=how_chosen),
        ]
        scores += [Score(name, value, unit, n=n, detail=why) for name, value in agreement(table[level], fixed).items()]
    scores += _mixing(components, table, levels)
    false_positives = count_false_positives(problem, prediction["expression"])
    share = false_positives.share(MARKERS)
    why = f"no type of {FEWEST_CELLS} cells lacks a gene that another type has" if np.isnan(share) else ""
    scores.append(Score("zeros_turned_on", share, n=len(problem.solution), detail=why))
    umap = pd.DataFrame(_umap(components), columns=["x", "y"])
    umap.insert(0, "cell", table.index.astype(str))
    return Scored(scores, tables={"umap": umap, "resolutions": by_resolution, "zeros": false_positives.table()})


def full_graph(expression: NDArray[np.float32]) -> igraph.Graph:
    """The graph of neighbours on all genes, the paper's."""
    return _graph(expression, derive_seed("integration", "full"))


def agreement_by_resolution(graph: igraph.Graph, labels: pd.DataFrame) -> pd.DataFrame:
    """``level, resolution, n_clusters, nmi, ari`` of the paper's resolutions and every column of labels."""
    return pd.DataFrame(
        [
            {"level": level, "resolution": r, "n_clusters": len(set(clusters)), **agreement(labels[level], clusters)}
            for r in RESOLUTIONS
            for clusters in [_louvain(graph, r)]
            for level in labels
        ]
    )


def best_resolution(by_resolution: pd.DataFrame, level: str) -> pd.Series | dict[str, float]:
    """The row of the highest NMI with a level of labels; NaN where that is not defined."""
    of_level = by_resolution[by_resolution["level"] == level]
    return of_level.loc[of_level["nmi"].idxmax()] if of_level["nmi"].notna().any() else {"nmi": np.nan, "ari": np.nan}


def scored_cells(problem: Problem) -> NDArray[np.intp]:
    """The labelled cells, or a random :data:`MOST_CELLS` of them, the same for every method."""
    labelled = np.flatnonzero(problem.solution["labelled"].to_numpy(bool))
    if len(labelled) <= MOST_CELLS:
        return labelled
    rng = np.random.default_rng(derive_seed("integration", "cells"))
    return np.sort(rng.choice(labelled, MOST_CELLS, replace=False))


def observed_kept(problem: Problem, expression: Any, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Imputed values where nothing was counted, ln(1 + counts per 10,000) elsewhere; (cells, genes)."""
    filled = np.empty((len(rows), expression.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        measured = log1p_cp10k(problem.inputs.cells.X[part])
        block = np.maximum(np.asarray(expression[part], dtype=np.float32), 0)
        row = np.repeat(np.arange(len(part)), np.diff(measured.indptr))
        block[row, measured.indices] = measured.data
        filled[start : start + _ROWS] = block
    return filled


def count_false_positives(problem: Problem, expression: Any) -> FalsePositives:
    """Zeros of all cells of the study, and of them those of other types' markers; types of the coarsest level."""
    X, solution = problem.inputs.cells.X, problem.solution
    labels = solution["cell_type"] if "cell_type" in solution else pd.Series(None, index=solution.index, dtype=object)
    of_others, false_positives = markers_of_others(X, labels), FalsePositives()
    for start in range(0, X.shape[0], _ROWS):
        rows = slice(start, min(start + _ROWS, X.shape[0]))
        is_zero, imputed = X[rows].toarray() == 0, np.asarray(expression[rows])
        false_positives.add(ALL, is_zero, imputed)
        false_positives.add_markers(of_others, labels.to_numpy(object)[rows], is_zero, imputed)
    return false_positives


def _graph(X: NDArray[np.float32], seed: int) -> igraph.Graph:
    """Fuzzy graph of the exact 15 nearest neighbours (scanpy), the paper's ``sc.pp.neighbors(use_rep="X")``."""
    import igraph
    import scanpy as sc
    from anndata import AnnData
    from scipy import sparse
    from sklearn.neighbors import KNeighborsTransformer

    k = min(_N_NEIGHBORS, len(X) - 1)
    cells = AnnData(sparse.csr_matrix((len(X), 1), dtype=np.float32), obsm={"X": X})
    exact = KNeighborsTransformer(n_neighbors=k, algorithm="brute")
    sc.pp.neighbors(cells, n_neighbors=k, use_rep="X", transformer=exact, random_state=seed)
    upper = sparse.triu(cells.obsp["connectivities"], k=1).tocoo()
    graph = igraph.Graph(len(X), list(zip(upper.row.tolist(), upper.col.tolist(), strict=True)))
    graph.es["weight"] = upper.data.tolist()
    return graph


def _louvain(graph: igraph.Graph, resolution: float) -> NDArray[np.intp]:
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


def components_of(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first 50 principal components."""
    from sklearn.decomposition import PCA

    n = min(_N_COMPONENTS, min(X.shape) - 1)
    scores = PCA(n, svd_solver="randomized", random_state=derive_seed("integration", "pca")).fit_transform(X)
    return np.asarray(scores, dtype=np.float32)


def _mixing(components: NDArray[np.float32], table: pd.DataFrame, levels: list[str]) -> list[Score]:
    """Of batches where they are known, else of donors; by scib-metrics."""
    column = "batch" if "batch" in table else "donor"
    names = ("ilisi", "kbet", "graph_connectivity")
    if find_spec("scib_metrics") is None:
        why = "scib-metrics is missing: pip install 'scmamba-bench[integration]'"
        return [Score(name, np.nan, detail=why) for name in names]
    near = neighbours(components)
    connected = graph_connectivity(near, table[levels[0]])
    if table[column].astype(str).nunique() < 2:
        mixing = [Score(name, np.nan, detail=f"all cells are of one {column}") for name in names[:2]]
    else:
        n, detail = len(table), f"between levels of {column}"
        mixing = [
            Score("ilisi", ilisi(near, table[column]), n=n, detail=detail),
            Score("kbet", kbet(near, table[column]), n=n, detail=detail),
        ]
    return [*mixing, Score("graph_connectivity", connected, n=len(table))]


def neighbours(components: NDArray[np.float32]) -> NeighborsResults:
    """The exact neighbours that mixing is judged in."""
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    k = min(_N_MIXING, len(components) - 1)
    distance, index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(components).kneighbors(components)
    return NeighborsResults(indices=index, distances=distance)


def ilisi(near: NeighborsResults, batch: pd.Series) -> float:
    """Batches in a cell's neighbourhood, 0 to 1."""
    import scib_metrics

    return float(scib_metrics.ilisi_knn(near, _codes(batch)))


def kbet(near: NeighborsResults, batch: pd.Series) -> float:
    """Share of neighbourhoods whose batches are mixed as overall."""
    import scib_metrics

    return float(scib_metrics.kbet(near, _codes(batch))[0])


def graph_connectivity(near: NeighborsResults, label: pd.Series) -> float:
    """Cells of a type that hang together."""
    import scib_metrics

    return float(scib_metrics.graph_connectivity(near, _codes(label)))


def _codes(values: pd.Series) -> NDArray[np.intp]:
    return pd.factorize(values.astype(str))[0]


def _umap(components: NDArray[np.float32]) -> NDArray[np.float32]:
    import scanpy as sc
    from anndata import AnnData

    cells = AnnData(components)
    sc.pp.neighbors(cells, n_neighbors=min(_N_NEIGHBORS, len(components) - 1), use_rep="X", random_state=0)
    sc.tl.umap(cells, random_state=0)
    return np.asarray(cells.obsm["X_umap"])
