"""Tests of donors: against the packages called by hand and R's, and what these packages do that nobody guesses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from bench.errors import UnknownNameError
from bench.tasks.deg.donor_tests import DONOR_TESTS, adjusted_p, design_matrix, donor_test
from bench.tasks.deg.pseudobulk import summed

N_GENES, UP, DOWN = 120, slice(0, 10), slice(10, 20)
R = json.loads((Path(__file__).parent / "r_donor_tests.json").read_text())


@pytest.fixture(scope="module")
def sums():
    """Counts of six donors in both arms; donors differ in every gene, arms in twenty."""
    rng = np.random.default_rng(0)
    level = rng.gamma(2.0, 60.0, N_GENES) * np.exp(rng.normal(0, 0.5, (6, N_GENES)))
    change = np.ones(N_GENES)
    change[UP], change[DOWN] = 3.0, 1 / 3
    rows = [rng.poisson(level[d] * (change if case else 1.0)) for d in range(6) for case in (True, False)]
    samples = pd.DataFrame([(f"d{d}", case) for d in range(6) for case in (True, False)], columns=["donor", "case"])
    samples.index = samples["donor"] + np.where(samples["case"], ":case", ":control")
    return pd.DataFrame(rows, samples.index, [f"g{i}" for i in range(N_GENES)]), samples


@pytest.fixture(scope="module")
def tables(sums):
    return {name: test.table(*sums, paired=True) for name, test in DONOR_TESTS.items()}


@pytest.mark.parametrize("name", ["pydeseq2", "edgepython", "limma-voom"])
def test_changed_genes_are_called_with_their_sign(tables, name):
    direction = tables[name]["direction"].to_numpy()
    assert (direction[UP] == 1).all()
    assert (direction[DOWN] == -1).all()
    assert (direction[20:] != 0).sum() <= 5


@pytest.mark.parametrize("name", list(DONOR_TESTS))
def test_signs_are_of_the_case_whatever_the_arms_are_called_and_the_order_of_samples_is_nothing(sums, tables, name):
    counts, samples = sums
    order = np.random.default_rng(1).permutation(len(samples))
    again = DONOR_TESTS[name].table(counts.iloc[order], samples.iloc[order], paired=True)
    np.testing.assert_allclose(again["log2fc"], tables[name]["log2fc"], atol=5e-3)  # of an optimiser
    np.testing.assert_allclose(again["p_val"], tables[name]["p_val"], rtol=0.2, atol=1e-12)
    assert (tables[name]["log2fc"].to_numpy()[UP] > 0).all()


def test_samples_in_another_order_are_refused(sums):
    counts, samples = sums
    with pytest.raises(ValueError, match="the same rows in the same order"):
        DONOR_TESTS["edgepython"].table(counts, samples.iloc[::-1], paired=True)


@pytest.mark.parametrize("name", ["pydeseq2", "edgepython", "limma-voom"])
def test_donors_in_the_model_find_what_the_difference_between_people_hides(sums, tables, name):
    unpaired = DONOR_TESTS[name].table(*sums, paired=False)
    assert tables[name]["p_val"].iloc[:20].median() < 1e-3 * unpaired["p_val"].iloc[:20].median()


def test_edgepython_is_the_package_called_by_hand(sums, tables):
    import edgepython

    counts, samples = sums
    design = design_matrix(samples, paired=True)
    data = edgepython.calc_norm_factors(edgepython.make_dgelist(counts.to_numpy().T))
    found = edgepython.glm_ql_ftest(edgepython.glm_ql_fit(data, design), coef=6)["table"]
    np.testing.assert_array_equal(tables["edgepython"]["p_val"], found["PValue"])
    np.testing.assert_array_equal(tables["edgepython"]["log2fc"], found["logFC"])


def test_edgepythons_exact_test_takes_its_baseline_by_alphabet(sums):
    """The wrapper tests a coefficient; named so, the exact test would call what rises in cases falling."""
    import edgepython

    counts, samples = sums
    group = pd.Categorical(np.where(samples["case"], "AD", "CN"), categories=["CN", "AD"])
    data = edgepython.calc_norm_factors(edgepython.make_dgelist(counts.to_numpy().T, group=group))
    change = edgepython.exact_test(data, dispersion=0.1)["table"]["logFC"].to_numpy()
    assert (change[UP] < 0).all()


def test_top_table_without_a_coefficient_tests_the_intercept(sums, tables):
    import pylimma

    counts, samples = sums
    design = design_matrix(samples, paired=True)
    fit = pylimma.e_bayes(pylimma.lm_fit(pylimma.voom(counts.to_numpy().T.astype(float), design), design))
    untold = pylimma.top_table(fit, number=np.inf, sort_by="none")
    assert (untold["adj_p_value"] < 0.05).all()
    assert (tables["limma-voom"]["p_val_adj"].to_numpy()[20:] < 0.05).mean() < 0.1


def test_limma_voom_and_tmm_give_the_numbers_of_r(sums):
    import edgepython
    import pylimma

    counts, samples = sums
    y = counts.to_numpy().T
    design = design_matrix(samples, paired=True)
    data = edgepython.calc_norm_factors(edgepython.make_dgelist(y))
    np.testing.assert_allclose(data["samples"]["norm.factors"], R["norm_factors"], rtol=1e-6)
    sizes = (data["samples"]["lib.size"] * data["samples"]["norm.factors"]).to_numpy()
    # limma 3.54 has a fixed span; the package's default, and so the wrapper's, is that of later versions.
    voom = pylimma.voom(y.astype(float), design, lib_size=sizes, adaptive_span=False)
    found = pylimma.top_table(pylimma.e_bayes(pylimma.lm_fit(voom, design)), coef=6, number=np.inf, sort_by="none")
    np.testing.assert_allclose(found["log_fc"].iloc[:30], R["voom_log2fc"], rtol=1e-6)
    np.testing.assert_allclose(found["p_value"].iloc[:30], R["voom_p"], rtol=1e-4)


def test_the_wrappers_are_near_r(tables):
    """R's edgeR 3.40 estimates dispersions by gene, version 5, as the package, one for all."""
    for name, prefix in (("limma-voom", "voom"), ("edgepython", "ql")):
        np.testing.assert_allclose(tables[name]["log2fc"].iloc[:30], R[f"{prefix}_log2fc"], atol=0.05)
        assert stats.spearmanr(tables[name]["p_val"].iloc[:30], R[f"{prefix}_p"]).statistic > 0.97


@pytest.mark.parametrize("paired", [True, False])
def test_wilcoxons_test_is_scipys_on_log_counts_per_million(sums, paired):
    counts, samples = sums
    found = DONOR_TESTS["donor-wilcoxon"].table(counts, samples, paired)
    level = np.log2((counts + 0.5).div(counts.sum(axis=1) + 1, axis=0) * 1e6)
    case, control = (level[samples["case"] == arm]["g3"].to_numpy() for arm in (True, False))
    expected = stats.wilcoxon(case, control).pvalue if paired else stats.mannwhitneyu(case, control).pvalue
    np.testing.assert_allclose(found.set_index("gene").loc["g3", "p_val"], expected)
    assert found["p_val"].min() >= 2**-5 or not paired  # six pairs cannot say more


def test_adjusted_p_is_benjamini_and_hochbergs():
    p = np.array([0.01, np.nan, 0.02, 0.03, 0.5])
    np.testing.assert_allclose(adjusted_p(p), [0.04, np.nan, 0.04, 0.04, 0.5])


def cells(donor, case):
    counts = sparse.csr_matrix(np.full((len(donor), 3), 5, np.int32))
    return summed(counts, np.array(donor, dtype=object), np.array(case), pd.Index(list("xyz")))


def test_most_donors_in_both_arms_make_a_paired_design_and_the_others_are_left_out():
    donor = np.repeat(["a", "a", "b", "b", "c", "c", "d", "d", "e"], 10)
    case = np.repeat([1, 0, 1, 0, 1, 0, 1, 0, 1], 10).astype(bool)
    found = cells(donor, case)
    assert found.paired
    assert set(found.samples["donor"]) == set("abcd")
    assert found.note == "paired: left out, without 10 cells in both arms: e"
    assert not found.reason
    assert (found.counts.to_numpy() == 50).all()


def test_fewer_than_four_pairs_are_not_tested():
    found = cells(np.repeat(["a", "a", "b", "b"], 10), np.tile(np.repeat([True, False], 10), 2))
    assert found.reason == "paired design: 2 donors with 10 cells in both arms, 4 are needed"


def test_a_paired_study_stays_paired_where_few_samples_are_large():
    """Two donors with 10 cells in both arms, three in one: no test may take the two samples of a donor for two."""
    pairs = [("a", 10, 10), ("b", 10, 10), ("c", 10, 2), ("d", 2, 10), ("e", 10, 2)]
    donor = np.concatenate([np.repeat(name, n + m) for name, n, m in pairs])
    case = np.concatenate([np.repeat([True, False], [n, m]) for _, n, m in pairs])
    found = cells(donor, case)
    assert found.paired
    assert set(found.samples["donor"]) == {"a", "b"}
    assert found.reason == "paired design: 2 donors with 10 cells in both arms, 4 are needed"


def test_an_unknown_test_is_answered_by_those_there_are():
    with pytest.raises(UnknownNameError, match="limma"):
        donor_test("limma")


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert DONOR_TESTS["limma-voom"].missing == ("pylimma, edgepython not installed: pip install 'scmamba-bench[deg]'")
