"""The port against the numbers of DoubletFinder 2.0.6 and Seurat 4.3.0 (``parity/README.md``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.methods._ports import bcmvn, doubletfinder, seurat_preprocess


@pytest.fixture(scope="module")
def r_doubletfinder():
    with np.load(Path(__file__).parents[1] / "parity" / "doubletfinder" / "r_doubletfinder.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def counts_a(input_a, r_doubletfinder):
    X, genes = input_a[0], r_doubletfinder["variable_genes"]
    return doubletfinder.Counts(X[:, genes], seurat_preprocess.library_sizes(X))


def assert_pann_equals_r(ours, r, k):
    """At least 99.5 % of the cells exact (to the digits stored), the others within three neighbours."""
    different = np.abs(ours - r) > 1e-8
    assert different.mean() <= 0.005
    assert np.abs(ours - r).max() <= 3 / k + 1e-8


def test_standardised_variance_and_variable_genes_equal_seurat(input_a, r_doubletfinder):
    np.testing.assert_allclose(seurat_preprocess.standardised_variance(input_a[0]), r_doubletfinder["vst"], rtol=1e-9)
    ours, r = seurat_preprocess.variable_genes(input_a[0], 500), r_doubletfinder["variable_genes_alone"]
    assert set(ours) == set(r)
    np.testing.assert_array_equal(ours[:50], r[:50])


def test_principal_components_equal_seurat_up_to_sign(input_a, r_doubletfinder):
    X, r = input_a[0], r_doubletfinder["pca_alone"]
    totals = seurat_preprocess.library_sizes(X)
    ours = seurat_preprocess.scaled_pca(
        seurat_preprocess.log_normalise(X[:, r_doubletfinder["variable_genes_alone"]], totals), 20
    )
    np.testing.assert_allclose(ours * np.sign((ours * r).sum(axis=0)), r, atol=1e-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_components_of_cells_and_doublets_equal_r_up_to_sign(seed, counts_a, r_doubletfinder):
    r = r_doubletfinder[f"seed{seed}_pca"]
    ours = doubletfinder.embed(counts_a, r_doubletfinder[f"seed{seed}_pairs"], 10)
    # R's components are irlba's, stopped at a tolerance of 1e-5; ours are exact.
    np.testing.assert_allclose(ours * np.sign((ours * r).sum(axis=0)), r, atol=2e-3)


@pytest.mark.parametrize(("seed", "pk"), [(1, 0.01), (1, 0.05), (1, 0.2), (2, 0.05)])
def test_pann_and_calls_equal_r_for_its_pairs(seed, pk, counts_a, r_doubletfinder):
    r, r_call = (r_doubletfinder[f"seed{seed}_pK{pk}_{name}"] for name in ("pANN", "call"))
    coords = doubletfinder.embed(counts_a, r_doubletfinder[f"seed{seed}_pairs"], 10)
    ours = doubletfinder.pann(coords, 600, pk)
    assert_pann_equals_r(ours, r, doubletfinder.n_neighbours(800, pk))
    np.testing.assert_array_equal(doubletfinder.call_top(ours, 60), r_call)
    np.testing.assert_array_equal(doubletfinder.call_top(r, 60), r_call)


@pytest.mark.parametrize(("seed", "pk"), [(1, 0.01), (1, 0.05), (1, 0.2), (2, 0.05)])
def test_pann_equals_r_exactly_for_its_components(seed, pk, r_doubletfinder):
    ours = doubletfinder.pann(r_doubletfinder[f"seed{seed}_pca"], 600, pk)
    np.testing.assert_allclose(ours, r_doubletfinder[f"seed{seed}_pK{pk}_pANN"], atol=1e-14)


def test_sweep_equals_r_for_its_pairs(counts_a, r_doubletfinder):
    pks = doubletfinder.sweep_grid(600)
    np.testing.assert_allclose(pks, r_doubletfinder["sweep_pK"])
    pairs = {pn: r_doubletfinder[f"sweep_pairs{i}"] for i, pn in enumerate(doubletfinder.SWEEP_PN)}
    for i, pn in enumerate(doubletfinder.SWEEP_PN):
        assert len(pairs[pn]) == doubletfinder.n_artificial(600, pn)
        ours = doubletfinder.sweep_pann(counts_a, pairs[pn], pks, 10)
        for column, pk in enumerate(pks):
            k = doubletfinder.n_neighbours(600 + len(pairs[pn]), pk)
            assert_pann_equals_r(ours[:, column], r_doubletfinder["sweep_pANN"][i][:, column], k)
    found = doubletfinder.sweep(counts_a, np.random.default_rng(0), 10, pairs=pairs)
    assert found.best_pk == pytest.approx(0.06)
    # A pANN one neighbour off (R's components are approximate) moves its coefficient in the third digit.
    np.testing.assert_allclose(found.coefficients, r_doubletfinder["sweep_BCreal"], rtol=5e-3)


def test_density_equals_bkde(r_doubletfinder):
    x, y = bcmvn.binned_density(r_doubletfinder["sweep_pANN"][4][:, 3])
    np.testing.assert_allclose(x, r_doubletfinder["bkde_x"], atol=1e-12)
    np.testing.assert_allclose(y, r_doubletfinder["bkde_y"], atol=1e-9)


def test_bimodality_and_bcmvn_equal_r_for_its_pann(r_doubletfinder):
    ours = np.array([[bcmvn.pann_bimodality(v) for v in block.T] for block in r_doubletfinder["sweep_pANN"]])
    np.testing.assert_allclose(ours, r_doubletfinder["sweep_BCreal"], rtol=1e-6)
    np.testing.assert_allclose(bcmvn.bcmvn(r_doubletfinder["sweep_BCreal"]), r_doubletfinder["sweep_BCmvn"], rtol=1e-9)


def test_homotypic_adjustment_equals_r(r_doubletfinder):
    share = doubletfinder.homotypic_proportion(r_doubletfinder["cell_type"])
    assert share == pytest.approx(float(r_doubletfinder["homotypic"]), abs=1e-12)
    n = doubletfinder.n_expected(0.1, 600, share)
    assert n == 46
    calls = doubletfinder.call_top(r_doubletfinder["seed1_pK0.05_pANN"], n)
    np.testing.assert_array_equal(calls, r_doubletfinder["seed1_pK0.05_call_adjusted"])


def test_grid_is_r_seq_in_floating_point():
    assert doubletfinder.SWEEP_PK[9] == 0.01 + 6 * 0.01 != 0.07
    assert round(750 * doubletfinder.SWEEP_PK[9]) == 52
    assert len(doubletfinder.SWEEP_PK) == 33
    assert doubletfinder.sweep_grid(600)[0] == 0.02
