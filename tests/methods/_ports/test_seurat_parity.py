"""The port of Seurat's clustering and markers against the numbers of Seurat 4.3.0 and 5.2.1 (``parity/README.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.sparse import block_diag, csr_matrix
from sklearn.metrics import adjusted_rand_score

from bench.methods._ports import seurat_clusters, seurat_louvain, seurat_markers, seurat_preprocess

if TYPE_CHECKING:
    from pathlib import Path

K = 20


@pytest.fixture(scope="module")
def r_seurat(parity: Path) -> dict[str, np.ndarray]:
    with np.load(parity / "seurat" / "r_seurat.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def r_markers(parity: Path, r_seurat: dict[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    """Marker tables by major version."""
    with np.load(parity / "seurat" / "r_seurat5.npz") as stored:
        return {4: r_seurat, 5: dict(stored)}


@pytest.fixture(scope="module")
def lognorm_a(input_a):
    X = input_a[0]
    return seurat_preprocess.log_normalise(X.astype(np.float64), seurat_preprocess.library_sizes(X))


def components(X, n_features, n_pcs):
    genes = seurat_preprocess.variable_genes(X, n_features)
    totals = seurat_preprocess.library_sizes(X)
    return seurat_preprocess.scaled_pca(seurat_preprocess.log_normalise(X[:, genes], totals), n_pcs)


def jaccard(shared):
    """Seurat's graph from its stored numbers of shared neighbours."""
    return csr_matrix(shared / (2 * K - shared.astype(float)))


def assert_genes_equal_r(ours, genes, r_seurat, prefix, rows=slice(None)):
    """Tolerances of the parity folder: 1e-8 relative, 1e-6 in log10 p."""
    np.testing.assert_allclose(ours.log2_fold_change[genes], r_seurat[f"{prefix}_log2fc"][rows], rtol=1e-8, atol=1e-12)
    r_p = np.nan_to_num(r_seurat[f"{prefix}_p"][rows], nan=1.0)  # what R says of a gene that no cell has
    np.testing.assert_allclose(np.log10(ours.p_value[genes]), np.log10(r_p), atol=1e-6)
    r_pct = r_seurat[f"{prefix}_pct"][rows]
    np.testing.assert_allclose(np.column_stack([ours.pct_in, ours.pct_out])[genes], r_pct, atol=1e-6)


def test_shared_neighbours_of_seurats_neighbours_are_seurats(r_seurat):
    near = csr_matrix((np.ones(600 * K), r_seurat["nn_a"].ravel(), np.arange(601) * K), shape=(600, 600))
    ours = seurat_clusters.shared_neighbours(near)
    np.testing.assert_allclose(ours.toarray(), jaccard(r_seurat["shared_a"]).toarray(), atol=1e-8)


def test_nearest_are_seurats_but_for_the_few_it_misses(input_a, r_seurat):
    ours = seurat_clusters.nearest(components(input_a[0], 500, 20)).indices.reshape(600, K)
    common = [len(np.intersect1d(a, b)) for a, b in zip(ours, r_seurat["nn_a"], strict=True)]
    assert np.mean(common) / K > 0.98  # annoy's recall is 0.989
    assert all(cell in row for cell, row in enumerate(ours))


@pytest.mark.parametrize("resolution", ["0.5", "0.8", "1.2", "2"])
def test_clusters_on_seurats_graph_are_seurats(resolution, r_seurat):
    labels, _ = seurat_clusters.louvain(jaccard(r_seurat["shared_b"]), float(resolution), seed=0)
    np.testing.assert_array_equal(labels, r_seurat[f"clusters_b_{resolution}"])


def test_clusters_on_seurats_graph_are_seurats_on_input_a(r_seurat):
    labels, _ = seurat_clusters.louvain(jaccard(r_seurat["shared_a"]), 0.8, seed=0)
    np.testing.assert_array_equal(labels, r_seurat["clusters_a"])


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_is_that_of_igraph(resolution, r_seurat):
    import igraph

    snn = jaccard(r_seurat["shared_b"])
    rows, columns = np.nonzero(np.triu(snn.toarray(), 1))
    graph = igraph.Graph(n=600, edges=np.column_stack([rows, columns]))
    weights = np.asarray(snn[rows, columns]).ravel()
    labels, quality = seurat_louvain.best_of_starts(snn, resolution, starts=3, iterations=10, seed=1)
    expected = graph.modularity(labels.tolist(), weights=weights, resolution=resolution)
    assert quality == pytest.approx(expected, abs=1e-12)
    igraph_finds = graph.community_multilevel(weights=weights, resolution=resolution).membership
    assert quality > graph.modularity(igraph_finds, weights=weights, resolution=resolution) - 5e-3


def test_nodes_without_edges_stay_by_themselves():
    two = csr_matrix(np.kron(np.eye(2), np.ones((4, 4))))
    graph = block_diag([two, csr_matrix((3, 3))], format="csr")
    labels, quality = seurat_louvain.best_of_starts(graph, 1.0, starts=2, iterations=10, seed=0)
    sizes = np.unique(labels, return_counts=True)[1]
    assert sorted(sizes) == [1, 1, 1, 4, 4]
    assert quality == pytest.approx(0.5)
    alone, none = seurat_louvain.best_of_starts(csr_matrix((3, 3)), 1.0, starts=2, iterations=10, seed=0)
    assert (alone.tolist(), none) == ([0, 1, 2], 0.0)


def test_random_numbers_are_those_of_java():
    """``new java.util.Random(42).nextInt(10)``, five times; a power of two takes the other path (first of seed 0)."""
    state = np.array([42 ^ 0x5DEECE66D])
    assert [seurat_louvain._next_int(state, 10) for _ in range(5)] == [0, 3, 8, 4, 0]
    assert seurat_louvain._next_int(np.array([0x5DEECE66D]), 16) == 11


@pytest.fixture(scope="module")
def graphs(input_a, parity):
    """Components and shared neighbours from the counts of both inputs."""
    with np.load(parity / "scibet" / "r_scibet.npz") as stored:
        counts_b = csr_matrix(stored["counts"].astype(np.float32))
    coords = {"a": components(input_a[0], 500, 20), "b": components(counts_b, 400, 15)}
    return {k: (c, seurat_clusters.shared_neighbours(seurat_clusters.nearest(c))) for k, c in coords.items()}


def test_components_are_seurats(graphs, r_seurat):
    r = r_seurat["pca_b"].astype(float)
    assert min(abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(graphs["b"][0].T, r.T, strict=True)) > 0.999


@pytest.mark.parametrize("resolution", ["0.5", "0.8", "1.2", "2"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_clusters_from_counts_are_those_of_seurat_with_exact_neighbours(name, resolution, graphs, r_seurat):
    labels, _ = seurat_clusters.louvain(graphs[name][1], float(resolution), seed=0)
    np.testing.assert_array_equal(labels, r_seurat[f"clusters_exact_{name}_{resolution}"])


@pytest.mark.parametrize(("clusters", "agreement"), [("a", 0.97), ("b_0.5", 0.92), ("b_0.8", 0.86), ("b_1.2", 0.93)])
def test_what_seurats_approximate_neighbours_change(clusters, agreement, graphs, r_seurat):
    """A missed neighbour in a hundred moves the best partition: ``b`` at 0.8 has five clusters, not four."""
    resolution = float(clusters.partition("_")[2] or 0.8)
    labels, _ = seurat_clusters.louvain(graphs[clusters[0]][1], resolution, seed=0)
    assert adjusted_rand_score(labels, r_seurat[f"clusters_{clusters}"]) > agreement


@pytest.mark.parametrize("version", [4, 5])
def test_find_all_markers_equals_seurat(version, lognorm_a, r_seurat, r_markers):
    clusters, r = r_seurat["clusters_a"].astype(int), r_markers[version]
    sums = seurat_markers.class_sums(lognorm_a, clusters, clusters.max() + 1)
    for k in range(clusters.max() + 1):
        ours = seurat_markers.find_markers(sums, k, version)
        rows = r["all_cluster"] == k
        genes = r["all_gene"][rows].astype(int)
        assert set(np.flatnonzero(ours.passes & (ours.p_value < 0.01))) == set(genes)
        assert_genes_equal_r(ours, genes, r, "all", rows)
        fold = r["all_log2fc"][rows]
        np.testing.assert_array_equal(ours.up(10), genes[np.argsort(-fold, kind="stable")][:10])


def test_the_markers_of_the_two_versions_differ(r_markers):
    """Else the two presets were one, and the tests above could not tell them apart."""
    tables = [{(k, g) for k, g in zip(r["all_cluster"], r["all_gene"], strict=True)} for r in r_markers.values()]
    assert len(tables[1] - tables[0]) > 30


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("rest", ["t0_t1", "t0_rest"])
def test_markers_between_true_types_equal_seurat(rest, version, lognorm_a, input_a, r_seurat, r_markers):
    types, r = r_seurat["celltype_a"], r_markers[version]
    cells = ~input_a[1].astype(bool) & ((types <= 1) | (rest == "t0_rest"))
    sums = seurat_markers.class_sums(lognorm_a[cells], (types[cells] > 0).astype(int), 2)
    ours, genes = seurat_markers.find_markers(sums, 0, version), r[f"{rest}_gene"].astype(int)
    assert_genes_equal_r(ours, genes, r, rest)
    if rest == "t0_rest":
        assert set(np.flatnonzero(ours.passes)) == set(genes)


def test_scipy_agrees_on_the_rank_sum_test_with_many_ties():
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, size=(50, 6)).astype(float)
    codes = rng.integers(0, 3, 50)
    ours = seurat_markers.find_markers(seurat_markers.class_sums(csr_matrix(values), codes, 3), 1)
    expected = mannwhitneyu(values[codes == 1], values[codes != 1], method="asymptotic", use_continuity=True).pvalue
    np.testing.assert_allclose(ours.p_value, expected, rtol=1e-10)
