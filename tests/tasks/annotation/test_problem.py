from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from bench.dataset import OBS_FIELDS, Dataset, DatasetCard
from bench.develop.leakage_audit import audit_one
from bench.errors import DataError, NotApplicableError
from bench.plan.keys import data_key
from bench.problem import Note
from bench.task import Seeds
from bench.tasks.annotation import AnnotationTask
from bench.tasks.doublet.problem import donors_to_test
from bench.testing import toy_dataset

TASK = AnnotationTask()
#: subcluster -> (cell type, subtype)
TREE = {
    "Exc_L2_1": ("Exc", "Exc_L2"),
    "Exc_L2_2": ("Exc", "Exc_L2"),
    "Exc_L5_1": ("Exc", "Exc_L5"),
    "Ast_A_1": ("Ast", "Ast_A"),
    "Ast_B_1": ("Ast", "Ast_B"),
    "OPC": ("OPC", "Unidentified"),
}


def _data(n_donors: int = 6, per_donor: int = 60, *, seed: int = 0, **columns: object) -> Dataset:
    """Cells of six subclusters in every donor; ``columns`` replace or add columns (None drops one)."""
    rng = np.random.default_rng(seed)
    n = n_donors * per_donor
    fine = np.array(list(TREE))[np.arange(n) % len(TREE)]
    obs = pd.DataFrame(
        {
            "donor": np.repeat([f"d{i}" for i in range(n_donors)], per_donor),
            "cell_type": [TREE[x][0] for x in fine],
            "subtype": [TREE[x][1] for x in fine],
            "subcluster": np.where(fine == "OPC", "Unidentified", fine),
        },
        index=[f"c{i}" for i in range(n)],
    )
    for name, values in columns.items():
        obs = obs.drop(columns=name) if values is None else obs.assign(**{name: values})
    X = sparse.csr_matrix(rng.poisson(1.0, (n, 12)).astype(np.int32))
    card = DatasetCard("tiny", "", f"{seed:064x}", frozenset(obs.columns), "none", n, 12, n_donors)
    assert set(obs) <= set(OBS_FIELDS)
    return Dataset(card, AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(12)])))


def _with(dataset: Dataset, column: str, rows: np.ndarray, value: object) -> Dataset:
    obs = dataset.adata.obs.copy()
    values = obs[column].astype(object).to_numpy().copy()
    values[rows] = value
    obs[column] = values
    return Dataset(dataset.card, AnnData(dataset.adata.X, obs=obs, var=dataset.adata.var))


def _note(notes: tuple[str | Note, ...], words: str) -> str:
    found = [note for note in map(str, notes) if words in note]
    assert found, f"no note says {words!r}: {notes}"
    return found[0]


def test_cells_that_the_paper_leaves_out_for_their_few_genes_stay_and_are_counted() -> None:
    data = _data()
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (360, 400)).astype(np.int32)).tolil()
    X[::4, 150:] = 0
    var = pd.DataFrame(index=[f"g{i}" for i in range(400)])
    wide = Dataset(data.card, AnnData(X.tocsr(), obs=data.adata.obs, var=var))
    problem = TASK.make_problem(wide, "celltype", Seeds())
    assert problem.inputs.train is not None
    assert len(problem.solution) + len(problem.inputs.train.obs) == 360
    assert "90 of 360 cells have fewer than 200 detected genes" in _note(problem.notes, "here they stay")
    assert not any("detected genes:" in note for note in map(str, TASK.make_problem(data, "celltype", Seeds()).notes))


@pytest.mark.parametrize(("track", "level"), [("celltype", "cell_type"), ("subtype", "subtype")])
def test_methods_see_training_labels_and_no_others(track: str, level: str) -> None:
    dataset = _data()
    problem = TASK.make_problem(dataset, track, Seeds())
    cells, train, info = problem.inputs.cells, problem.inputs.train, problem.inputs.info
    assert train is not None
    assert list(cells.obs) == ["donor"]
    assert list(train.obs) == ["donor", "label"]
    assert not set(cells.obs.donor) & set(train.obs.donor)
    assert info["classes"] == sorted(set(train.obs.label))
    assert info["level"] == level
    assert set(cells.obs.donor) == donors_to_test(dataset, 0)
    assert info["split"] == "donor"
    assert set(info["validation_donors"]) < set(train.obs.donor)  # type: ignore[arg-type]
    assert len(cells.obs) + len(train.obs) == dataset.adata.n_obs
    known = dataset.adata.obs.loc[problem.solution.index]
    divided = (known[level] != "Unidentified").to_numpy()
    assert (problem.solution.label[divided] == known[level][divided]).all()
    assert (problem.solution.label[~divided] == "OPC").all()
    assert (dataset.adata[cells.obs.index].X != cells.X).nnz == 0


def test_tracks_share_cells_and_know_their_parents() -> None:
    dataset = _data()
    problems = {track: TASK.make_problem(dataset, track, Seeds()) for track in ("celltype", "subtype", "subcluster")}
    fine = problems["subcluster"]
    assert all(p.solution.index.equals(fine.solution.index) for p in problems.values())
    assert list(fine.solution) == ["label", "donor", "seen", "cell_type", "subtype"]
    parents = fine.inputs.info["parents"]
    assert parents["cell_type"] == {name: kind for name, (kind, _) in TREE.items()}  # type: ignore[index,call-overload]
    assert parents["subtype"]["OPC"] == "OPC"  # type: ignore[index,call-overload]
    assert problems["celltype"].inputs.info["parents"] == {}
    assert problems["subtype"].solution.label.equals(fine.solution.subtype.rename("label"))
    _note(fine.notes, "not divided at the level of subtype, and kept under their own name: OPC")


@pytest.mark.parametrize("track", ["celltype", "subcluster", "subcluster-lodo"])
@pytest.mark.parametrize("donors", [1, 2, 6])
def test_inputs_do_not_depend_on_hidden_labels(track: str, donors: int) -> None:
    dataset = _with(_data(donors, 120), "subcluster", np.arange(0, 120 * donors, 17), "Unidentified")
    dataset = _with(dataset, "cell_type", np.arange(3, 120 * donors, 31), "Doublet")
    if donors == 1 and "lodo" in track:
        with pytest.raises(NotApplicableError, match="two donors"):
            TASK.make_problem(dataset, track, Seeds())
        return
    for split in range(2):
        finding = audit_one(TASK, dataset, track, Seeds(split=split))
        assert (finding.status, finding.detail) == ("pass", "")


def test_a_method_that_is_shown_hidden_labels_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.tasks.annotation import problem as _annotation_problem

    make = _annotation_problem.make_problem

    def leaky(*args: object) -> object:
        problem = make(*args)  # type: ignore[arg-type]
        problem.inputs.cells.obs["hint"] = problem.solution.label
        return problem

    monkeypatch.setattr(_annotation_problem, "make_problem", leaky)
    assert audit_one(TASK, _data(), "celltype", Seeds()).status == "leak"


def test_who_leaves_by_the_papers_rule() -> None:
    dataset = _data(is_doublet=np.arange(360) % 40 == 0, exclude=np.arange(360) % 50 == 1)
    out = {"Doublet": 5, "unidentified": 7, "Double_negative_Neuron": 8, "GNLY_CD44_myeloid_sub1": 9}
    for name, row in out.items():
        dataset = _with(dataset, "cell_type", np.array([row]), name)
    dataset = _with(dataset, "subtype", np.array([12, 20]), "doublet")
    for track, left in (("celltype", set(out.values())), ("subtype", {*out.values(), 12, 20})):
        problem = TASK.make_problem(dataset, track, Seeds())
        used = set(problem.solution.index) | set(problem.inputs.train.obs.index)  # type: ignore[union-attr]
        obs = dataset.adata.obs
        expected = obs.index[~(obs.is_doublet | obs.exclude)].drop([f"c{i}" for i in left])
        assert used == set(expected)
    assert _note(problem.notes, "known doublets").startswith("9 cells")
    assert "(Double_negative_Neuron, Doublet, GNLY_CD44_myeloid_sub1, unidentified)" in _note(
        problem.notes, "without a usable cell_type"
    )
    assert _note(problem.notes, "without a usable subtype (doublet)").startswith("2 cells")


def test_odd_labels_are_said_and_not_merged() -> None:
    dataset = _with(_data(), "cell_type", np.arange(0, 360, 24), "  Exc ")
    dataset = _with(dataset, "cell_type", np.arange(3, 360, 24), "ast.")
    dataset = _with(dataset, "cell_type", np.array([1, 2]), np.nan)
    problem = TASK.make_problem(dataset, "celltype", Seeds())
    assert problem.inputs.info["classes"] == ["Ast", "Exc", "OPC", "ast."]
    assert "15 cells" in _note(problem.notes, "white space")
    assert "'Ast' / 'ast.'" in _note(problem.notes, "may be one class, kept apart")
    assert _note(problem.notes, "without a usable cell_type").startswith("2 cells")


@pytest.mark.parametrize("word", ["(none)", "Unassigned", "[NA]", "unknown "])
def test_words_for_no_label_name_no_class(word: str) -> None:
    dataset = _with(_data(), "subcluster", np.array([0, 6]), word)
    problem = TASK.make_problem(dataset, "subcluster", Seeds())
    assert set(problem.inputs.info["classes"]) == set(TREE)  # type: ignore[arg-type]
    assert _note(problem.notes, "without a usable subcluster").startswith("2 cells")


def test_weak_labels_are_said_first() -> None:
    plain = _data()
    assert not [n for n in map(str, TASK.make_problem(plain, "celltype", Seeds()).notes) if "weak" in n]
    card = replace(plain.card, weak_labels="derived labels (weak): derived_cell_type")
    problem = TASK.make_problem(Dataset(card, plain.adata), "celltype", Seeds())
    assert problem.notes[0] == Note("derived labels (weak): derived_cell_type", "warning")
    assert problem.inputs.info["weak_labels"] == card.weak_labels
    assert data_key(card) != data_key(plain.card)


def test_levels_that_are_not_nested_are_said() -> None:
    dataset = _with(_data(), "subtype", np.arange(3, 360, 60), "Exc_L2")
    problem = TASK.make_problem(dataset, "subtype", Seeds())
    assert "Exc_L2" in _note(problem.notes, "WARNING subtype labels under more than one cell_type")
    assert problem.inputs.info["parents"]["cell_type"]["Exc_L2"] == "Exc"  # type: ignore[index,call-overload]


def test_rare_classes_are_said() -> None:
    dataset = _data()
    tested = sorted(donors_to_test(dataset, 0))
    train = sorted(set(dataset.adata.obs.donor) - set(tested))
    first = {d: int(np.flatnonzero(dataset.adata.obs.donor == d)[0]) for d in [*tested, *train]}
    dataset = _with(dataset, "cell_type", np.array([first[tested[0]]]), "Unseen")
    dataset = _with(dataset, "cell_type", np.array([first[train[0]]]), "Single")
    dataset = _with(dataset, "cell_type", first[train[1]] + np.arange(3), "Narrow")
    problem = TASK.make_problem(dataset, "celltype", Seeds())
    assert "Unseen (1)" in _note(problem.notes, "without any training cell")
    assert "Unseen" not in problem.inputs.info["classes"]  # type: ignore[operator]
    assert problem.solution.index[~problem.solution.seen].tolist() == [f"c{first[tested[0]]}"]
    assert "Narrow, Single" in _note(problem.notes, "no tested cell has")
    assert "one training cell: Single" in _note(problem.notes, "one training cell")
    assert _note(problem.notes, "one donor only").endswith("only: Narrow")


def test_one_condition_among_the_tested_is_said() -> None:
    dataset = _data()
    tested = donors_to_test(dataset, 0)
    assert not [n for n in map(str, TASK.make_problem(dataset, "celltype", Seeds()).notes) if "condition" in n]
    split = np.where(dataset.adata.obs.donor.isin(tested), "test", "train")
    arm = np.where(dataset.adata.obs.donor.isin([*tested, "d0"]), "AD", "CN")
    problem = TASK.make_problem(_data(condition=arm, split=split), "celltype", Seeds())
    assert "AD (of AD, CN)" in _note(problem.notes, "all tested donors are of one condition")


def test_genes_of_tested_cells_only_are_counted() -> None:
    dataset = _data()
    tested = dataset.adata.obs.donor.isin(donors_to_test(dataset, 0)).to_numpy()
    X = dataset.adata.X.toarray()
    X[~tested, :2] = 0
    new = Dataset(dataset.card, AnnData(sparse.csr_matrix(X), obs=dataset.adata.obs, var=dataset.adata.var))
    assert "WARNING 2 genes" in _note(TASK.make_problem(new, "celltype", Seeds()).notes, "in tested cells only")


@pytest.mark.parametrize("drop", [True, False])
def test_one_donor_falls_back_to_cells_stratified_and_flagged(drop: bool) -> None:
    dataset = _data(1, 200, donor=None) if drop else _data(1, 200)
    dataset = _with(dataset, "subcluster", np.array([0]), "Lonely")
    problem = TASK.make_problem(dataset, "subcluster", Seeds())
    train = problem.inputs.train
    assert train is not None
    assert problem.inputs.info["split"] == "cell"
    assert problem.inputs.info["validation_donors"] == []
    assert "scores are too good" in _note(problem.notes, "cell-level split")
    assert "Lonely" in set(train.obs.label)
    tested = problem.solution.label.value_counts()
    trained = train.obs.label.value_counts()
    for name in TREE:
        assert tested[name] == pytest.approx(0.3 * (tested[name] + trained[name]), abs=0.6)
    coarse = TASK.make_problem(dataset, "celltype", Seeds())
    assert coarse.solution.index.equals(problem.solution.index)
    assert not TASK.make_problem(dataset, "celltype", Seeds(split=1)).solution.index.equals(coarse.solution.index)


def test_the_datasets_own_split_is_used() -> None:
    role = np.repeat(["train", "Valid", "test", "train", "test", ""], 60)
    problem = TASK.make_problem(_data(split=role), "celltype", Seeds())
    assert set(problem.solution.donor) == {"d2", "d4"}
    assert set(problem.inputs.train.obs.donor) == {"d0", "d1", "d3"}  # type: ignore[union-attr]
    assert problem.inputs.info["validation_donors"] == ["d1"]
    assert "left out: 60 cells" in _note(problem.notes, "the split column says nothing")
    assert audit_one(TASK, _data(split=role), "subtype", Seeds()).status == "pass"


@pytest.mark.parametrize(
    ("role", "told"),
    [
        (["train", "test"] * 180, "donors stand on both sides"),
        (["train"] * 360, "does not have both"),
        (["a"] * 180 + ["test"] * 180, "values other than"),
    ],
)
def test_a_split_column_that_cannot_be_used_is_said(role: list[str], told: str) -> None:
    problem = TASK.make_problem(_data(split=role), "celltype", Seeds())
    assert told in _note(problem.notes, "split column is not used")
    assert set(problem.solution.donor) == donors_to_test(_data(), 0)


def test_the_papers_donors_are_tested_in_split_0() -> None:
    names = {f"d{i}": name for i, name in enumerate(["C1", "C4", "PD1", "PD3", "PD5", "C2"])}
    dataset = _data(donor=_data().adata.obs.donor.map(names).to_numpy())
    problem = TASK.make_problem(dataset, "celltype", Seeds())
    assert set(problem.solution.donor) == {"C4", "PD3"}
    assert "Smajic 2022" in _note(problem.notes, "the scMamba paper tests")
    splits = [set(TASK.make_problem(dataset, "celltype", Seeds(split=s)).solution.donor) for s in range(1, 6)]
    assert all(split != {"C4", "PD3"} for split in splits)


def test_leave_one_donor_out_tests_each_donor_once() -> None:
    problems = [TASK.make_problem(_data(3), "celltype-lodo", Seeds(split=s)) for s in range(3)]
    assert [set(p.solution.donor) for p in problems] == [{"d0"}, {"d1"}, {"d2"}]
    with pytest.raises(NotApplicableError, match="are 3 different sets.*split seed 3"):
        TASK.make_problem(_data(3), "celltype-lodo", Seeds(split=3))


def test_what_cannot_be_served_is_refused_with_the_reason() -> None:
    assert "no subtype column" in str(TASK.why_not(_data(subtype=None).card, "subtype"))
    assert "no donor column" in str(TASK.why_not(_data(donor=None).card, "celltype-lodo"))
    assert TASK.why_not(_data().card, "subcluster") is None
    with pytest.raises(NotApplicableError, match="no cell_type column"):
        TASK.make_problem(_data(cell_type=None), "celltype", Seeds())
    with pytest.raises(NotApplicableError, match="no cell has a usable cell_type label"):
        TASK.make_problem(_data(cell_type="Unidentified"), "celltype", Seeds())
    with pytest.raises(NotApplicableError, match="the training cells have 1 class"):
        TASK.make_problem(_data(cell_type="Exc"), "celltype", Seeds())
    with pytest.raises(DataError, match="named 'cell'"):
        TASK.make_problem(_with(_data(), "cell_type", np.arange(0, 360, 2), "cell"), "celltype", Seeds())


def test_a_finer_level_without_the_one_above() -> None:
    problem = TASK.make_problem(_data(cell_type=None, subtype=None), "subcluster", Seeds())
    assert "OPC" not in problem.inputs.info["classes"]  # type: ignore[operator]
    assert list(problem.solution) == ["label", "donor", "seen"]


def test_three_cells() -> None:
    dataset = _data(3, 1)
    with pytest.raises(NotApplicableError, match="1 class"):
        TASK.make_problem(dataset, "celltype", Seeds())
    problem = TASK.make_problem(dataset, "subcluster", Seeds())
    assert (len(problem.solution), problem.solution.seen.sum()) == (1, 0)


def test_categories_and_a_dataset_from_disk_make_the_same_problem() -> None:
    dataset = _data()
    obs = dataset.adata.obs.astype("category")
    other = Dataset(dataset.card, AnnData(dataset.adata.X, obs=obs, var=dataset.adata.var))
    a, b = (TASK.make_problem(d, "subcluster", Seeds()) for d in (dataset, other))
    pd.testing.assert_frame_equal(a.solution, b.solution)
    assert a.inputs.info == b.inputs.info


def test_cells_are_split_at_the_size_of_the_donor_split_and_whatever_their_labels() -> None:
    dataset = toy_dataset()
    apart, mixed = (TASK.make_problem(dataset, track, Seeds(1)) for track in ("subtype", "subtype-cells"))
    sizes = [(len(p.solution), len(p.inputs.train.obs)) for p in (apart, mixed)]
    assert sum(sizes[0]) == sum(sizes[1])
    assert abs(sizes[0][0] - sizes[1][0]) < 10  # known doublets leave after the split
    assert set(mixed.solution["donor"]) == set(mixed.inputs.train.obs["donor"]) == set(dataset.adata.obs["donor"])
    assert not set(mixed.solution.index) & set(mixed.inputs.train.obs.index)
    assert mixed.inputs.info["split"] == "cell"
    again = TASK.make_problem(dataset, "subtype-cells", Seeds(2))
    assert set(again.solution.index) != set(mixed.solution.index)
    scrambled = TASK.scramble(dataset, "subtype-cells", Seeds(1), np.random.default_rng(0))
    other = TASK.make_problem(scrambled, "subtype-cells", Seeds(1))
    assert (other.inputs.cells.X != mixed.inputs.cells.X).nnz == 0
    assert other.inputs.train.obs.equals(mixed.inputs.train.obs)
