"""The DEG task: what it shows and hides, its draws, and its numbers against others computed from scratch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse, stats

from bench.dataset import Dataset, DatasetCard
from bench.develop.leakage_audit import audit_one
from bench.errors import NotApplicableError
from bench.normalise import log1p_cp10k
from bench.task import Seeds
from bench.tasks.deg import DegTask, donor_tests, pseudobulk
from bench.tasks.deg import design as _deg_design
from bench.tasks.deg import problem as problem_module
from bench.tasks.deg.arms import arms_of
from bench.tasks.deg.compare import compare
from bench.tasks.deg.design import RATIOS, designs, donor_subsets, permuted_samples
from bench.tasks.deg.evaluate import evaluate
from bench.tasks.deg.find_markers import find_markers
from bench.tasks.deg.markers import markers
from bench.tasks.deg.mast.sums import group_sums
from bench.tasks.deg.statistics import corrected_p, donor_interval, paired_p

TASK = DegTask()
#: Tracks that compare subsets with the full data.
SUBSETS = ("subsample", "patients")
N_GENES = 60
#: Genes that the disease raises and lowers in the type A.
UP, DOWN = [3, 4, 5, 6], [10, 11, 12]


def study(per_donor: int = 40, n_donors: int = 3, *, seed: int = 0, **columns: object) -> Dataset:
    """Cells of the types A and B of as many case as control donors; the disease changes seven genes in A."""
    rng = np.random.default_rng(seed)
    n = 2 * n_donors * per_donor
    case = np.arange(n) < n // 2
    kind = np.where(np.arange(n) % 3 > 0, "A", "B")
    rate = np.full((n, N_GENES), 2.0)
    rate[:, : N_GENES // 2] *= np.where(kind == "A", 2.0, 0.5)[:, None]
    changed = np.flatnonzero(case & (kind == "A"))
    rate[np.ix_(changed, UP)] *= 4
    rate[np.ix_(changed, DOWN)] /= 4
    X = sparse.csr_matrix(rng.poisson(rate).astype(np.int32))
    donor = np.repeat([f"d{i}" for i in range(2 * n_donors)], per_donor)
    obs = pd.DataFrame(
        {"donor": donor, "condition": np.where(case, "AD", "CN"), "cell_type": kind}, index=[f"c{i}" for i in range(n)]
    )
    for name, values in columns.items():
        obs = obs.drop(columns=name) if values is None else obs.assign(**{name: values})
    genes = [f"g{i}" for i in range(N_GENES)]
    effects = pd.DataFrame({"ensembl": [genes[i] for i in UP + DOWN], "log2fc": [2.0] * len(UP) + [-2.0] * len(DOWN)})
    effects = effects.assign(arm="AD", cell_type="A")
    card = DatasetCard("tiny", "", f"{seed:064x}", frozenset(obs.columns), "none", n, N_GENES, 2 * n_donors)
    return Dataset(card, AnnData(X, obs=obs, var=pd.DataFrame(index=genes), uns={"disease_effects": effects}))


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch):
    monkeypatch.setattr(_deg_design, "N_PERMUTATIONS", 20)
    monkeypatch.setattr(_deg_design, "N_NULL", 6)


@pytest.fixture(scope="module")
def scored():
    """Problem and scores of every control, on half of the donors."""
    problem = TASK.make_problem(study(), "patients", Seeds())
    rng = np.random.default_rng(0)
    return problem, {c.name: TASK.score(problem, c.predict(problem, rng)) for c in TASK.controls}


def value(result, metric, unit="pooled"):
    return next(s.value for s in result.scores if (s.metric, s.unit) == (metric, unit))


def apart(track):
    """The column that says which cells a method sees at a time, itself shown to nobody."""
    return ["half"] if track == "halves" else []


@pytest.mark.parametrize("track", list(TASK.tracks))
def test_conditions_and_cell_types_are_not_shown(track):
    batch = np.resize(["b1", "b2"], 240)
    assert audit_one(TASK, study(batch=batch), track, Seeds()).status == "pass"
    problem = TASK.make_problem(study(batch=batch), track, Seeds())
    assert list(problem.inputs.cells.obs) == ["donor", "batch", *apart(track)]
    assert set(problem.inputs.cells.obs["donor"]) == {f"donor_{i}" for i in range(1, 7)}
    assert not problem.inputs.info
    assert problem.inputs.train is None


@pytest.mark.parametrize("track", list(TASK.tracks))
def test_batches_that_are_the_conditions_are_not_shown(track):
    """As in Kang's study, in which each donor's cells are in both arms, and each arm is a batch."""
    arm = np.where(np.arange(240) % 2, "AD", "CN")
    data = study(condition=arm, batch=np.where(arm == "AD", "chip AD", "chip CN"))
    problem = TASK.make_problem(data, track, Seeds())
    assert list(problem.inputs.cells.obs) == ["donor", *apart(track)]
    assert any("not shown the batches" in note for note in map(str, problem.notes))
    assert audit_one(TASK, data, track, Seeds()).status == "pass"


def test_the_numbers_of_donors_do_not_tell_their_arms():
    donor = np.repeat([f"AD{i}" if i < 8 else f"CN{i}" for i in range(16)], 15)
    shown = TASK.make_problem(study(donor=donor), "subsample", Seeds()).inputs.cells.obs["donor"]
    numbers = shown.drop_duplicates().str.removeprefix("donor_").astype(int)
    assert sorted(numbers) == list(range(1, 17))
    assert abs(stats.spearmanr(range(16), numbers).statistic) < 0.7


def test_donors_are_tested_once_for_all_tracks(monkeypatch):
    made, test = [], donor_tests.DONOR_TESTS["pydeseq2"]
    counted = replace(test, run=lambda *sums: made.append(sums) or test.run(*sums))
    monkeypatch.setattr(pseudobulk, "_RESULTS", {})
    monkeypatch.setitem(donor_tests.DONOR_TESTS, "pydeseq2", counted)
    first, second = (TASK.make_problem(study(), track, Seeds()).pseudobulk for track in SUBSETS)
    assert len(made) == 2  # of two cell types
    pd.testing.assert_frame_equal(first.table, second.table)
    assert len(TASK.make_problem(study(seed=1), "subsample", Seeds()).pseudobulk.table)
    assert len(made) == 4


def test_draws_have_their_sizes_and_do_not_depend_on_the_method():
    problem, again = (TASK.make_problem(study(), "subsample", Seeds()) for _ in range(2))
    assert problem.solution.equals(again.solution)
    other = TASK.make_problem(study(), "subsample", Seeds(split=1))
    assert not problem.solution["draws"].equals(other.solution["draws"])
    for design in designs(problem.solution):
        for level, ratio in enumerate(RATIOS, start=1):
            drawn = (design.draws > 0) & (design.draws <= level)
            assert (drawn.sum(axis=1) == round(ratio * len(design.rows))).all()
        assert (design.null_cells.sum(axis=1) == design.case.sum()).all()
        assert (design.null_samples.sum(axis=1) == 3).all()
        true = design.samples["case"].to_numpy()
        assert not any((labels == true).all() or (labels != true).all() for labels in design.null_samples.astype(bool))


def test_all_halves_of_the_papers_study_are_200():
    donors = {"case": [f"PD{i}" for i in range(5)], "control": [f"C{i}" for i in range(6)], "both": []}
    subsets, total = donor_subsets(donors, (0,))
    assert total == len(subsets) == len(set(subsets)) == 200
    assert {(sum(s.startswith("case") for s in subset), len(subset)) for subset in subsets} == {(3, 6)}
    donors = dict.fromkeys(("case", "control"), [str(i) for i in range(12)])
    many, total = donor_subsets({**donors, "both": []}, (0,))
    assert total == 924**2
    assert len(set(many)) == 200


def test_labels_permuted_among_donors_are_never_the_true_ones():
    case = np.array([True, True, False, False])
    found = permuted_samples(case, (0,)).astype(bool)
    assert len(found) == 2  # of 6 ways, without the true one and with one of each mirror pair
    assert not any((row == case).all() or (row != case).all() for row in found)
    assert len(permuted_samples(np.array([True, False]), (0,))) == 0


def test_permuted_labels_spread_the_true_cases_over_both_halves(monkeypatch):
    monkeypatch.setattr(_deg_design, "N_NULL", 50)
    case = np.arange(8) < 4
    found = permuted_samples(case, (0,)).astype(bool)
    assert len(found) == 18  # half of C(4, 2)^2: each comes with its mirror image
    assert (found[:, :4].sum(axis=1) == 2).all()
    assert (permuted_samples(np.arange(11) < 5, (0,))[:, :5].sum(axis=1) == 2).all()  # 2/5 and 3/6, not 3/5 and 2/6


def test_arms_of_a_donor_who_has_both_are_exchanged_with_each_other_only(monkeypatch):
    monkeypatch.setattr(_deg_design, "N_NULL", 50)
    donor, case = np.repeat(list("abcd"), 2).astype(object), np.tile([False, True], 4)
    found = permuted_samples(case, (0,), donor).astype(bool)
    assert len(found) == 3  # half of C(4, 2)
    assert (found.reshape(-1, 4, 2).sum(axis=2) == 1).all()
    assert ((found != case)[:, ::2].sum(axis=1) == 2).all()
    donor, case = np.array([*"aabb", *"cdef"], dtype=object), np.array([0, 1, 0, 1, 1, 1, 0, 0], dtype=bool)
    found = permuted_samples(case, (0,), donor).astype(bool)
    assert len(found) == 2 * 4 // 2
    assert (found[:, :4].reshape(-1, 2, 2).sum(axis=2) == 1).all()
    assert (found[:, 4:6].sum(axis=1) == 1).all()


def paired_study(n_donors, effect=1.0):
    """Each donor has cells in both arms; donors differ in every gene, arms in those of :data:`UP`, by a factor."""
    data = study(per_donor=80, n_donors=-(-n_donors // 2))
    donor = data.adata.obs["donor"].to_numpy()
    kept = data.adata[np.isin(donor, [f"d{i}" for i in range(n_donors)])].copy()
    rng = np.random.default_rng(7)
    rate = rng.gamma(2.0, 1.0, (n_donors, N_GENES))[pd.factorize(kept.obs["donor"])[0]]
    case = np.arange(kept.n_obs) % 2 == 0
    rate[np.ix_(case, UP)] *= effect
    kept.X = sparse.csr_matrix(rng.poisson(rate).astype(np.int32))
    kept.obs["condition"] = np.where(case, "AD", "CN")
    del kept.uns["disease_effects"]
    return replace(data, adata=kept)


def test_where_donors_have_both_arms_the_difference_between_donors_is_no_false_positive():
    problem = TASK.make_problem(paired_study(6), "subsample", Seeds())
    assert "paired design: 6 of 6 donors have cells in both arms" in problem.notes
    result = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)})
    assert value(result, "fpr_donors") < 0.05
    assert not any("EXCEEDS" in s.detail for s in result.scores if s.metric == "fpr_donors")


def test_of_an_odd_number_of_pairs_one_is_left_out_so_that_a_strong_effect_cancels(monkeypatch):
    monkeypatch.setattr(_deg_design, "N_NULL", 50)
    donor, case = np.repeat(list("abcde"), 2).astype(object), np.tile([False, True], 5)
    found = permuted_samples(case, (0,), donor)
    assert len(found) == 5 * 3  # who is left out, and half of C(4, 2)
    pairs = found.reshape(-1, 5, 2)
    assert ((pairs == 2).all(axis=2).sum(axis=1) == 1).all()
    assert ((pairs[..., 0] == 1) & (pairs[..., 1] == 0)).sum(axis=1).tolist() == [2] * 15


def test_with_five_pairs_and_a_strong_effect_shuffling_within_donors_finds_nothing_and_among_them_much(monkeypatch):
    def excess():
        null = TASK.make_problem(paired_study(5, effect=4.0), "patients", Seeds()).raw.null
        donors = null[null["kind"] == "donors"]
        return (donors["below_0.05"] / donors["n_tests"]).mean() - 0.05

    assert abs(excess()) < 0.05
    free = problem_module.permuted_samples
    monkeypatch.setattr(problem_module, "permuted_samples", lambda case, seed, donor: free(case, seed))
    assert excess() > 0.3


def test_halves_of_the_donors_keep_pairs_whole():
    problem = TASK.make_problem(paired_study(5), "patients", Seeds())
    assert any(
        note.startswith("3 of 5 donors with both arms, pairs kept whole, at a time: 10 subsets, all of them")
        for note in map(str, problem.notes)
    )
    for design in designs(problem.solution):
        first = np.unique(design.sample, return_index=True)[1]
        drawn = pd.DataFrame(design.draws[:, first].T > 0).groupby(design.samples["donor"]).sum()
        assert set(drawn.to_numpy().ravel()) == {0, 2}


@pytest.mark.parametrize("track", ["patients", "halves"])
def test_fewer_than_four_pairs_are_refused_with_the_reason(track):
    with pytest.raises(NotApplicableError, match="paired design: 3 of 3 donors have cells in both arms, 4 such pairs"):
        TASK.make_problem(paired_study(3), track, Seeds())


def test_a_pair_among_other_donors_is_no_paired_design():
    data = study()
    arm = data.adata.obs["condition"].to_numpy().copy()
    arm[:15] = "CN"  # of d0, of six donors
    problem = TASK.make_problem(study(condition=arm), "patients", Seeds())
    assert any(
        "1 of 1 donors with both arms, pairs kept whole and 1 of 2 case" in note for note in map(str, problem.notes)
    )


def test_too_few_donors_with_both_arms_have_no_false_positive_rate_and_say_why():
    problem = TASK.make_problem(paired_study(2), "subsample", Seeds())
    result = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)})
    rows = [s for s in result.scores if s.metric == "fpr_donors"]
    assert {s.unit for s in rows} == {"pooled", "type:A", "type:B"}
    assert all(np.isnan(s.value) and s.detail.startswith("paired design: 2 of 2 donors") for s in rows)
    assert any(
        note.startswith("no false-positive rate among donors for A, B: paired") for note in map(str, problem.notes)
    )
    assert set(result.tables["null"]["kind"]) == {"cells"}


def test_a_type_is_permuted_among_the_donors_who_have_it(monkeypatch):
    """B is of three donors only; of C, in which the fourth control is missing, no permutation is the true one."""
    donor = np.repeat([f"d{i}" for i in range(8)], 30)
    kind = np.array(["A", "B", "C"])[np.arange(240) % 3]
    kind[(kind == "B") & np.isin(donor, ["d0", "d1", "d2", "d5", "d6"])] = "A"
    kind[(kind == "C") & (donor == "d7")] = "A"
    problem = TASK.make_problem(study(donor=donor, cell_type=kind), "subsample", Seeds())
    found = {design.name: design for design in designs(problem.solution)}
    assert found["B"].null_samples.shape == (0, 3)
    assert found["C"].null_samples.shape == (6, 7)
    true = found["C"].samples["case"].to_numpy()
    assert not any((labels == true).all() for labels in found["C"].null_samples)
    result = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)})
    reason = "1 case and 2 control donors: too few to permute the condition (2 of each are needed)"
    rows = {s.unit: s for s in result.scores if s.metric == "fpr_donors"}
    assert rows["type:B"].detail == reason
    assert rows["pooled"].detail.endswith("mean over 2 of 3 cell types")
    np.testing.assert_allclose(rows["pooled"].value, (rows["type:A"].value + rows["type:C"].value) / 2)


def overlap_from_scratch(X, genes, case, control, full):
    """The definition, on tables of `find_markers`."""

    def calls(table, sign):
        hit = (table["p_val_adj"] < 0.05) & (sign * table["avg_log2FC"] > 0.25)
        return set(table.loc[hit, "gene"])

    table = find_markers(X, genes, case, control)
    found = {}
    for name, sign in (("up", 1), ("down", -1)):
        whole = calls(full, sign)
        found[name] = len(calls(table, sign) & whole) / len(whole) if whole else np.nan
    return found


@pytest.mark.parametrize("track", SUBSETS)
def test_overlap_is_that_of_find_markers_on_each_draw(track):
    problem = TASK.make_problem(study(), track, Seeds())
    X, genes = log1p_cp10k(problem.inputs.cells.X), problem.inputs.cells.var.index
    draws = problem.raw.draws
    for design in designs(problem.solution):
        full = find_markers(X, genes, design.rows[design.case], design.rows[~design.case])
        for draw in range(0, len(design.draws), 5):
            for level, ratio in enumerate(sorted(draws["ratio"].unique()), start=1):
                drawn = (design.draws[draw] > 0) & (design.draws[draw] <= level)
                case, control = (design.rows[drawn & (design.case == arm)] for arm in (True, False))
                mine = draws[
                    (draws["cell_type"] == design.name) & (draws["draw"] == draw) & (draws["ratio"] == ratio)
                ].set_index("direction")["overlap"]
                if min(len(case), len(control)) < 3:
                    assert mine.isna().all()
                    continue
                for direction, expected in overlap_from_scratch(X, genes, case, control, full).items():
                    np.testing.assert_allclose(mine[direction], expected, equal_nan=True)
    assert draws["overlap"].notna().any()


def test_the_table_of_the_full_data_is_that_of_find_markers(scored):
    problem, results = scored
    X, genes = log1p_cp10k(problem.inputs.cells.X), problem.inputs.cells.var.index
    table = results["raw"].tables["deg"]
    for design in designs(problem.solution):
        expected = find_markers(X, genes, design.rows[design.case], design.rows[~design.case])
        mine = table[table["cell_type"] == design.name].drop(columns=["cell_type", "replicate"])
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), expected, rtol=1e-9)


@pytest.mark.parametrize("track", SUBSETS)
def test_rows_read_from_disk_give_what_a_sparse_matrix_gives(track, tmp_path):
    problem = TASK.make_problem(study(per_donor=20), track, Seeds())
    X = log1p_cp10k(problem.inputs.cells.X)
    np.save(tmp_path / "x.npy", X.toarray())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    mine = evaluate(mapped, problem.solution, problem.inputs.cells.var.index)
    for name in ("deg", "draws", "jackknife", "null", "qq", "sizes"):
        pd.testing.assert_frame_equal(getattr(mine, name), getattr(problem.raw, name), rtol=1e-6)


def test_all_of_the_cells_overlap_with_themselves():
    data = study()
    X, case = log1p_cp10k(data.adata.X), (data.adata.obs["condition"] == "AD").to_numpy()
    sums = group_sums(X, sparse.csr_matrix(np.stack([case, ~case])))
    full = markers(sums.take(slice(0, 1)), sums.take(slice(1, 2)))
    assert full.deg(1).sum()
    same = compare(full, full).set_index("direction")
    assert (same.loc[["up", "both"], ["overlap", "jaccard", "precision"]] == 1).all(axis=None)
    np.testing.assert_allclose(same["rank_correlation"], 1)


def test_the_true_genes_are_found_and_lead(scored):
    problem, results = scored
    truth = results["raw"].tables["truth"].set_index(["cell_type", "direction"])
    assert truth.loc[("A", "up"), "n_true"] == len(UP)
    assert truth.loc[("A", "down"), "n_true"] == len(DOWN)
    assert truth.loc["B", "n_true"].eq(0).all()
    assert truth.loc[("A", "both"), "recall"] == 1
    first = results["raw"].tables["deg"].groupby("cell_type").head(7)
    assert set(first.loc[first["cell_type"] == "A", "gene"]) == {f"g{i}" for i in UP + DOWN}
    assert (problem.truth["log2fc"].getnnz(axis=1) > 0).sum() == 80


def test_controls_stand_where_they_should(scored):
    _, results = scored
    assert value(results["oracle"], "overlap") == 1
    assert value(results["oracle"], "truth_precision") == value(results["oracle"], "truth_recall") == 1
    assert value(results["over_smoother"], "overlap") > 0.5
    assert value(results["over_smoother"], "fpr_donors") > 0.2
    assert value(results["over_smoother"], "truth_precision") < 0.5
    assert value(results["permuted_labels"], "n_deg_full") <= 1
    assert value(results["raw"], "overlap_gain") == 0
    assert value(results["raw"], "fpr_cells") < 0.1
    marked = [s for s in results["over_smoother"].scores if s.metric == "fpr_donors" and "EXCEEDS" in s.detail]
    assert any(s.unit == "pooled" for s in marked)


def test_a_gain_says_on_which_cell_types_it_rests(scored):
    _, results = scored
    row = next(s for s in results["over_smoother"].scores if (s.metric, s.unit) == ("overlap_gain", "pooled"))
    table = results["over_smoother"].tables["overlap"].query("direction == 'both'").dropna(subset=["mean", "mean_raw"])
    assert list(table["cell_type"]) == ["A"]  # without imputation, B has no DEG
    assert row.n == 1
    assert row.detail.startswith("over the 1 of 2 cell types with DEGs in both; there the overlap is ")
    np.testing.assert_allclose(row.value, table["mean"].iloc[0] - table["mean_raw"].iloc[0])


def test_the_paired_test_counts_draws_that_have_both_overlaps():
    problem = TASK.make_problem(study(per_donor=8, seed=3), "subsample", Seeds())
    result = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)})
    draws = result.tables["draws"]
    both = draws.dropna(subset=["overlap", "overlap_raw"]).groupby(["cell_type", "ratio", "direction"]).size()
    table = result.tables["overlap"].set_index(["cell_type", "ratio", "direction"])
    assert table["n_both"].equals(both.reindex(table.index, fill_value=0).rename("n_both"))


@pytest.mark.parametrize("track", SUBSETS)
def test_a_curve_has_several_points(track):
    problem = TASK.make_problem(study(), track, Seeds())
    curves = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)}).curves
    assert [len(curve.x) for curve in curves] == ([len(RATIOS)] if track == "subsample" else [])


def test_a_donor_without_cells_of_a_type_does_not_take_the_other_types_out_of_the_mean():
    data = study()
    kind = np.where(data.adata.obs["donor"] == "d0", "A", data.adata.obs["cell_type"])  # d0 has no B
    problem = TASK.make_problem(study(cell_type=kind), "patients", Seeds())
    assert problem.raw.draws["ratio"].unique().tolist() == [4 / 6]
    result = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)})
    of_a = [s.value for s in result.scores if (s.metric, s.unit) == ("overlap", "type:A")]
    assert of_a == [value(result, "overlap")]  # B has no DEG
    assert "subsets" in result.tables


def test_an_undefined_overlap_is_missing_and_says_why(scored):
    _, results = scored
    row = next(s for s in results["raw"].scores if (s.metric, s.unit) == ("overlap", "type:B"))
    assert np.isnan(row.value)
    assert row.detail == "no DEG in the full data"
    left_out = results["raw"].tables["left_out"]
    assert left_out["reason"].str.contains("no DEG in the full data").any()


def test_a_type_with_two_cells_in_an_arm_is_left_out_and_listed():
    data = study()
    kind = data.adata.obs["cell_type"].to_numpy().copy()
    kind[:2] = "C"  # of the case arm
    kind[-9:] = "C"
    problem = TASK.make_problem(study(cell_type=kind), "subsample", Seeds())
    assert any("C (2 case and 9 control cells, 3 of each are needed)" in note for note in map(str, problem.notes))
    assert "C" not in set(problem.raw.sizes["cell_type"])


def test_nothing_to_test_says_so_for_each_type():
    kind = np.where(np.arange(240) < 120, "A", "B")
    with pytest.raises(NotApplicableError, match=r"A \(120 case and 0 control.*B \(0 case and 120 control"):
        TASK.make_problem(study(cell_type=kind), "subsample", Seeds())


def test_odd_genes_have_defined_results():
    data = study()
    X, case = data.adata.X.toarray(), (data.adata.obs["condition"] == "AD").to_numpy()
    X[:, 20] = 0  # nowhere
    X[:, 21] = 1  # everywhere
    X[:, 22] = np.where(case, 3, 0)  # in one arm only, and that in all of its cells
    X[:, 23] = np.where(case & (np.arange(len(case)) % 2 == 0), 3, 0)  # in some cells of one arm
    odd = AnnData(sparse.csr_matrix(X), obs=data.adata.obs, var=data.adata.var)
    problem = TASK.make_problem(Dataset(data.card, odd), "patients", Seeds())
    found = problem.raw.deg
    assert np.isfinite(found[["p_val", "avg_log2FC", "pct_1", "pct_2", "p_val_adj"]]).all(axis=None)
    assert {"g22", "g23"} <= set(found.loc[found["p_val_adj"] < 0.05, "gene"])
    assert "g20" not in set(found["gene"])


@pytest.mark.parametrize(
    ("names", "named", "expected"),
    [
        (["AD", "CN"], {}, ("AD", "CN")),
        (["stim", "Ctrl"], {}, ("stim", "Ctrl")),
        (["nigra", "cortex"], {}, ("nigra", "cortex")),
        (["AD", "healthy", "PD"], {}, ("AD", "healthy")),
        (["a", "b", "c"], {"control": "b"}, ("a", "b")),
        (["a", "b", "c"], {"control": "b", "case": "c"}, ("c", "b")),
        (["a", "b"], {"case": "a"}, ("a", "b")),
    ],
)
def test_arms(names, named, expected):
    data = study(condition=np.resize(names, 240), donor=np.repeat([f"d{i}" for i in range(6)], 40))
    arms = arms_of(replace(data, card=replace(data.card, **named)), [])
    assert (arms.case, arms.control) == expected


@pytest.mark.parametrize(
    ("names", "named", "said"),
    [
        (["a", "b", "c"], {}, "none of them has a control's name"),
        (["CN", "control", "AD"], {}, "2 of them have a control's name"),
        (["CN"], {}, "1 condition"),
        (["CN", "AD"], {"case": "PD"}, "no cell is of the condition 'PD'"),
        (["CN", "AD"], {"case": "CN", "control": "CN"}, "named as case and as control"),
    ],
)
def test_arms_that_cannot_be_told(names, named, said):
    data = study(condition=np.resize(names, 240))
    with pytest.raises(NotApplicableError, match=said):
        arms_of(replace(data, card=replace(data.card, **named)), [])


@pytest.mark.parametrize(("column", "track"), [("condition", "subsample"), ("donor", "patients")])
def test_a_missing_column_is_told(column, track):
    with pytest.raises(NotApplicableError, match=f"no {column} column"):
        TASK.make_problem(study(**{column: None}), track, Seeds())


def test_without_donors_the_cells_are_still_tested():
    problem = TASK.make_problem(study(donor=None), "subsample", Seeds())
    result = TASK.score(problem, {"expression": log1p_cp10k(problem.inputs.cells.X)})
    assert value(result, "overlap") > 0
    row = next(s for s in result.scores if (s.metric, s.unit) == ("fpr_donors", "pooled"))
    assert np.isnan(row.value)
    assert row.detail == "donors are not told apart"
    assert result.tables["overlap"]["diff_low"].isna().all()


def test_the_papers_test_and_its_correction():
    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(40) - 0.2
    np.testing.assert_allclose(paired_p(a - b), stats.ttest_rel(a, b).pvalue)
    assert corrected_p(a - b, 0.5) > paired_p(a - b)
    t = (a - b).mean() / ((a - b).std(ddof=1) * np.sqrt(1 / 40 + 1))
    np.testing.assert_allclose(corrected_p(a - b, 0.5), 2 * stats.t.sf(abs(t), 39))
    assert np.isnan(paired_p(np.zeros(5)))


def test_the_correction_is_right_for_a_mean_of_shared_cells():
    """Without a true difference the paper's test rejects far too often, the corrected one does not."""
    rng = np.random.default_rng(1)
    paper, corrected = [], []
    for _ in range(300):
        cells = rng.normal(size=60)
        draws = np.array([cells[rng.permutation(60)[:30]].mean() for _ in range(50)])
        paper.append(paired_p(draws) < 0.05)
        corrected.append(corrected_p(draws, 0.5) < 0.05)
    assert np.mean(paper) > 0.5
    assert np.mean(corrected) < 0.1


def test_the_donor_interval_of_a_mean_is_that_of_the_t_test():
    values = np.array([0.2, 0.5, 0.4, 0.9, 0.6])
    rows = [{"donor": "", "arm": "", "value": values.mean()}]
    rows += [{"donor": str(i), "arm": "both", "value": np.delete(values, i).mean()} for i in range(5)]
    low, high = donor_interval(pd.DataFrame(rows))
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    np.testing.assert_allclose((low, high), expected)


@pytest.mark.skipif(not os.environ.get("BENCH_DATA"), reason="needs BENCH_DATA")
def test_interferon_genes_lead_in_stimulated_blood_cells():
    from bench.plan.registry import Registry

    problem = TASK.make_problem(Registry().load("deg_kang_pbmc_ifnb_2donors"), "subsample", Seeds())
    assert any("compared: stim (case) with ctrl (control)" in note for note in map(str, problem.notes))
    symbol = problem.inputs.cells.var["symbol"]
    for _, table in problem.raw.deg.groupby("cell_type"):
        assert "ISG15" in set(symbol[table["gene"].head(5)])


@pytest.mark.skipif(not os.environ.get("BENCH_DATA"), reason="needs BENCH_DATA")
def test_48_nuclei_end_in_a_message_for_each_cell_type():
    from bench.plan.registry import Registry

    file = Path(os.environ["BENCH_DATA"]) / "grubman_GSE138852_AD_micro48.h5ad"
    data = Registry().load(file.stem)
    try:
        notes = TASK.make_problem(data, "subsample", Seeds()).notes
    except NotApplicableError as error:
        notes = (str(error),)
    assert any("case and" in note and "are needed" in note for note in map(str, notes))
