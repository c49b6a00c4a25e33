from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bench.tasks.doublet.metrics import CURVE_POINTS, METRIC_NAMES, DoubletStatistic, n_calls, why_undefined


def _random_case(seed: int, n: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.2
    truth[:2] = True, False
    return truth, rng.integers(levels, size=n) / levels, rng.random(n) < 0.3


@pytest.mark.parametrize("levels", [3, 20, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_sklearn_on_tied_and_distinct_scores(seed: int, levels: int) -> None:
    truth, score, call = _random_case(seed, 150, levels)
    values = DoubletStatistic(truth, score, call).values()
    assert values["auroc"] == pytest.approx(metrics.roc_auc_score(truth, score), rel=1e-12)
    assert values["auprc"] == pytest.approx(metrics.average_precision_score(truth, score), rel=1e-12)
    assert values["precision"] == pytest.approx(metrics.precision_score(truth, call))
    assert values["recall"] == pytest.approx(metrics.recall_score(truth, call))
    assert values["tnr"] == pytest.approx(metrics.recall_score(~truth, ~call))
    assert values["f1"] == pytest.approx(metrics.f1_score(truth, call))
    assert values["called_fraction"] == pytest.approx(call.mean())


def _by_the_papers_code(truth: np.ndarray, score: np.ndarray, rate: float) -> list[float]:
    """Precision, recall, TNR and F1 of its identification rate, with numpy's quantile and scikit-learn."""
    call = score > np.quantile(score, 1 - rate)
    return [
        metrics.precision_score(truth, call, zero_division=np.nan),
        metrics.recall_score(truth, call),
        metrics.recall_score(~truth, ~call),
        metrics.f1_score(truth, call),
    ]


@pytest.mark.parametrize("levels", [1, 3, 20, 10**6])
@pytest.mark.parametrize("n", [2, 5, 6, 10, 11, 100, 101, 997])
def test_identification_rates_by_the_papers_rule(n: int, levels: int) -> None:
    for seed in range(5):
        truth, score, _ = _random_case(seed, n, levels)
        values = DoubletStatistic(truth, score).values()
        for rate in (0.1, 0.2, 0.4):
            found = [values[f"{metric}@{rate:.0%}-paper"] for metric in ("precision", "recall", "tnr", "f1")]
            np.testing.assert_allclose(found, _by_the_papers_code(truth, score, rate), atol=1e-15)


def test_the_papers_rule_calls_nobody_where_all_scores_are_equal_and_fewer_where_some_are() -> None:
    truth = np.arange(1000) < 90
    constant = DoubletStatistic(truth, np.ones(1000)).values()
    assert constant["f1@40%-paper"] == 0
    assert np.isnan(constant["precision@40%-paper"])
    assert constant["f1@40%"] == pytest.approx(2 * 36 / (400 + 90))
    # Half of the cells score 2, among them all doublets: the quantile is 2, and none is above it.
    values = DoubletStatistic(truth, np.where(np.arange(1000) < 500, 2.0, 1.0)).values()
    assert (values["recall@40%-paper"], values["recall@40%"]) == (0, pytest.approx(400 / 500))


def test_ties_at_the_cut_are_resolved_by_expectation_over_all_choices() -> None:
    truth = np.array([1, 0, 1, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    score = np.array([3, 2, 2, 2, 2, 2, 2, 1, 1, 0.0])
    values = DoubletStatistic(truth, score).values()
    tied = np.flatnonzero(score == 2)
    for rate, k in (("20%", 2), ("40%", 4), ("true", 3)):
        got = []
        for chosen in combinations(tied, k - 1):
            called = np.zeros(10, dtype=bool)
            called[[0, *chosen]] = True
            got.append(
                [
                    metrics.precision_score(truth, called),
                    metrics.recall_score(truth, called),
                    metrics.recall_score(~truth, ~called),
                    metrics.f1_score(truth, called),
                ]
            )
        expected = np.mean(got, axis=0)
        found = [values[f"{metric}@{rate}"] for metric in ("precision", "recall", "tnr", "f1")]
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(("rate", "total", "k"), [(0.1, 1000, 100), (0.15, 1000, 150), (0.005, 150, 1), (0.1, 4, 0)])
def test_number_of_calls_is_exact(rate: float, total: int, k: int) -> None:
    assert n_calls(rate, total) == k


def test_exactly_k_calls_where_the_papers_rule_is_off_by_one() -> None:
    # 1,000 distinct scores at 10 %: a strict threshold at the k-th score would call 99.
    truth = np.arange(1000) < 100
    values = DoubletStatistic(truth, -np.arange(1000.0)).values()
    assert values["recall@10%"] == values["precision@10%"] == 1.0
    # Ten tied levels of 100 cells at 15 %: 150 calls (a strict threshold makes 100 or 200), 50 of them from the second.
    truth = np.arange(1000) < 200
    identification = DoubletStatistic(truth, -(np.arange(1000) // 100).astype(float)).curves()[2]
    assert identification.y[identification.x.index(0.15)] == pytest.approx(2 * 150 / (150 + 200))


def test_no_call_at_a_small_rate_is_defined_but_for_precision() -> None:
    values = DoubletStatistic([True, False, False, False], [0.1, 0.2, 0.3, 0.4]).values()
    assert np.isnan(values["precision@10%"])
    assert (values["recall@10%"], values["tnr@10%"], values["f1@10%"]) == (0, 1, 0)


def test_all_scores_equal_is_chance() -> None:
    truth = np.arange(50) < 10
    values = DoubletStatistic(truth, np.ones(50)).values()
    assert values["auroc"] == pytest.approx(0.5)
    assert values["auprc"] == pytest.approx(0.2)
    for rate in ("10%", "20%", "40%", "true"):
        assert values[f"precision@{rate}"] == pytest.approx(0.2)


def test_perfect_and_inverted_orders() -> None:
    truth = np.arange(40) < 8
    best = DoubletStatistic(truth, truth.astype(float), truth).values()
    for metric in ("auprc", "auroc", "precision", "recall", "tnr", "f1", "f1@true", "recall@20%"):
        assert best[metric] == 1, metric
    worst = DoubletStatistic(truth, -truth.astype(float), ~truth).values()
    for metric in ("auroc", "precision", "recall", "tnr", "f1", "f1@true", "recall@20%"):
        assert worst[metric] == 0, metric


@pytest.mark.parametrize("truth", [[True] * 5, [False] * 5, []])
def test_one_class_is_undefined_with_a_reason(truth: list[bool]) -> None:
    truth_, call = np.array(truth, dtype=bool), np.ones(len(truth), dtype=bool)
    statistic = DoubletStatistic(truth_, np.arange(len(truth)), call)
    values = statistic.values()
    assert np.isnan(values["auprc"])
    assert np.isnan(values["auroc"])
    assert np.isnan(values["f1"]) == (not any(truth))
    assert np.isnan(values["tnr"]) == (all(truth) or not truth)
    assert why_undefined("auprc", truth_, call)
    assert statistic.curves() == []


def test_metrics_of_calls_are_undefined_without_calls() -> None:
    truth = np.arange(10) < 3
    values = DoubletStatistic(truth, np.arange(10)).values()
    assert [m for m in METRIC_NAMES if np.isnan(values[m])] == ["precision", "recall", "tnr", "f1", "called_fraction"]
    assert "scores only" in why_undefined("f1", truth, None)
    none_called = DoubletStatistic(truth, np.arange(10), np.zeros(10, bool)).values()
    assert np.isnan(none_called["precision"])
    assert (none_called["recall"], none_called["f1"], none_called["tnr"]) == (0, 0, 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5), st.booleans()), min_size=1, max_size=40), st.randoms())
@settings(max_examples=60, deadline=None)
def test_invariant_to_cell_order_and_monotone_transforms(cells: list[tuple[bool, int, bool]], random: object) -> None:
    def values(some: list[tuple[bool, int, bool]]) -> np.ndarray:
        truth, score, call = map(np.array, zip(*some, strict=True))
        return np.array(list(DoubletStatistic(truth, score, call).values().values()))

    shuffled = list(cells)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_allclose(values(shuffled), values(cells), atol=1e-12)
    stretched = [(truth, score**3 + 7 * score, call) for truth, score, call in cells]
    np.testing.assert_allclose(values(stretched), values(cells), atol=1e-12)


def test_weights_mean_repeated_cells() -> None:
    truth, score, call = _random_case(3, 80, 15)
    weights = np.random.default_rng(0).integers(4, size=(6, 80))
    fast = DoubletStatistic(truth, score, call)(weights)
    for row, w in zip(fast, weights, strict=True):
        again = DoubletStatistic(*(np.repeat(x, w) for x in (truth, score, call))).values()
        np.testing.assert_allclose(row, [again[m] for m in METRIC_NAMES])


def test_curves_are_short_and_exact_at_the_ends() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(20_000) < 0.1
    score = truth + rng.normal(size=20_000)
    pr, roc, identification = DoubletStatistic(truth, score).curves()
    assert max(len(pr.x), len(roc.x)) <= CURVE_POINTS
    assert (pr.x[-1], pr.y[-1]) == (1.0, pytest.approx(truth.mean()))
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(roc.x) >= 0)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(metrics.roc_auc_score(truth, score), abs=2e-3)
    at = dict(zip(identification.x, identification.y, strict=True))
    values = DoubletStatistic(truth, score).values()
    assert [at[0.1], at[0.2], at[0.4]] == [values["f1@10%"], values["f1@20%"], values["f1@40%"]]
    assert (len(at), min(at), max(at)) == (50, 0.01, 0.5)
