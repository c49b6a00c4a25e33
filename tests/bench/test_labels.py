import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import confusion_matrix, f1_score

from bench.labels import ConfusionSums, compare_answers, hierarchical_consistency, macro_f1, mcnemar
from bench.stats import holm

RNG = np.random.default_rng(0)
TRUTH = RNG.choice(list("abcd"), size=400, p=[0.5, 0.3, 0.15, 0.05])
DONOR = np.repeat(list("pqrstuvw"), 50)


def answers(right, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(TRUTH)) < right, TRUTH, rng.choice(list("abcde"), size=len(TRUTH)))


def test_sums_are_the_margins_and_diagonal_of_the_confusion_matrix():
    given = answers(0.6, 1)
    sums = ConfusionSums(TRUTH, given)
    support, predicted, hits = (x[0] for x in sums(np.ones((1, 400), dtype=np.int64)))
    matrix = confusion_matrix(TRUTH, given, labels=sums.labels)
    np.testing.assert_array_equal(support, matrix.sum(axis=1))
    np.testing.assert_array_equal(predicted, matrix.sum(axis=0))
    np.testing.assert_array_equal(hits, np.diag(matrix))
    assert sums.labels == list("abcde")


def test_macro_f1_of_no_cells_is_undefined():
    sums = ConfusionSums(TRUTH, TRUTH)(np.array([[0] * 400, [1] * 400]))
    np.testing.assert_array_equal(macro_f1(*sums), [np.nan, 1.0])


def test_mcnemar_is_the_binomial_test_of_discordant_cells():
    a = np.array([True] * 9 + [False] * 5 + [True] * 20)
    b = np.array([False] * 9 + [True] * 2 + [False] * 3 + [True] * 20)
    assert mcnemar(a, b) == (9, 2, pytest.approx(2 * binom.cdf(2, 11, 0.5)))
    assert mcnemar(a, a) == (0, 0, 1.0)


def test_pairs_are_compared_on_the_same_resamples():
    given = {"good": answers(0.9, 1), "twin": answers(0.9, 1), "bad": answers(0.4, 2)}
    table = compare_answers(TRUTH, given, DONOR, np.random.default_rng(1), n_boot=300)
    assert list(zip(table.method_a, table.method_b, strict=True)) == [
        ("good", "twin"),
        ("good", "bad"),
        ("twin", "bad"),
    ]
    same, apart, _ = (row for _, row in table.iterrows())
    assert (same.difference, same.ci_low, same.ci_high, same.p, same.p_mcnemar) == (0, 0, 0, 1, 1)
    expected = [f1_score(TRUTH, given[m], labels=list("abcd"), average="macro") for m in ("good", "bad")]
    assert apart.difference == pytest.approx(expected[0] - expected[1])
    assert 0 < apart.ci_low < apart.difference < apart.ci_high
    assert apart.p == pytest.approx(2 / 301)
    np.testing.assert_allclose(table.p_holm, holm(table.p))
    np.testing.assert_allclose(table.p_mcnemar_holm, holm(table.p_mcnemar))
    assert apart.p_mcnemar_holm < 1e-6


def test_one_method_makes_no_pair():
    assert compare_answers(TRUTH, {"one": TRUTH}, DONOR, np.random.default_rng(0), n_boot=5).empty


def test_consistency_is_the_share_of_fine_answers_within_the_coarse_ones():
    parents = {"a1": "a", "a2": "a", "b1": "b"}
    coarse = np.array(["a", "a", "b", "none", "a"], dtype=object)
    fine = np.array(["a1", "b1", "b1", "a1", "none"], dtype=object)
    assert hierarchical_consistency(coarse, fine, parents, "none") == pytest.approx(2 / 3)
    assert np.isnan(hierarchical_consistency(coarse[3:], fine[3:], parents, "none"))
