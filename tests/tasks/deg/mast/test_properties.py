"""The hurdle model, its prior and the rank-sum test against brute force on small random data with edge cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse, stats
from scipy.special import digamma, expit, gammaln, polygamma

from bench.errors import DataError, NotApplicableError
from bench.tasks.deg.find_markers import find_markers
from bench.tasks.deg.mast.prior import log_gamma, variance_prior, variance_priors
from bench.tasks.deg.mast.two_groups import group_sums, two_group_lrt
from bench.tasks.deg.mast.zlm import zlm
from bench.tasks.deg.wilcoxon import rank_sum_p


def expression(seed, n0, n1, genes=12):
    """Random values; the first seven genes are the edge cases."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.05, 0.95, genes)
    X = rng.gamma(3, 0.4, (n0 + n1, genes)) * (rng.random((n0 + n1, genes)) < share)
    X[:, 0] = 0
    X[:, 1] = rng.gamma(3, 0.4, n0 + n1) + 0.1
    X[:n0, 2] = 0
    X[n0:, 3] = 0
    X[:, 4] = np.where(np.arange(n0 + n1) < n0, 0, 1.5 + rng.random(n0 + n1))  # perfectly separating
    X[:, 5] = 0
    X[-1, 5] = 1.0
    X[:, 6] = 2.0  # one value everywhere
    return X


def penalised_deviance(y, design):
    """Deviance at the optimum of the likelihood with the Gaussian prior, by a general optimiser."""
    scale = np.array([1.0, *(np.ptp(x) if len(set(x)) == 2 else 2 * x.std(ddof=1) or 1.0 for x in design.T[1:])])
    mean = design.mean(axis=0)

    def loss(beta):
        eta = design @ beta
        prior = (mean @ beta / 10) ** 2 + ((beta * scale)[1:] ** 2).sum() / 2.5**2
        return (np.logaddexp(0, eta) - y * eta).sum() + prior / 2

    def gradient(beta):
        pull = mean * (mean @ beta) / 100
        pull[1:] += beta[1:] * scale[1:] ** 2 / 2.5**2
        return design.T @ (expit(design @ beta) - y) + pull

    best = optimize.minimize(loss, np.zeros(design.shape[1]), jac=gradient, method="BFGS", options={"gtol": 1e-9}).x
    eta = design @ best
    return 2 * (np.logaddexp(0, eta) - y * eta).sum(), best


def brute_lrt(X, design, columns, prior):
    """chi2 and df of both parts, gene by gene."""
    rows = []
    rest = np.delete(design, columns, axis=1)
    for x in X.T:
        on = x > 0
        if not on.any():
            rows.append((0.0, 0, 0.0, 0))
            continue
        discrete = penalised_deviance(on, rest)[0] - penalised_deviance(on, design)[0]
        variance, rank = [], []
        for D in (rest, design):
            beta, _, r, _ = np.linalg.lstsq(D[on], x[on], rcond=1e-10)
            rss = ((x[on] - D[on] @ beta) ** 2).sum()
            variance.append((rss + prior[0] * prior[1]) / (on.sum() + prior[1]))
            rank.append(r)
        testable = on.sum() - rank[1] > 1 and rank[1] > rank[0]
        change = on.sum() * np.log(variance[0] / variance[1]) if testable else 0.0
        rows.append((discrete, len(columns), change, rank[1] - rank[0] if testable else 0))
    return np.array(rows).T


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 40))
def test_two_groups_equal_brute_force(seed, n0, n1):
    X = expression(seed, n0, n1)
    is_case = np.arange(n0 + n1) >= n0
    sums = group_sums(sparse.csr_matrix(X), sparse.csr_matrix(np.array([~is_case, is_case], dtype=float)))
    ours = two_group_lrt(sums, [1], [0], prior=(0.5, 6.0))
    design = np.column_stack([np.ones(n0 + n1), is_case])
    discrete, df_discrete, continuous, df_continuous = brute_lrt(X, design, [1], (0.5, 6.0))
    np.testing.assert_allclose(ours["chi2_discrete"][0], discrete, atol=2e-4, rtol=1e-5)
    np.testing.assert_allclose(ours["chi2_continuous"][0], continuous, atol=1e-8, rtol=1e-8)
    np.testing.assert_array_equal(ours["df_discrete"][0], df_discrete)
    np.testing.assert_array_equal(ours["df_continuous"][0], df_continuous)
    p = np.where(ours["df"] > 0, stats.chi2.sf(ours["chi2"], np.maximum(ours["df"], 1)), 1)
    np.testing.assert_allclose(ours["p"], p, rtol=1e-10)
    assert ours["p"][0, 0] == 1
    assert np.isfinite(ours["p"]).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(6, 40))
def test_designs_equal_brute_force_and_the_two_group_form(seed, n0, n1):
    X = expression(seed, n0, n1)
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {
            "case": (np.arange(n0 + n1) >= n0).astype(float),
            "age": rng.normal(50, 10, n0 + n1),
            "batch": rng.permutation(np.resize(["a", "b", "c"], n0 + n1)),
        }
    )
    fit = zlm(X, obs, "~ case + age + batch", prior=(0.5, 6.0))
    for term in "case", "batch":
        columns = list(fit.terms[term])
        discrete, df_discrete, continuous, df_continuous = brute_lrt(X, fit.design, columns, (0.5, 6.0))
        ours = fit.lrt(term)
        np.testing.assert_allclose(ours["chi2_discrete"], discrete, atol=2e-4, rtol=1e-5)
        np.testing.assert_allclose(ours["chi2_continuous"], continuous, atol=1e-7, rtol=1e-7)
        np.testing.assert_array_equal(ours["df_discrete"], df_discrete)
        np.testing.assert_array_equal(ours["df_continuous"], df_continuous)
    one = zlm(X, obs, "~ case", prior=(0.5, 6.0))
    groups = sparse.csr_matrix(np.array([obs["case"] == 0, obs["case"] == 1], dtype=float))
    two = two_group_lrt(group_sums(X, groups), [1], [0], prior=(0.5, 6.0))
    for name, values in {**one.lrt("case"), **one.log_fold_change("case")}.items():
        np.testing.assert_allclose(values, two[name][0], rtol=1e-7, atol=1e-9, err_msg=name)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 20), st.floats(0.05, 5), st.integers(20, 300))
def test_no_prior_is_more_likely(seed, a, b, genes):
    rng = np.random.default_rng(seed)
    r = rng.integers(0, 60, genes).astype(float)
    s = r * stats.chi2.rvs(np.maximum(r, 1), random_state=rng) / np.maximum(r, 1)
    s *= b / stats.gamma.rvs(a, size=genes, random_state=rng)
    use = (r > 0) & (s > 0)

    def loss(state):
        a, b = np.exp(state)
        h = r[use] / 2
        beta = gammaln(h) + gammaln(a) - gammaln(h + a)
        return (beta + h * np.log(b) + (h + a) * np.log1p(s[use] / (2 * b))).sum()

    v, d = variance_prior(r, s)
    ours = np.log([d / 2, v * d / 2])
    bounds = [(np.log(1e-3), np.log(1e8))] * 2
    starts = [(0.0, 0.0), (np.log(a), np.log(b)), (2.0, -2.0)]
    best = min(optimize.minimize(loss, x, method="L-BFGS-B", bounds=bounds).fun for x in starts)
    assert loss(ours) <= best + 1e-6 * abs(best)


def test_permutations_in_one_call_equal_single_fits():
    """Exact, not approximate: sums of many overlapping subsamples give what each gives alone."""
    rng = np.random.default_rng(3)
    X = expression(3, 40, 50, genes=60)
    arms = np.arange(90) >= 40
    picks = [[rng.permutation(np.flatnonzero(arms == a))[: 5 + 2 * k] for a in (False, True)] for k in range(8)]
    indicator = np.zeros((16, 90))
    for k, (control, case) in enumerate(picks):
        indicator[2 * k, control] = indicator[2 * k + 1, case] = 1
    pairs = np.arange(8)
    for source in (sparse.csr_matrix(X), X):
        many = two_group_lrt(group_sums(source, sparse.csr_matrix(indicator)), 2 * pairs + 1, 2 * pairs)
        for k, (control, case) in enumerate(picks):
            rows = np.concatenate([control, case])
            obs = pd.DataFrame({"case": np.repeat([0.0, 1.0], [len(control), len(case)])})
            alone = zlm(X[rows], obs, "~ case").lrt("case")
            np.testing.assert_allclose(many["p"][k], alone["p"], rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 30), st.booleans())
def test_rank_sums_are_those_of_scipy(seed, n0, n1, tied):
    X = expression(seed, n0, n1)
    X = np.round(X, 0 if tied else 8)
    is_case = np.arange(n0 + n1) >= n0
    ours = rank_sum_p(sparse.csc_matrix(X), is_case)
    with np.errstate(invalid="ignore", divide="ignore"):
        theirs = stats.mannwhitneyu(X[is_case], X[~is_case], method="asymptotic", use_continuity=True).pvalue
    np.testing.assert_allclose(ours, np.where(np.ptp(X, axis=0) == 0, 1, theirs), rtol=1e-9)


def test_what_no_model_can_tell_apart_is_named():
    X = expression(5, 20, 20)
    donor = np.repeat(["a", "b", "c", "d"], 10)
    obs = pd.DataFrame({"donor": donor, "batch": np.repeat(["x", "y"], 20), "case": np.tile([0.0, 1.0], 20)})
    fit = zlm(X, obs, "~ case + donor + batch")
    assert fit.dropped == ("batch[T.y]",)
    reduced = zlm(X, obs, "~ case + donor")
    np.testing.assert_allclose(fit.lrt("case")["p"], reduced.lrt("case")["p"])
    with pytest.raises(DataError, match="'batch' cannot be estimated"):
        fit.lrt("batch")
    with pytest.raises(DataError, match="no term or coefficient 'age'"):
        fit.lrt("age")
    genes, rows = list("abcdefghijkl"), np.arange(40)
    table = find_markers(X, genes, rows[::2], rows[1::2], covariates=obs[["donor", "batch"]], seurat=5)
    assert table.attrs["dropped"] == ("batch",)
    with pytest.raises(DataError, match="determine which cells are case"):
        find_markers(X, genes, rows[:20], rows[20:], covariates=obs[["donor"]], seurat=5)


def test_missing_covariates_negative_values_and_small_groups_are_refused():
    X = expression(6, 10, 10)
    obs = pd.DataFrame({"age": [np.nan, *range(19)]})
    with pytest.raises(DataError, match="the design cannot be built"):
        zlm(X, obs, "~ age")
    with pytest.raises(DataError, match="negative expression"):
        zlm(X - 1, obs.fillna(0), "~ age")
    with pytest.raises(NotApplicableError, match="2 case cells"):
        find_markers(X, list("abcdefghijkl"), np.arange(2), np.arange(2, 20))
    with pytest.raises(ValueError, match="without cells"):
        two_group_lrt(group_sums(X, sparse.csr_matrix((2, 20))), [0], [1])


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e7))
def test_the_gamma_functions_are_those_of_scipy(z):
    np.testing.assert_allclose(log_gamma(z), [gammaln(z), digamma(z), polygamma(1, z)], rtol=1e-11, atol=1e-12)


def test_priors_of_many_sets_are_those_of_each():
    rng = np.random.default_rng(7)
    sizes = [40, 0, 1, 300]
    r = rng.integers(0, 30, sum(sizes)).astype(float)
    s = r * rng.gamma(2.0, 0.3, len(r))
    ends = np.cumsum([0, *sizes])
    alone = [variance_prior(r[a:b], s[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
    np.testing.assert_array_equal(variance_priors(ends, r, s), alone)
    assert alone[1] == (1.0, 2.0)


def test_the_order_of_cells_and_genes_and_the_side_of_the_arms_do_not_matter():
    X, rng = sparse.csr_matrix(expression(11, 30, 40)), np.random.default_rng(11)
    names = np.array(list("abcdefghijkl"))
    rows, genes = rng.permutation(70), rng.permutation(12)
    case, control = np.arange(30), np.arange(30, 70)
    options = {"min_pct": 0.0, "logfc_threshold": 0.0}
    table = find_markers(X, names, case, control, **options).set_index("gene")
    place = np.argsort(rows)  # where each cell went
    shuffled = find_markers(X[rows][:, genes], names[genes], place[case], place[control], **options).set_index("gene")
    pd.testing.assert_frame_equal(shuffled.loc[table.index], table, rtol=1e-9)
    swapped = find_markers(X, names, control, case, **options).set_index("gene").loc[table.index]
    np.testing.assert_allclose(swapped["p_val"], table["p_val"], rtol=1e-7)
    np.testing.assert_allclose(swapped["avg_log2FC"], -table["avg_log2FC"], atol=1e-12)
    np.testing.assert_array_equal(swapped[["pct_1", "pct_2"]], table[["pct_2", "pct_1"]])


def test_covariates_do_not_depend_on_their_names_or_units():
    X = expression(12, 30, 40)
    rng = np.random.default_rng(12)
    obs = pd.DataFrame({"age": rng.normal(50, 10, 70), "lab": rng.permutation(np.resize(["a", "b", "c"], 70))})
    case, control = np.arange(30), np.arange(30, 70)
    options = {"min_pct": 0.0, "logfc_threshold": 0.0}
    table = find_markers(X, np.arange(12), case, control, covariates=obs, **options)
    # Names that a formula would read, values in months; the first level stays the first, since it has no prior.
    other = pd.DataFrame({"lab name + 1": obs["lab"].map({"a": "(2)", "b": "x y", "c": "z"}), "~age": obs["age"] * 12})
    again = find_markers(X, np.arange(12), case, control, covariates=other, **options)
    np.testing.assert_allclose(again.set_index("gene").loc[table["gene"], "p_val"], table["p_val"], rtol=1e-6)
