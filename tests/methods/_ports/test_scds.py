from __future__ import annotations

from fractions import Fraction
from math import comb, log

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bench.errors import NotApplicableError
from bench.methods._ports import scds


def log_fraction(x: Fraction) -> float:
    """log of a fraction that may be below the smallest double."""
    bits = x.denominator.bit_length() - x.numerator.bit_length()
    return log(x * 2**bits) - bits * log(2)


def test_cxds_equals_r(input_a, r_scds):
    model, on = scds.fit_cxds(input_a[0])
    np.testing.assert_array_equal(model.genes, r_scds["cxds_genes"])
    np.testing.assert_allclose(model.neg_log_p.sum(axis=1), r_scds["cxds_row_sums"], rtol=1e-9)
    np.testing.assert_allclose(scds.score_cxds(model, on), r_scds["cxds"], rtol=1e-9)


def test_cxds_equals_r_with_other_parameters(input_a, r_scds):
    model, on = scds.fit_cxds(input_a[0], ntop=100, threshold=1)
    np.testing.assert_allclose(scds.score_cxds(model, on), r_scds["cxds_ntop100_bin1"], rtol=1e-9)


@pytest.mark.parametrize("method", ["cxds", "bcds", "hybrid"])
def test_balanced_threshold_calls_the_cells_r_calls(method, r_scds):
    real = r_scds["cxds" if method == "cxds" else f"{method}_est7"]
    threshold = scds.balanced_threshold(real, r_scds[f"{method}_sim7"])
    np.testing.assert_array_equal(real >= threshold, r_scds[f"{method}_call7"])


def test_hybrid_equals_r(r_scds):
    hybrid = scds.hybrid_score(r_scds["cxds"], r_scds["bcds_tune_seed1"])
    np.testing.assert_allclose(hybrid, r_scds["hybrid_tune_seed1"], rtol=1e-9)


def test_hybrid_of_a_constant_score_is_the_other_one():
    np.testing.assert_array_equal(scds.hybrid_score(np.full(3, 7.0), np.array([0, 1, 2.0])), [0, 0.5, 1])


@pytest.mark.parametrize(("k", "n", "q"), [(0, 10, "1/3"), (4, 10, "1/3"), (2500, 3000, "3/10"), (2999, 3000, "1/2")])
def test_binomial_tail_is_exact_also_where_it_underflows(k, n, q):
    q = Fraction(q)
    exact = sum(comb(n, j) * q**j * (1 - q) ** (n - j) for j in range(k, n + 1))
    ours = scds.log_binomial_upper(np.array([k]), n, np.array([float(q)]))
    np.testing.assert_allclose(ours, log_fraction(exact), rtol=1e-11, atol=1e-15)


def test_artificial_doublets_are_on_where_either_parent_is(input_a):
    model, on = scds.fit_cxds(input_a[0])
    cell_with_itself = np.column_stack([np.arange(600), np.arange(600)])
    np.testing.assert_array_equal(scds.score_cxds_pairs(model, on, cell_with_itself), scds.score_cxds(model, on))
    summed = csr_matrix(input_a[0][:300] + input_a[0][300:])
    pairs = np.column_stack([np.arange(300), np.arange(300, 600)])
    np.testing.assert_allclose(
        scds.score_cxds_pairs(model, on, pairs), scds.score_cxds(model, scds.detected(summed, model.genes))
    )


def test_cxds_does_not_depend_on_how_the_matrix_is_stored(input_a):
    X = input_a[0]
    split = csr_matrix((np.repeat(X.data, 2) / 2, np.repeat(X.indices, 2), X.indptr * 2), shape=X.shape)
    split.data[0] += 1  # an uneven split
    split.data[1] -= 1
    before = split.data.copy()
    for threshold in (0, 1):
        ours, plain = (scds.score_cxds(*scds.fit_cxds(x, threshold=threshold)) for x in (split, X))
        np.testing.assert_allclose(ours, plain)
    np.testing.assert_array_equal(split.data, before)


def test_cxds_blocks_do_not_change_the_score(input_a, monkeypatch):
    whole = scds.score_cxds(*scds.fit_cxds(input_a[0]))
    monkeypatch.setattr(scds, "BLOCK", 7)
    np.testing.assert_allclose(scds.score_cxds(*scds.fit_cxds(input_a[0])), whole, rtol=1e-12)


def test_cxds_without_genes_says_so():
    with pytest.raises(NotApplicableError, match="3 x 0"):
        scds.fit_cxds(csr_matrix((3, 0)))
