"""Halves of the donors that share nobody: what is drawn, shown and scored, and who does not win."""

import itertools

import numpy as np
import pandas as pd
import pytest

from bench.data._builtin import CohortSource
from bench.data._paired_spec import PairedSpec
from bench.errors import NotApplicableError
from bench.normalise import log1p_cp10k
from bench.task import Seeds
from bench.tasks.deg import DegTask, evaluate_halves
from bench.tasks.deg import halves as halves_module
from bench.tasks.deg.design import designs
from bench.tasks.deg.find_markers import find_markers
from bench.tasks.deg.halves import donor_halves
from bench.tasks.deg.statistics import spearman_brown

TASK = DegTask()


def donors(n_case, n_control, n_both=0):
    """One cell a donor and condition."""
    names = [("AD", f"a{i}") for i in range(n_case)] + [("CN", f"c{i}") for i in range(n_control)]
    names += [(arm, f"p{i}") for i in range(n_both) for arm in ("AD", "CN")]
    return pd.DataFrame(names, columns=["condition", "donor"])


@pytest.fixture(scope="module")
def cohort():
    return CohortSource("pairs", PairedSpec(n_cells=1600, n_genes=250, n_donors=6, n_disease_genes=10, seed=1)).load()


@pytest.fixture(scope="module")
def scored(cohort):
    """Problem and scores of every control."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(halves_module, "N_FLOOR", 6)
        patch.setattr(evaluate_halves, "_JACKKNIFE_FLOOR", 2)
        problem = TASK.make_problem(cohort, "halves", Seeds())
        rng = np.random.default_rng(0)
        return problem, {c.name: TASK.score(problem, c.predict(problem, rng)) for c in TASK.controls}


def row(result, metric, unit="pooled"):
    return next(s for s in result.scores if (s.metric, s.unit) == (metric, unit))


@pytest.mark.parametrize(
    ("sizes", "n"), [((2, 2), 2), ((3, 3), 9), ((4, 4), 18), ((0, 0, 4), 3), ((0, 0, 5), 10), ((2, 2, 2), 4)]
)
def test_every_way_to_halve_the_donors_comes_once(sizes, n):
    obs = donors(*sizes)
    found = list(donor_halves(obs, "x"))
    everyone = frozenset(obs["donor"])
    assert len(found) == n == len(set(found) | {everyone - first for first in found}) / 2 or len(everyone) % 2
    assert len(set(found)) == n
    for first in found:
        for group in ("a", "c", "p"):
            inside = sum(name.startswith(group) for name in first)
            assert abs(2 * inside - len({d for d in everyone if d.startswith(group)})) <= 1


def test_halves_do_not_depend_on_which_condition_is_which():
    obs = donors(3, 4)
    turned = obs.assign(condition=obs["condition"].map({"AD": "CN", "CN": "AD"}))
    pairs = zip(donor_halves(obs, "x"), donor_halves(turned, "x"), strict=True)
    assert all(a == b for a, b in itertools.islice(pairs, 5))
    assert next(donor_halves(obs, "x")) != next(donor_halves(obs, "y"))


def test_a_method_sees_one_half_at_a_time(cohort):
    inputs = TASK.make_problem(cohort, "halves", Seeds()).inputs
    assert inputs.apart == "half"
    half = inputs.cells.obs["half"].to_numpy()
    part = inputs.part(np.flatnonzero(half == "1"))
    assert "half" not in part.cells.obs
    assert not part.apart
    assert set(part.cells.obs["donor"]).isdisjoint(inputs.cells.obs.loc[half == "2", "donor"])
    assert TASK.inputs_name("halves", Seeds()) == ""


def test_permutations_stay_within_halves_and_donors(cohort):
    problem = TASK.make_problem(cohort, "halves", Seeds())
    half = problem.solution.groupby("donor")["half"].first()
    assert half.value_counts().tolist() == [3, 3]
    for design in designs(problem.solution):
        samples = design.samples.assign(half=design.samples["donor"].map(half))
        for labels in design.null_samples:
            for _, part in samples.groupby("half"):
                pairs = [
                    tuple(labels[rows])
                    for rows in part.groupby("donor").indices.values()
                    for rows in [part.index[rows]]
                ]
                complete = [pair for pair in pairs if len(pair) == 2]
                assert set(complete) <= {(0, 1), (1, 0), (2, 2)}  # each donor has a case and a control, or is left out


def test_the_first_permutations_of_the_floor_vary_in_both_halves(cohort):
    problem = TASK.make_problem(cohort, "halves", Seeds())
    half = problem.solution.groupby("donor")["half"].first()
    for design in designs(problem.solution):
        of_half = design.samples["donor"].map(half).to_numpy()
        for value in ("1", "2"):
            ways = {labels[of_half == value].tobytes() for labels in design.null_samples}
            first = {labels[of_half == value].tobytes() for labels in design.null_samples[:6]}
            assert len(first) > 1 or len(ways) == 1


@pytest.mark.slow
def test_found_is_the_share_that_find_markers_gives_in_each_half(scored):
    problem, results = scored
    X, genes = log1p_cp10k(problem.inputs.cells.X), problem.inputs.cells.var.index
    table = results["raw"].tables["halves"].set_index("cell_type")
    half = problem.solution["half"].to_numpy()
    for design in designs(problem.solution):
        calls = []
        for value in ("1", "2"):
            rows = design.rows[half[design.rows] == value]
            case = (problem.solution["arm"].to_numpy() == "case")[rows]
            found = find_markers(X, genes, rows[case], rows[~case])
            called = found[(found["p_val_adj"] < 0.05) & (found["avg_log2FC"].abs() > 0.25)]
            calls.append(set(zip(called["gene"], np.sign(called["avg_log2FC"]), strict=True)))
        n = len(calls[0]) + len(calls[1])
        expected = 2 * len(calls[0] & calls[1]) / n if n else 0.0
        assert (table.loc[design.name, ["n_deg_1", "n_deg_2"]] == [len(c) for c in calls]).all()
        np.testing.assert_allclose(table.loc[design.name, "found"], expected)
    assert table["found"].max() > 0.3


def test_an_over_smoother_finds_more_again_but_not_above_chance(scored):
    _, results = scored
    raw, smooth = results["raw"], results["over_smoother"]
    assert row(smooth, "overlap_floor").value > 3 * row(raw, "overlap_floor").value
    assert row(raw, "overlap").value > row(smooth, "overlap").value + 0.05
    assert row(raw, "truth_fdr").value < 0.1 < 0.3 < row(smooth, "truth_fdr").value
    np.testing.assert_allclose(
        row(raw, "overlap").value, row(raw, "overlap_found").value - row(raw, "overlap_floor").value
    )
    assert row(results["oracle"], "overlap").value > 0.9
    assert abs(row(results["permuted_labels"], "overlap").value) < 0.05
    assert row(raw, "overlap_gain").value == 0


def test_the_ceiling_is_that_of_the_counts_for_all(scored):
    _, results = scored
    half = row(results["raw"], "overlap").value
    for result in results.values():
        np.testing.assert_allclose(row(result, "overlap_ceiling").value, 2 * half / (1 + half))


def test_the_headline_has_an_interval_over_donors(scored):
    _, results = scored
    found = row(results["raw"], "overlap")
    assert found.ci_low < found.value < found.ci_high
    assert "interval over donors" in found.detail
    for metric in ("overlap", "overlap_gain"):
        found = row(results["over_smoother"], metric)
        assert found.ci_low < found.value < found.ci_high
        np.testing.assert_allclose((found.ci_low + found.ci_high) / 2, found.value)  # its floor has fewer permutations


def test_spearman_brown_doubles_a_tests_length():
    """Two parallel halves that correlate by r: their sum correlates by 2 r / (1 + r) with another such sum."""
    rng = np.random.default_rng(0)
    trait = rng.normal(size=(200_000, 1))
    halves = trait + rng.normal(size=(200_000, 4))
    r = np.corrcoef(halves.T)[0, 1]
    whole = np.corrcoef(halves[:, :2].sum(axis=1), halves[:, 2:].sum(axis=1))[0, 1]
    np.testing.assert_allclose(spearman_brown(np.array([r]))[0], whole, atol=0.01)
    assert spearman_brown(np.array([-0.2, 1.0])).tolist() == [0.0, 1.0]


@pytest.mark.slow
def test_without_an_effect_halves_agree_by_chance_only():
    data = CohortSource("null", PairedSpec(n_cells=1200, n_genes=150, n_donors=6, n_disease_genes=0, seed=3)).load()
    data.adata.obs["condition"] = np.resize(["AD", "CN"], data.adata.n_obs)  # the curated genes, too
    problem = TASK.make_problem(data, "halves", Seeds())
    smooth = next(c for c in TASK.controls if c.name == "over_smoother")
    result = TASK.score(problem, smooth.predict(problem, np.random.default_rng(0)))
    assert row(result, "overlap_found").value > 0.03
    assert abs(row(result, "overlap").value) < 0.05


def test_one_donor_of_an_arm_cannot_be_halved(cohort):
    obs = cohort.adata.obs
    keep = ~((obs["condition"] == "AD") & (obs["donor"] != "D1"))
    data = type(cohort)(cohort.card, cohort.adata[keep.to_numpy()].copy())
    with pytest.raises(NotApplicableError, match="two halves that share nobody take two of each arm"):
        TASK.make_problem(data, "halves", Seeds())


def test_a_type_with_too_few_cells_in_a_half_is_left_out(scored):
    problem, results = scored
    left_out = results["raw"].tables["left_out"]
    tested = set(results["raw"].tables["halves"]["cell_type"])
    assert tested | set(left_out["cell_type"]) == set(problem.solution["cell_type"]) - {""}
    assert left_out["reason"].str.contains("3 of each are needed").all()
