from __future__ import annotations

from itertools import combinations
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from bench import stats

few_examples = settings(max_examples=30, derandomize=True, deadline=None)
#: Values that are often equal, and sometimes missing.
tied = st.lists(st.sampled_from([-1.0, 0.0, 0.1, 0.1 + 1e-15, 0.25, 3.0, np.nan]), max_size=12)
p_values = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0, np.nan])), max_size=12)


def _mean(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (weights @ x / weights.sum(axis=1))[:, None]


def test_weights_are_donors_then_cells() -> None:
    groups = np.array(["b"] * 5 + ["a"] * 3 + ["b"] * 2 + ["c"] * 4)
    weights = np.concatenate(list(stats.donor_weights(groups, 400, np.random.default_rng(0))))
    assert weights.shape == (400, 14)
    sizes = {"a": 3, "b": 7, "c": 4}
    for name, size in sizes.items():
        times = weights[:, groups == name].sum(axis=1) / size
        # A donor is drawn a whole number of times, and brings its own number of cells each time.
        assert set(times) <= {0, 1, 2, 3}
        assert times.mean() == pytest.approx(1, abs=0.15)
    drawn = sum(weights[:, groups == name].sum(axis=1) / size for name, size in sizes.items())
    assert np.all(drawn == 3)
    assert len({tuple(w) for w in weights}) > 350


def test_every_cell_is_drawn_equally_often() -> None:
    weights = np.concatenate(
        list(stats.donor_weights(np.repeat([0, 1, 2], [2, 5, 9]), 20_000, np.random.default_rng(1)))
    )
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.05)


def test_bootstrap_equals_a_plain_loop_over_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    x, groups = rng.normal(size=60), rng.integers(4, size=60)
    fast = stats.donor_bootstrap(lambda w: _mean(w, x), groups, 50, np.random.default_rng(7))
    weights = np.concatenate(list(stats.donor_weights(groups, 50, np.random.default_rng(7))))
    slow = [np.mean([x[i] for i in range(60) for _ in range(w[i])]) for w in weights]
    np.testing.assert_allclose(fast[:, 0], slow)


def test_one_donor_resamples_cells_only_and_covers() -> None:
    x = np.random.default_rng(3).normal(size=400)
    draws = stats.donor_bootstrap(lambda w: _mean(w, x), ["only"] * 400, 1000, np.random.default_rng(0))
    (interval,) = stats.percentile_interval(draws)
    assert interval is not None
    theory = x.mean() + np.array([-1.96, 1.96]) * x.std() / 20
    np.testing.assert_allclose(interval, theory, atol=0.02)


def test_donor_effects_widen_the_interval() -> None:
    groups = np.repeat(np.arange(5), 100)
    x = np.random.default_rng(4).normal(size=500) + groups

    def width(by: np.ndarray) -> float:
        (interval,) = stats.percentile_interval(
            stats.donor_bootstrap(lambda w: _mean(w, x), by, 500, np.random.default_rng(0))
        )
        assert interval is not None
        return interval[1] - interval[0]

    assert width(groups) > 3 * width(np.zeros(500))


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.repeat([0, 1], 20)
    whole = np.concatenate(list(stats.donor_weights(groups, 9, np.random.default_rng(0))))
    monkeypatch.setattr(stats, "_CHUNK", 80)
    blocks = list(stats.donor_weights(groups, 9, np.random.default_rng(0)))
    assert [len(b) for b in blocks] == [2, 2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_interval_leaves_out_undefined_replicates() -> None:
    draws = np.column_stack([np.arange(101.0), np.full(101, np.nan), np.arange(101.0)])
    draws[:40, 2] = np.nan
    whole, none, part = stats.percentile_interval(draws)
    assert whole == pytest.approx((2.5, 97.5))
    assert none is None
    assert part == pytest.approx((41.5, 98.5))


@pytest.mark.parametrize("n", range(1, 9))
def test_power_floor_is_what_scipy_reaches(n: int) -> None:
    assert stats.power_floor(n) == pytest.approx(scipy_stats.wilcoxon(np.arange(1.0, n + 1), method="exact").pvalue)
    assert stats.wilcoxon_exact(np.arange(1.0, n + 1)) == pytest.approx(stats.power_floor(n))


def test_five_datasets_cannot_reach_significance() -> None:
    assert stats.power_floor(5) == 0.0625
    assert stats.power_floor(6) == 0.03125


def test_wilcoxon_with_ties_and_zeros_equals_enumeration() -> None:
    d = np.array([0.0, 1, 1, -1, 2, 3])
    used = d[d != 0]
    ranks = scipy_stats.rankdata(abs(used))
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(used))).reshape(len(used), -1)
    null = abs(ranks @ signs)
    assert stats.wilcoxon_exact(d) == pytest.approx(np.mean(null >= abs(ranks @ np.sign(used)) - 1e-9))
    assert stats.wilcoxon_exact([0, 0]) == 1
    assert np.isnan(stats.wilcoxon_exact([]))


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(stats.holm([0.9, 0.8]), [1, 1])
    assert len(stats.holm([])) == 0


@few_examples
@given(p=p_values, seed=st.integers(0, 99))
def test_holm_is_that_of_statsmodels_in_any_order(p: list[float], seed: int) -> None:
    values = np.array(p)
    adjusted = stats.holm(values)
    tested = ~np.isnan(values)
    np.testing.assert_array_equal(np.isnan(adjusted), ~tested)
    if tested.any():
        with mock.patch("gc.collect"):  # at each call: longer than all else
            expected = multipletests(values[tested], method="holm")[1]
        np.testing.assert_allclose(adjusted[tested], expected, rtol=1e-12)
    assert np.all((adjusted >= values) & (adjusted <= 1) | ~tested)
    rows = np.argsort(values, kind="stable")[: tested.sum()]
    assert np.all(np.diff(adjusted[rows]) >= 0)
    shuffled = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(stats.holm(values[shuffled]), adjusted[shuffled])


def test_paired_tests_table() -> None:
    table = pd.DataFrame(
        {f"ds{i}": [0.9 + i / 100, 0.5, np.nan if i == 0 else 0.7] for i in range(6)}, index=["good", "bad", "partial"]
    )
    tests = stats.paired_tests(table, np.random.default_rng(0)).set_index(["method_a", "method_b"])
    assert tests.n.to_dict() == {("good", "bad"): 6, ("good", "partial"): 5, ("bad", "partial"): 5}
    first = tests.loc[("good", "bad")]
    assert first.difference == pytest.approx(0.425)
    assert 0.40 <= first.ci_low < first.difference < first.ci_high <= 0.45
    assert first.p == first.p_floor == 0.03125
    assert first.p_holm == pytest.approx(3 * 0.03125)
    assert not tests.testable.any()
    again = stats.paired_tests(table, np.random.default_rng(0)).set_index(["method_a", "method_b"])
    pd.testing.assert_frame_equal(again, tests)


def test_paired_tests_without_shared_datasets() -> None:
    table = pd.DataFrame({"x": [1.0, np.nan], "y": [np.nan, 2.0]}, index=["a", "b"])
    (row,) = stats.paired_tests(table, np.random.default_rng(0)).to_dict("records")
    assert row["n"] == 0
    assert np.isnan(row["p"])
    assert stats.paired_tests(table.iloc[:1], np.random.default_rng(0)).empty


def test_ranks_show_ties() -> None:
    values = pd.Series({"a": 0.5, "b": 0.9, "c": 0.5, "d": np.nan, "e": 0.1})
    ranked = stats.rank_with_ties(values)
    assert ranked["rank"].drop("d").to_dict() == {"a": 2.5, "b": 1, "c": 2.5, "e": 4}
    assert ranked["tie_group"].drop("d").to_dict() == {"a": 2, "b": 1, "c": 2, "e": 3}
    assert ranked.loc["d"].isna().all()
    low = stats.rank_with_ties(values, higher_is_better=False)
    assert low["rank"].drop("d").to_dict() == {"a": 2.5, "b": 4, "c": 2.5, "e": 1}


@few_examples
@given(values=tied, higher_is_better=st.booleans())
def test_ranks_are_those_of_scipy(values: list[float], higher_is_better: bool) -> None:
    ranked = stats.rank_with_ties(pd.Series(values, dtype=float), higher_is_better=higher_is_better)
    cost = -np.array(values, dtype=float) if higher_is_better else np.array(values, dtype=float)
    expected = scipy_stats.rankdata(cost, nan_policy="omit")
    np.testing.assert_array_equal(ranked["rank"], expected)
    dense = scipy_stats.rankdata(cost, method="dense", nan_policy="omit")
    np.testing.assert_array_equal(ranked["tie_group"].astype(float), dense)


@few_examples
@given(
    rows=st.lists(st.tuples(*[st.sampled_from([0.0, 0.1, 0.3, np.nan])] * 3), min_size=4, max_size=8),
    tolerance=st.sampled_from([0.0, 0.15]),
    with_intervals=st.booleans(),
    seed=st.integers(0, 99),
)
def test_ranks_do_not_hang_on_the_order_of_the_methods(
    rows: list[tuple[float, float, float]], tolerance: float, with_intervals: bool, seed: int
) -> None:
    value, down, up = np.array(rows).T
    values = pd.Series(value, index=[f"m{i}" for i in range(len(rows))])
    intervals = pd.DataFrame({"ci_low": value - down, "ci_high": value + up}, index=values.index)
    given_intervals = intervals if with_intervals else None
    ranked = stats.rank_with_ties(values, tolerance=tolerance, intervals=given_intervals)
    shuffled = values.sample(frac=1, random_state=seed)
    again = stats.rank_with_ties(shuffled, tolerance=tolerance, intervals=given_intervals)
    pd.testing.assert_frame_equal(again.loc[values.index], ranked)
    defined = ranked.dropna()
    assert defined["rank"].sum() == len(defined) * (len(defined) + 1) / 2
    assert sorted(set(defined["tie_group"])) == list(range(1, defined["tie_group"].nunique() + 1))


def test_a_chain_of_small_steps_does_not_tie_its_ends() -> None:
    values = pd.Series({"a": 1.0, "b": 0.96, "c": 0.92, "d": 0.88})
    assert stats.rank_with_ties(values, tolerance=0.05)["tie_group"].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("sign", [1, -1])
def test_overlapping_intervals_tie(sign: int) -> None:
    values = pd.Series({"a": 0.9, "b": 0.8, "c": 0.5, "d": 0.5}) * sign
    bounds = [[0.75, 0.95], [0.7, 0.85], [0.4, 0.6], [np.nan, np.nan]]
    intervals = pd.DataFrame(np.sort(np.array(bounds) * sign), index=values.index, columns=["ci_low", "ci_high"])
    ranked = stats.rank_with_ties(values, higher_is_better=sign > 0, intervals=intervals)
    assert ranked["tie_group"].tolist() == [1, 1, 2, 2]
    assert ranked["rank"].tolist() == [1.5, 1.5, 3.5, 3.5]


def test_of_equal_values_the_wider_interval_ties_with_the_best_whatever_the_row() -> None:
    values = pd.Series({"exact": 0.5, "wide": 0.5, "best": 0.6})
    intervals = pd.DataFrame({"ci_low": [0.5, 0.4, 0.6], "ci_high": [0.5, 0.6, 0.6]}, index=values.index)
    for rows in (["exact", "wide", "best"], ["wide", "exact", "best"]):
        ranked = stats.rank_with_ties(values[rows], intervals=intervals)
        assert ranked["rank"].to_dict() == {"best": 1.5, "wide": 1.5, "exact": 3}


def test_failure_policies_differ_as_documented() -> None:
    table = pd.DataFrame(
        {"easy": [0.9, 0.8, 0.7], "hard": [np.nan, 0.2, 0.1], "odd": [np.nan, 0.3, np.nan]},
        index=["fragile", "sturdy", "poor"],
    )
    ranks = stats.ranks_under_policies(table, zero=pd.Series({"easy": 0.5, "hard": 0.15, "odd": 0.4}))
    mean = ranks.pivot(index="method", columns="policy", values="mean_rank")
    assert mean.loc["fragile"].to_dict() == pytest.approx(
        {"exclude": 1, "worst": (1 + 3 + 2.5) / 3, "zero": (1 + 2 + 1.5) / 3}
    )
    assert mean.loc["sturdy"].to_dict() == pytest.approx({"exclude": 4 / 3, "worst": 4 / 3, "zero": (2 + 1 + 3) / 3})
    best = ranks[ranks["rank"] == 1].set_index("policy")["method"].to_dict()
    assert best == {"exclude": "fragile", "worst": "sturdy", "zero": "fragile"}
    assert ranks.set_index(["policy", "method"]).loc[("exclude", "fragile"), ["n_datasets", "n_failed"]].tolist() == [
        1,
        2,
    ]


@few_examples
@given(
    columns=st.lists(
        st.lists(st.sampled_from([0.1, 0.2, 0.3, np.nan]), min_size=4, max_size=4), min_size=1, max_size=4
    ),
    higher_is_better=st.booleans(),
)
def test_mean_ranks_are_means_of_scipys_ranks(columns: list[list[float]], higher_is_better: bool) -> None:
    table = pd.DataFrame(np.array(columns).T, index=list("abcd"))
    sign = -1 if higher_is_better else 1
    filled = {"worst": table.fillna(sign * np.inf), "zero": table.fillna(0.2), "exclude": table}
    ranks = stats.ranks_under_policies(table, zero=0.2, higher_is_better=higher_is_better)
    for policy, of_policy in ranks.set_index("method").groupby("policy"):
        expected = scipy_stats.rankdata(sign * filled[policy], axis=0, nan_policy="omit")
        expected = pd.DataFrame(expected, index=table.index).mean(axis=1)
        pd.testing.assert_series_equal(of_policy["mean_rank"], expected, check_names=False)


def test_policies_respect_direction_and_total_failure() -> None:
    table = pd.DataFrame({"x": [1.0, 2.0, np.nan]}, index=["fast", "slow", "dead"])
    ranks = stats.ranks_under_policies(table, higher_is_better=False, zero=5.0).set_index(["policy", "method"])["rank"]
    assert ranks["worst"].to_dict() == ranks["zero"].to_dict() == {"fast": 1, "slow": 2, "dead": 3}
    assert np.isnan(ranks["exclude"]["dead"])
    with pytest.raises(ValueError, match="unknown failure policy"):
        stats.ranks_under_policies(table, policies=["forgive"])  # type: ignore[list-item]


def test_the_interval_of_trials_that_differ_by_nothing_is_their_own() -> None:
    assert stats.mean_interval([0.6, 0.6, 0.6], [0.5] * 3, [0.65] * 3) == pytest.approx((0.5, 0.65))
    assert stats.mean_interval([0.6], [0.61], [0.65]) == pytest.approx((0.61, 0.65))  # a bootstrap may be biased
    assert np.isnan(stats.mean_interval([0.6, 0.7], [0.5, np.nan], [0.7, np.nan])).all()


def test_intervals_of_several_means_are_those_of_each() -> None:
    rng = np.random.default_rng(2)
    values, low, high = rng.random((4, 5)), -rng.random((4, 5)), 1 + rng.random((4, 5))
    low[3, 1] = np.nan
    shares = [0.5, 1, 2, np.nan]
    each = list(map(stats.mean_interval, values, low, high))
    np.testing.assert_array_equal(np.transpose(stats.mean_interval(values, low, high)), each)
    each = list(map(stats.split_interval, values, shares))
    np.testing.assert_array_equal(np.transpose(stats.split_interval(values, shares)), each)
    assert np.isnan(each).any(axis=1).tolist() == [False, False, False, True]


def test_the_interval_of_seeds_without_sampling_error_is_students() -> None:
    seeds = np.array([0.50, 0.54, 0.55, 0.61])
    expected = scipy_stats.t.interval(0.95, 3, seeds.mean(), scipy_stats.sem(seeds))
    assert stats.mean_interval(seeds, seeds, seeds) == pytest.approx(expected, rel=1e-6)


def test_the_interval_of_a_mean_over_seeds_covers_the_truth() -> None:
    """Trials share the error of the tested cells (sd 0.05) and have one of their own (sd 0.08)."""
    rng = np.random.default_rng(0)
    covered, narrow = 0, 0
    for _ in range(4000):
        shared = rng.normal(0, 0.05)
        values = 0.6 + shared + rng.normal(0, 0.08, 5)
        low, high = stats.mean_interval(values, values - 1.96 * 0.05, values + 1.96 * 0.05)
        covered += low <= 0.6 <= high
        narrow += abs(values.mean() - 0.6) <= 1.96 * 0.05
    assert covered / 4000 == pytest.approx(0.95, abs=0.015)
    assert narrow / 4000 < 0.91  # what the mean of the bounds covers


def test_over_all_splits_the_corrected_variance_is_that_of_a_mean_over_donors() -> None:
    donors = np.random.default_rng(3).normal(0.7, 0.1, 7)
    subsets = [np.mean(chosen) for chosen in combinations(donors, 2)]
    low, high = stats.split_interval(subsets, 2 / 5)
    half = scipy_stats.t.ppf(0.975, len(subsets) - 1) * donors.std(ddof=1) / np.sqrt(7)
    # the population of subsets is complete: their variance has no degree of freedom to lose
    half *= np.sqrt(np.var(subsets, ddof=1) / np.var(subsets) * (1 / 21 + 2 / 5) / (2 / 5))
    assert (low, high) == pytest.approx((donors.mean() - half, donors.mean() + half), rel=1e-9)


def test_the_interval_over_splits_covers_a_mean_over_donors_where_students_does_not() -> None:
    rng = np.random.default_rng(5)
    covered = {"corrected": 0, "student": 0}
    for _ in range(3000):
        donors = rng.normal(0.5, 0.1, 10)
        splits = [donors[rng.permutation(10)[:3]].mean() for _ in range(10)]
        low, high = stats.split_interval(splits, 3 / 7)
        covered["corrected"] += low <= 0.5 <= high
        low, high = scipy_stats.t.interval(0.95, 9, np.mean(splits), scipy_stats.sem(splits))
        covered["student"] += low <= 0.5 <= high
    assert covered["corrected"] / 3000 > 0.93
    assert covered["student"] / 3000 < 0.85


def test_two_splits_have_no_interval() -> None:
    assert np.isnan(stats.split_interval([0.2, 0.9], 1.0)).all()
    assert stats.split_interval([0.5, 0.5, 0.5], 0.5) == pytest.approx((0.5, 0.5))
