from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from bench.errors import BenchError, NotApplicableError
from bench.method import Context
from bench.methods._ports import bcmvn, doubletfinder, seurat_preprocess
from bench.methods.doubletfinder import DoubletFinder


def test_finds_the_doublets_of_a_synthetic_library(input_a, as_inputs):
    inputs = as_inputs(input_a[0])
    found = DoubletFinder(n_features=500).run(inputs, Context(seed=0))
    assert roc_auc_score(input_a[1], found["score"]) > 0.93
    assert 30 < found["call"].sum() < 60  # fewer than the expected 60: homotypic doublets are left out
    assert found["score"][found["call"]].min() >= found["score"][~found["call"]].max()


def test_is_reproducible_and_follows_the_seed(input_a, as_inputs):
    inputs, method = as_inputs(input_a[0]), DoubletFinder(pk=0.05, n_features=500)
    before = inputs.cells.X.copy()
    first, again, other = (method.run(inputs, Context(seed=s, threads=t)) for s, t in [(3, 1), (3, 2), (4, 1)])
    np.testing.assert_array_equal(first["score"], again["score"])
    np.testing.assert_array_equal(first["call"], again["call"])
    assert (first["score"] != other["score"]).mean() > 0.2
    assert (before != inputs.cells.X).nnz == 0


def test_permuted_cells_get_permuted_scores_for_the_same_pairs(input_a):
    rng = np.random.default_rng(5)
    counts = doubletfinder.Counts.select(input_a[0], 500)
    pairs, order = doubletfinder.draw_pairs(600, 0.25, rng), rng.permutation(600)
    rank = np.argsort(order)
    score = doubletfinder.pann(doubletfinder.embed(counts, pairs, 10), 600, 0.05)
    permuted = doubletfinder.embed(counts.take(order), rank[pairs], 10)
    np.testing.assert_allclose(doubletfinder.pann(permuted, 600, 0.05), score[order])


def test_doublets_are_means_of_two_cells(input_a):
    counts = doubletfinder.Counts.select(input_a[0], 200)
    coords = doubletfinder.embed(counts, np.array([[4, 4], [7, 7]]), 5)
    np.testing.assert_allclose(coords[600:], coords[[4, 7]], atol=1e-9)


def test_zero_expected_doublets_call_none(input_a, as_inputs):
    found = DoubletFinder(pk=0.05, n_features=200).run(as_inputs(input_a[0], rate=0.0), Context(seed=0))
    assert not found["call"].any()


def test_annotation_stands_for_clusters(input_a, as_inputs):
    inputs = as_inputs(input_a[0])
    inputs.cells.obs["half"] = np.arange(600) % 2
    found = DoubletFinder(pk=0.05, n_features=200, annotation="half").run(inputs, Context(seed=0))
    assert found["call"].sum() == 30
    whole = DoubletFinder(pk=0.05, n_features=200, homotypic=False).run(inputs, Context(seed=0))
    assert whole["call"].sum() == 60


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_too_few_cells_for_the_sweep_are_refused_with_a_reason(n, input_a, as_inputs):
    with pytest.raises(NotApplicableError, match="cells|genes") as refusal:
        DoubletFinder().run(as_inputs(input_a[0][:n]), Context(seed=0))
    assert refusal.value.fix


@pytest.mark.parametrize("n", [8, 30])
def test_a_handful_of_cells_is_answered_at_a_given_pk(n, input_a, as_inputs):
    found = DoubletFinder(pk=0.1).run(as_inputs(input_a[0][:n]), Context(seed=0))
    assert found["score"].shape == (n,)
    assert np.isfinite(found["score"]).all()


def test_sixty_cells_and_thirty_genes_work(input_a, as_inputs):
    busiest = np.argsort(-input_a[0].getnnz(axis=0))[:30]
    found = DoubletFinder(n_pcs=50).run(as_inputs(input_a[0][:60][:, busiest]), Context(seed=0))
    assert np.isfinite(found["score"]).all()


def test_cells_and_genes_without_counts_do_no_harm(input_a, as_inputs):
    X = input_a[0].toarray()
    X[:7] = 0
    X[:, :5] = 0
    found = DoubletFinder(pk=0.05, n_features=300).run(as_inputs(X), Context(seed=0))
    assert np.isfinite(found["score"]).all()


def test_counts_without_any_variation_are_refused(as_inputs):
    with pytest.raises(NotApplicableError, match="varies"):
        DoubletFinder(pk=0.1).run(as_inputs(np.zeros((50, 20))), Context(seed=0))


@pytest.mark.parametrize("wrong", [{"pk": 0}, {"pk": 1.5}, {"pn": 1}])
def test_shares_outside_0_1_are_refused(wrong):
    with pytest.raises(BenchError, match="is "):
        DoubletFinder(**wrong)


def test_neighbourhood_is_never_empty_nor_everything():
    assert doubletfinder.n_neighbours(40, 0.001) == 1
    assert doubletfinder.n_neighbours(4, 0.99) == 3
    assert doubletfinder.n_neighbours(50, 0.05) == 2  # half to even


def test_equal_scores_at_the_cut_go_to_the_earlier_cells():
    called = doubletfinder.call_top(np.array([0.1, 0.5, 0.9, 0.5, 0.5]), 3)
    np.testing.assert_array_equal(called, [False, True, True, True, False])


def test_constant_pann_is_left_out_of_bcmvn():
    assert np.isnan(bcmvn.pann_bimodality(np.full(50, 0.25)))
    with np.errstate(all="raise"):
        result = bcmvn.bcmvn(np.array([[0.5, np.nan, 0.3], [0.7, 0.6, 0.3]]))
    assert result[0] == pytest.approx(0.6 / 0.02)
    assert np.isnan(result[1:]).all()


def test_sweep_above_its_limit_runs_on_a_subset(input_a, monkeypatch):
    monkeypatch.setattr(doubletfinder, "SWEEP_CELLS", 200)
    counts = doubletfinder.Counts.select(input_a[0], 300)
    asked = []

    def sweep_pann(counts, pairs, pks, n_pcs, threads):
        asked.append(len(counts))
        return np.random.default_rng(len(pairs)).random((len(counts), len(pks)))

    monkeypatch.setattr(doubletfinder, "sweep_pann", sweep_pann)
    found = doubletfinder.sweep(counts, np.random.default_rng(0), 10)
    assert asked == [200] * 6
    assert found.coefficients.shape == (6, 29)


def test_clusters_have_the_types_frequencies():
    rng = np.random.default_rng(0)
    types = rng.choice(3, size=900, p=[0.6, 0.3, 0.1])
    coords = rng.normal(scale=0.1, size=(900, 5)) + 20 * np.eye(3, 5)[types]
    labels = doubletfinder.cluster(coords, np.random.default_rng(1))
    again = doubletfinder.cluster(coords, np.random.default_rng(1))
    np.testing.assert_array_equal(labels, again)
    assert pd.crosstab(labels, types).astype(bool).sum(axis=1).max() == 1  # no cluster mixes types


def dense_scaled_pca(L, n):
    scaled = np.minimum((L - L.mean(axis=0)) / L.std(axis=0, ddof=1), 10)
    u, d, _ = np.linalg.svd(scaled, full_matrices=False)
    return (u * d)[:, :n]


def test_sparse_pca_equals_dense_also_where_values_are_clipped():
    rng = np.random.default_rng(0)
    L = rng.poisson(0.3, size=(2000, 40)) * rng.random((2000, 40))
    L[:3, :5] = 50  # scaled values far above 10
    assert ((L - L.mean(axis=0)) / L.std(axis=0, ddof=1) > 10).sum() >= 15
    ours, dense = seurat_preprocess.scaled_pca(csr_matrix(L), 4), dense_scaled_pca(L, 4)
    np.testing.assert_allclose(ours * np.sign((ours * dense).sum(axis=0)), dense, atol=1e-9)


def test_no_dense_cells_by_genes_is_allocated():
    n_cells, n_genes = 5_000, 4_000
    rng = np.random.default_rng(0)
    X = csr_matrix((rng.random((n_cells, n_genes), np.float32) < 0.02).astype(np.float32))
    X.data[:] = rng.integers(1, 9, size=X.nnz)
    pairs = doubletfinder.draw_pairs(n_cells, 0.25, rng)

    def score():
        doubletfinder.pann(doubletfinder.embed(doubletfinder.Counts.select(X, 500), pairs, 10), n_cells, 0.05)

    score()  # to compile it takes twice as long where memory is traced
    tracemalloc.start()
    score()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70e6  # dense floats: 80 MB; distances: 267 MB


def test_a_trend_that_loess_cannot_fit_is_refused_in_its_words_as_text():
    with pytest.raises(NotApplicableError, match=r"4 varying genes \(svddc failed in l2fit\.\)"):
        seurat_preprocess._loess(np.array([1.0, 1, 1, 2]), np.array([1.0, 2, 3, 4]))
