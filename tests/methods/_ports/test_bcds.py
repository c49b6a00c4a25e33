from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack
from sklearn.metrics import roc_auc_score

from bench.errors import NotApplicableError
from bench.method import Context
from bench.methods._ports import bcds

xgb = pytest.importorskip("xgboost")
LABELS = np.repeat([0, 1], 600)


@pytest.fixture(scope="module")
def fixed(input_a, r_scds):
    """The classifier's rows for R's artificial doublets, and settings without randomness."""
    genes, _ = bcds.variable_genes(input_a[0])
    return bcds.training_matrix(input_a[0], genes, r_scds["fixed_pairs"]), bcds.booster_parameters(seed=0, subsample=1)


def test_genes_and_matrix_equal_r(input_a, r_scds, fixed):
    np.testing.assert_array_equal(bcds.cells_with(input_a[0]) > 6, r_scds["bcds_kept"])
    genes, variance = bcds.variable_genes(input_a[0])
    np.testing.assert_array_equal(genes, r_scds["bcds_genes"])
    np.testing.assert_allclose(variance, r_scds["bcds_var"], rtol=1e-9)
    squares = np.asarray(fixed[0][:600].power(2).sum(axis=1)).ravel()
    np.testing.assert_allclose(squares, r_scds["bcds_row_square_sums"], rtol=1e-9)


def test_held_out_predictions_equal_r(r_scds, fixed):
    held_out = bcds.cross_validate(fixed[0], LABELS, r_scds["fixed_fold"], fixed[1])
    assert held_out.best == 7
    assert len(held_out.error) == 9
    np.testing.assert_allclose(held_out.prediction, r_scds["fixed_cv"], atol=1e-5)


def test_model_of_all_rows_equals_r(r_scds, fixed):
    ours = bcds.predict_in_sample(fixed[0], LABELS, 15, fixed[1], patience=None)
    np.testing.assert_allclose(ours, r_scds["fixed_train15"], atol=1e-5)


def test_one_se_rule_takes_the_first_round_near_the_best():
    error = np.array([[0.5, 0.5], [0.30, 0.32], [0.24, 0.36], [0.28, 0.30]])  # best mean .29, its deviation .01
    assert bcds.CrossValidation(np.empty(0), error).best == 4
    assert bcds.CrossValidation(np.empty(0), error).one_se == 3


def test_folds_are_balanced_in_both_labels():
    fold = bcds.stratified_folds(np.repeat([0, 1], [10, 15]), np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(fold[:10]), np.full(5, 2))
    np.testing.assert_array_equal(np.bincount(fold[10:]), np.full(5, 3))


def test_an_empty_cell_does_not_spoil_the_choice_of_genes(input_a):
    X = input_a[0]
    with_empty = vstack([X, csr_matrix((1, X.shape[1]), dtype=X.dtype)], format="csr")
    genes, variance = bcds.variable_genes(with_empty, 50)
    assert np.isfinite(variance).all()
    assert len(set(genes) & set(bcds.variable_genes(X, 50)[0])) >= 45


def test_nothing_detected_is_declined():
    with pytest.raises(NotApplicableError, match="no genes"):
        bcds.bcds(csr_matrix((10, 5)), np.zeros((10, 2), int), seed=0)


@pytest.mark.slow
def test_default_run_is_as_good_as_r(input_a, as_inputs):
    from bench.methods.bcds import Bcds

    scores = [Bcds().run(as_inputs(input_a[0]), Context(seed=s))["score"] for s in (0, 1)]
    assert np.mean([roc_auc_score(input_a[1], s) for s in scores]) == pytest.approx(0.908, abs=0.04)
