from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from bench.dataset import Dataset
from bench.develop.leakage_audit import audit_one
from bench.errors import NotApplicableError
from bench.problem import Inputs, Problem
from bench.task import Seeds
from bench.tasks._shared.donors import held_out_sets
from bench.tasks.doublet import DoubletTask
from bench.tasks.doublet.problem import NOMINAL_RATE, donors_to_test

TASK = DoubletTask()
SIMULATED = ("simulated-paper", "simulated", "simulated-sum", "simulated-depth")


def _bytes(inputs: Inputs) -> bytes:
    blocks = [inputs.cells] + ([inputs.train] if inputs.train else [])
    parts = [
        (b.X.data.tobytes(), b.X.indices.tobytes(), b.X.indptr.tobytes(), b.obs.to_csv(), b.var.to_csv())
        for b in blocks
    ]
    return pickle.dumps((parts, dict(inputs.info)))


def _same(a: Problem, b: Problem) -> bool:
    return _bytes(a.inputs) == _bytes(b.inputs) and a.solution.equals(b.solution)


@pytest.mark.parametrize("track", ["experimental", *SIMULATED])
def test_donors_never_straddle_and_inputs_show_only_what_they_may(dataset: Dataset, track: str) -> None:
    problem = TASK.make_problem(dataset, track, Seeds())
    cells, train = problem.inputs.cells, problem.inputs.train
    assert train is not None
    assert not set(cells.obs.donor) & set(train.obs.donor)
    assert list(cells.obs.columns) == ["donor", "expected_doublet_rate"]
    assert list(train.obs.columns) == ["donor", "is_doublet", "cell_type"]
    assert problem.inputs.info == {}
    doublet_types = train.obs.cell_type[train.obs.is_doublet.to_numpy(bool)]
    assert set(doublet_types) == {"doublet"}
    assert set(train.obs.cell_type) == {"doublet", "neuron", "glia"}
    assert problem.solution.is_doublet.dtype == bool
    assert problem.solution.donor.equals(cells.obs.donor)


def test_experimental_keeps_the_counts_and_leaves_out_excluded_cells(dataset: Dataset) -> None:
    problem = TASK.make_problem(dataset, "experimental", Seeds())
    obs, cells = dataset.adata.obs, problem.inputs.cells
    used = cells.obs.index.append(problem.inputs.train.obs.index)  # type: ignore[union-attr]
    assert set(used) == set(obs.index[~obs.exclude])
    assert (dataset.adata[cells.obs.index].X != cells.X).nnz == 0
    assert problem.solution.is_doublet.equals(obs.is_doublet[cells.obs.index])
    assert f"left out: {obs.exclude.sum()} cells marked `exclude`" in problem.notes[0]
    truth = obs.loc[cells.obs.index]
    same = (truth.parent_type_a == truth.parent_type_b)[truth.is_doublet]
    assert problem.solution.homotypic[truth.is_doublet].astype(bool).equals(same)
    assert problem.solution.homotypic[~truth.is_doublet].isna().all()


def test_parents_stay_and_are_recorded(dataset: Dataset) -> None:
    problem = TASK.make_problem(dataset, "simulated-sum", Seeds())
    cells, solution = problem.inputs.cells, problem.solution
    doublets = solution[solution.is_doublet]
    position = {name: i for i, name in enumerate(cells.obs.index)}
    rows, a, b = ([position[n] for n in names] for names in (doublets.index, doublets.parent_a, doublets.parent_b))
    assert (cells.X[rows] != cells.X[a] + cells.X[b]).nnz == 0
    np.testing.assert_array_equal(cells.obs.donor.iloc[a], doublets.donor)
    types = dataset.adata.obs.cell_type
    same = types[doublets.parent_a].to_numpy() == types[doublets.parent_b].to_numpy()
    np.testing.assert_array_equal(doublets.homotypic.to_numpy(bool), same)
    singlets = solution.index[~solution.is_doublet]
    assert not dataset.adata.obs.loc[singlets, ["is_doublet", "exclude"]].to_numpy().any()
    per_donor = solution.groupby("donor").is_doublet.agg(["sum", "size"])
    assert (per_donor["sum"] == (per_donor["size"] - per_donor["sum"]) // 10).all()


def test_expected_rate_is_told_never_measured(make_dataset: Callable[..., Dataset]) -> None:
    def rate(dataset: Dataset, track: str) -> float:
        return float(TASK.make_problem(dataset, track, Seeds()).inputs.cells.obs.expected_doublet_rate.unique().item())

    donors = {"a": 50, "b": 50}
    assert rate(make_dataset(donors), "experimental") == NOMINAL_RATE
    assert rate(make_dataset(donors, expected=0.03), "experimental") == 0.03
    assert rate(make_dataset(donors, expected=0.0), "experimental") == 0.0
    assert rate(make_dataset(donors, expected=0.03), "simulated") == pytest.approx(0.1 / 1.1)


def test_simulated_problems_have_the_same_parents_and_cells_across_modes(dataset: Dataset) -> None:
    solutions = [TASK.make_problem(dataset, track, Seeds()).solution for track in SIMULATED]
    for other in solutions[1:]:
        pd.testing.assert_frame_equal(solutions[0], other)


def test_the_papers_doublets_have_the_genes_of_both_cells_and_half_counts(dataset: Dataset) -> None:
    problem = TASK.make_problem(dataset, "simulated-paper", Seeds())
    cells, solution = problem.inputs.cells, problem.solution
    counts = dict(zip(cells.obs.index, cells.X.toarray(), strict=True))
    doublets = solution[solution.is_doublet]
    for name, a, b in zip(doublets.index, doublets.parent_a, doublets.parent_b, strict=True):
        np.testing.assert_array_equal(counts[name], (counts[a] + counts[b]) / 2)
    assert (cells.X.data % 1 == 0.5).any()
    singlets = cells.X[~solution.is_doublet.to_numpy(bool)]
    assert (singlets != dataset.adata[solution.index[~solution.is_doublet]].X).nnz == 0
    train = problem.inputs.train
    assert train is not None
    assert (train.X.data % 1 == 0.5).any()


def test_cells_with_few_genes_leave_the_papers_track_only(make_dataset: Callable[..., Dataset]) -> None:
    """By their genes once doublets are made, 200 of them being enough; they can still be parents."""
    full = make_dataset({f"d{i}": 60 for i in range(6)}, n_genes=400)
    X = full.adata.X.copy().tolil()
    few = np.arange(0, 360, 3)
    X[few, 150:] = 0
    X[1, :200] = 1
    X[1, 200:] = 0
    dataset = Dataset(full.card, AnnData(X.tocsr(), obs=full.adata.obs, var=full.adata.var))
    problem, other = (TASK.make_problem(dataset, track, Seeds()) for track in ("simulated-paper", "simulated"))
    cells = [problem.inputs.cells, problem.inputs.train]
    detected = np.concatenate([np.diff(block.X.indptr) for block in cells])  # type: ignore[union-attr]
    assert detected.min() >= 200
    named = {name for block in cells for name in block.obs.index}  # type: ignore[union-attr]
    everyone = {name for block in (other.inputs.cells, other.inputs.train) for name in block.obs.index}  # type: ignore[union-attr]
    left_out = everyone - named
    [note] = [n for n in map(str, problem.notes) if "detected genes" in n]
    assert f"{len(left_out):,} of {len(everyone):,} cells have fewer than 200 detected genes and are left out" in note
    assert not any("detected genes" in n for n in map(str, other.notes))
    usable = ~dataset.adata.obs[["exclude", "is_doublet"]].any(axis=1).to_numpy()
    assert {f"c{i}" for i in few if usable[i]} <= left_out
    parents = problem.solution[["parent_a", "parent_b"]].stack()
    assert parents.isin(list(left_out)).any()
    assert ("c1" in named) == usable[1]


def test_a_dataset_of_fewer_genes_than_the_filter_asks_for_keeps_its_cells(dataset: Dataset) -> None:
    notes = TASK.make_problem(dataset, "simulated-paper", Seeds()).notes
    assert any("the dataset has 60 genes, so all its cells stay" in note for note in map(str, notes))


def test_no_singlet_with_enough_genes_is_a_reason(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset({f"d{i}": 60 for i in range(4)}, n_genes=220)
    with pytest.raises(NotApplicableError, match="200 detected genes|no cell of the tested donors"):
        TASK.make_problem(dataset, "simulated-paper", Seeds())


@pytest.mark.parametrize("track", ["experimental", *SIMULATED])
def test_seeds_are_separate_axes_and_zero_is_a_seed(dataset: Dataset, track: str) -> None:
    base = TASK.make_problem(dataset, track, Seeds())
    assert _same(base, TASK.make_problem(dataset, track, Seeds()))
    assert _same(base, TASK.make_problem(dataset, track, Seeds(method=5)))
    assert _same(base, TASK.make_problem(dataset, track, Seeds(simulation=1))) == (track == "experimental")
    assert len({donors_to_test(dataset, split) for split in range(8)}) == 8
    assert donors_to_test(dataset, 0) == donors_to_test(dataset, 0)


@pytest.mark.parametrize("n_donors", range(2, 25))
def test_split_sizes_and_arms(make_dataset: Callable[..., Dataset], n_donors: int) -> None:
    dataset = make_dataset({f"d{i}": 4 for i in range(n_donors)}, n_genes=6)
    arm = dataset.adata.obs.drop_duplicates("donor").set_index("donor").condition
    for tested in islice(held_out_sets(dataset.adata.obs, dataset.card.digest), 4):
        assert 1 <= len(tested) <= n_donors - 1
        assert abs(len(tested) - 0.3 * n_donors) <= 1
        if n_donors >= 4:
            assert set(arm[list(tested)]) == set(arm.drop(list(tested))) == {"CN", "AD"}


@pytest.mark.parametrize("donors", [{"only": 60}, None])
def test_one_library_is_tested_whole(make_dataset: Callable[..., Dataset], donors: dict[str, int] | None) -> None:
    dataset = make_dataset(donors or {"x": 60}, drop=() if donors else ("donor",))
    problem = TASK.make_problem(dataset, "experimental", Seeds())
    assert problem.inputs.train is None
    assert set(problem.inputs.cells.obs.donor) == ({"only"} if donors else {"library"})
    assert len(problem.solution) == (~dataset.adata.obs.exclude).sum()
    assert any("nothing to train on" in note for note in map(str, problem.notes))


def test_small_donors_yield_no_doublets_and_that_is_noted(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset({"a": 60, "b": 60, "tiny": 5})
    notes = TASK.make_problem(dataset, "simulated", Seeds()).notes
    assert any("1 donors with fewer than 10 cells" in note for note in map(str, notes))
    with pytest.raises(NotApplicableError, match="no donor has 10 singlets"):
        TASK.make_problem(make_dataset({"a": 6, "b": 6}), "simulated", Seeds())


def test_datasets_without_labels_can_be_simulated(make_dataset: Callable[..., Dataset]) -> None:
    drop = ("is_doublet", "exclude", "cell_type", "parent_type_a", "parent_type_b", "condition")
    problem = TASK.make_problem(make_dataset({"a": 40, "b": 40}, truth="none", drop=drop), "simulated", Seeds())
    assert problem.solution.is_doublet.sum() == 4
    assert problem.solution.homotypic.isna().all()
    assert any("not labelled" in note for note in map(str, problem.notes))


def test_why_not_says_why(make_dataset: Callable[..., Dataset]) -> None:
    unlabelled = make_dataset({"a": 40}, truth="none", drop=("is_doublet",))
    assert "no is_doublet" in (TASK.why_not(unlabelled.card, "experimental") or "")
    with pytest.raises(NotApplicableError, match="no is_doublet"):
        TASK.make_problem(unlabelled, "experimental", Seeds())
    computed = make_dataset({"a": 40}, truth="computational")
    assert "computational" in (TASK.why_not(computed.card, "experimental") or "")
    generated = make_dataset({"a": 40}, truth="generative")
    assert TASK.why_not(generated.card, "experimental") is None
    assert "too few" in (TASK.why_not(computed.card, "invivo") or "")
    assert all(TASK.why_not(make_dataset({"a": 60}).card, track) is None for track in TASK.tracks)


@pytest.mark.parametrize(("truth", "track"), [("experimental", "experimental"), ("computational", "invivo")])
def test_scrambled_truth_leaves_the_inputs_byte_identical(
    make_dataset: Callable[..., Dataset], truth: str, track: str
) -> None:
    dataset = make_dataset({f"d{i}": 40 for i in range(5)}, truth=truth)
    before = dataset.adata.obs.copy()
    scrambled = TASK.scramble(dataset, track, Seeds(split=2), np.random.default_rng(0))
    assert scrambled is not None
    problem, blind = (TASK.make_problem(d, track, Seeds(split=2)) for d in (dataset, scrambled))
    assert _bytes(problem.inputs) == _bytes(blind.inputs)
    changed = problem.solution.is_doublet != blind.solution.is_doublet
    assert 0.3 < changed.mean() < 0.7
    # Scrambling for another split would reach the training labels, and the audit would see it.
    split = next(i for i in range(20) if donors_to_test(dataset, i) != donors_to_test(dataset, 2))
    other = TASK.make_problem(scrambled, track, Seeds(split=split))
    assert _bytes(other.inputs) != _bytes(TASK.make_problem(dataset, track, Seeds(split=split)).inputs)
    pd.testing.assert_frame_equal(dataset.adata.obs, before)


@pytest.mark.parametrize("track", SIMULATED)
def test_simulated_truth_cannot_be_scrambled(dataset: Dataset, track: str) -> None:
    assert TASK.scramble(dataset, track, Seeds(), np.random.default_rng(0)) is None


def test_categorical_columns_and_numeric_donors(dataset: Dataset) -> None:
    obs = dataset.adata.obs.copy()
    obs["donor"] = pd.Categorical(obs.donor.str[1:].astype(int))
    obs["cell_type"] = obs.cell_type.astype("category")
    again = Dataset(dataset.card, AnnData(X=dataset.adata.X, obs=obs, var=dataset.adata.var))
    for track in ("experimental", "simulated"):
        problem = TASK.make_problem(again, track, Seeds())
        assert set(problem.solution.donor) < set("012345")


def test_tested_donors_without_a_usable_cell_are_refused(dataset: Dataset) -> None:
    obs = dataset.adata.obs.copy()
    obs["exclude"] |= obs.donor.isin(donors_to_test(dataset, 0))
    emptied = Dataset(dataset.card, AnnData(X=dataset.adata.X, obs=obs, var=dataset.adata.var))
    with pytest.raises(NotApplicableError, match="no cell of the tested donors"):
        TASK.make_problem(emptied, "experimental", Seeds())


@pytest.mark.parametrize("track", ["experimental", *SIMULATED])
def test_the_leakage_audit_passes(dataset: Dataset, track: str) -> None:
    finding = audit_one(TASK, dataset, track, Seeds())
    assert (finding.status, finding.detail) == ("pass", "")


@pytest.mark.parametrize(("track", "expected", "told"), [
    ("experimental", None, "the nominal 8.0%"),
    ("experimental", 0.05, "expects, 5.0%"),
    ("simulated", 0.05, "the rate of the simulation, 9.1%"),
])  # fmt: skip
def test_notes_say_how_many_doublets_are_tested_and_what_rate_methods_are_told(
    make_dataset: Callable[..., Dataset], track: str, expected: float | None, told: str
) -> None:
    problem = TASK.make_problem(make_dataset({f"d{i}": 60 for i in range(4)}, expected=expected), track, Seeds())
    truth = problem.solution.is_doublet
    assert any(f"{truth.sum()} of {len(truth)} tested cells are doublets" in note for note in map(str, problem.notes))
    assert any(told in note for note in map(str, problem.notes))
    rate = {"experimental": expected or 0.08, "simulated": 0.1 / 1.1}[track]
    assert problem.inputs.cells.obs.expected_doublet_rate.unique() == pytest.approx([rate])


def test_tiny_donors_train_but_are_not_tested(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset({"a": 80, "tiny": 12, "b": 80, "c": 80, "small": 49})
    sets = list(held_out_sets(dataset.adata.obs, dataset.card.digest))
    assert sets
    assert not set.union(*map(set, sets)) & {"tiny", "small"}
    problem = TASK.make_problem(dataset, "experimental", Seeds())
    assert any("fewer than 50 cells are not tested: small, tiny" in note for note in map(str, problem.notes))
    assert problem.inputs.train is not None
    assert {"tiny", "small"} <= set(problem.inputs.train.obs["donor"])


def test_where_all_donors_are_tiny_they_are_tested_all_the_same(make_dataset: Callable[..., Dataset]) -> None:
    assert len(donors_to_test(make_dataset({"a": 12, "b": 12, "c": 12}), 0)) == 1


@pytest.mark.parametrize("track", SIMULATED)
def test_donors_too_small_for_a_single_doublet_are_not_applicable(
    make_dataset: Callable[..., Dataset], track: str
) -> None:
    dataset = make_dataset({"larger": 30} | {f"d{i}": 8 for i in range(5)})
    split = next(i for i in range(20) if "larger" not in donors_to_test(dataset, i))
    with pytest.raises(NotApplicableError, match="that one simulated doublet takes"):
        TASK.make_problem(dataset, track, Seeds(split=split))
