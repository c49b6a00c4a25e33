from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from bench.dataset import Dataset
from bench.develop.leakage_audit import audit_one
from bench.errors import NotApplicableError
from bench.task import Seeds
from bench.tasks.imputation import ImputationTask
from bench.tasks.imputation import problem as _imputation_problem
from bench.tasks.imputation.masks import N_GROUPS, only, pattern

TASK = ImputationTask()


def changed(dataset: Dataset, change: Callable[[np.ndarray], None]) -> Dataset:
    """The dataset after ``change`` has edited its dense counts."""
    dense = dataset.adata.X.toarray()
    change(dense)
    adata = AnnData(sparse.csr_matrix(dense), obs=dataset.adata.obs, var=dataset.adata.var)
    return replace(dataset, adata=adata)


@pytest.fixture(scope="module")
def deep(deep_dataset: Callable[..., Dataset]) -> Dataset:
    return deep_dataset({"a": 60, "b": 70, "c": 65})


def test_rounds_hide_each_count_once_and_show_the_rest(deep: Dataset) -> None:
    problem = TASK.make_problem(deep, "nonzero", Seeds())
    counts = deep.adata[problem.solution.index].X
    assert len(problem.rounds) == N_GROUPS
    assert (counts.sum(axis=1) >= 4000).all()
    hidden = sparse.csr_matrix(counts.shape, dtype=int)
    for masked in problem.rounds:
        assert masked.query is not None
        assert masked.cells.X.multiply(masked.query).nnz == 0
        assert (masked.cells.X + counts.multiply(masked.query) != counts).nnz == 0
        assert masked.cells.obs.equals(problem.inputs.cells.obs)
        assert masked.train is problem.rounds[0].train or masked.train is not None
        assert (masked.cells.X.sum(axis=1) > 0).all()
        hidden = hidden + masked.query.astype(int)
    assert (hidden != (counts > 0).astype(int)).nnz == 0
    assert problem.asked is not None
    assert (problem.asked != (counts > 0)).nnz == 0


def test_cells_with_few_genes_leave_the_papers_track(deep_dataset: Callable[..., Dataset]) -> None:
    """Of training and of testing; of 90 genes, as elsewhere here, none could have 200, and all stay."""
    dataset = deep_dataset({"a": 60, "b": 70, "c": 65}, n_genes=600)
    detected = np.diff(dataset.adata.X.indptr)
    limit = int(np.quantile(detected, 0.2))

    def few(dense: np.ndarray) -> None:
        dense[detected <= limit, 199:] = 0
        dense[detected <= limit, 0] += 5000

    cut = changed(dataset, few)
    paper, ours = (TASK.make_problem(cut, track, Seeds()) for track in ("nonzero-paper", "nonzero"))
    for problem, fewest in ((paper, 200), (ours, 0)):
        assert problem.inputs.train is not None
        names = [*problem.inputs.train.obs.index, *problem.solution.index]
        genes = np.diff(cut.adata[names].X.indptr)
        assert (genes.min() >= 200) == (fewest == 200)
    [note] = [note for note in map(str, paper.notes) if "detected genes and are left out" in note]
    n_ours, n_paper = (len(p.solution) + len(p.inputs.train.obs) for p in (ours, paper))  # type: ignore[union-attr]
    assert note.startswith(f"{n_ours - n_paper} of {n_ours} cells")


def test_tested_and_training_cells_are_of_other_donors_without_doublets(deep: Dataset) -> None:
    problem = TASK.make_problem(deep, "nonzero", Seeds())
    train = problem.inputs.train
    assert train is not None
    assert not set(train.obs["donor"]) & set(problem.inputs.cells.obs["donor"])
    used = deep.adata.obs.loc[[*train.obs.index, *problem.solution.index]]
    assert not used["is_doublet"].any()
    assert "Unidentified" not in set(used["cell_type"])
    assert train.X.sum(axis=1).min() < 4000  # at any depth
    assert list(train.obs) == list(problem.inputs.cells.obs) == ["donor", "batch"]  # no labels
    assert list(problem.rounds[1].cells.obs) == ["donor", "batch"]


def test_truth_of_the_paper_variant_is_on_the_whole_library_which_is_told(deep: Dataset) -> None:
    problem = TASK.make_problem(deep, "nonzero-paper", Seeds())
    counts = deep.adata[problem.solution.index].X.toarray().astype(float)
    total = counts.sum(axis=1)
    np.testing.assert_array_equal(problem.inputs.cells.obs["library_size"], total)
    expected = np.log1p(counts / total[:, None] * 1e4)
    np.testing.assert_allclose(problem.truth["expression"].toarray(), expected, rtol=1e-5)


def test_no_deep_cell_is_said_with_the_highest_depth(deep: Dataset) -> None:
    shallow = changed(deep, lambda X: np.floor_divide(X, 3, out=X))
    keep = ~shallow.adata.obs["is_doublet"] & (shallow.adata.obs["cell_type"] != "Unidentified")
    with pytest.raises(NotApplicableError, match="the highest depth is") as caught:
        TASK.make_problem(shallow, "nonzero", Seeds())
    tested = TASK.make_problem(deep, "nonzero", Seeds()).solution["donor"].unique()
    of_tested = keep & shallow.adata.obs["donor"].isin(tested)
    highest = int(shallow.adata.X[of_tested.to_numpy()].sum(axis=1).max())
    assert f"{highest:,}" in str(caught.value)
    with pytest.raises(NotApplicableError, match="thinning needs deep cells"):
        TASK.make_problem(shallow, "dropout", Seeds())


def test_genes_never_seen_in_training_are_asked_for_and_told(deep: Dataset) -> None:
    tested = deep.adata.obs["donor"].isin(TASK.make_problem(deep, "nonzero", Seeds()).solution["donor"]).to_numpy()

    def forget(X: np.ndarray) -> None:
        X[~tested, :2] = 0
        X[tested, :2] += 5

    problem = TASK.make_problem(changed(deep, forget), "nonzero", Seeds())
    assert any(note.startswith("2 genes of tested cells") for note in map(str, problem.notes))
    assert problem.truth["expression"][:, :2].nnz == 2 * len(problem.solution)


def test_cells_without_counts_train_nobody_and_are_not_tested(deep: Dataset) -> None:
    before = {t: TASK.make_problem(deep, t, Seeds()) for t in ("nonzero", "dropout")}
    for track, problem in before.items():
        assert problem.inputs.train is not None
        gone = [problem.inputs.train.obs.index[0], problem.solution.index[0]]
        rows = deep.adata.obs.index.get_indexer(gone)

        def empty(X: np.ndarray, rows: np.ndarray = rows) -> None:
            X[rows] = 0

        after = TASK.make_problem(changed(deep, empty), track, Seeds())
        assert after.inputs.train is not None
        assert not set(gone) & {*after.inputs.train.obs.index, *after.solution.index}


def test_a_cell_with_fewer_genes_than_groups_is_left_out(deep: Dataset) -> None:
    first = deep.adata.obs.index.get_loc(TASK.make_problem(deep, "nonzero", Seeds()).solution.index[0])

    def narrow(X: np.ndarray) -> None:
        X[first] = 0
        X[first, :4] = 2000

    problem = TASK.make_problem(changed(deep, narrow), "nonzero", Seeds())
    assert deep.adata.obs.index[first] not in problem.solution.index
    assert any("fewer than 5 detected genes" in note for note in map(str, problem.notes))


def test_one_donor_is_split_by_cells_and_says_so(deep_dataset: Callable[..., Dataset]) -> None:
    for drop in ((), ("cell_type",)):
        dataset = deep_dataset({"a": 150}, drop=drop)
        problem = TASK.make_problem(dataset, "nonzero", Seeds())
        assert problem.inputs.info["split"] == "cell"
        assert any(note.startswith("WARNING cell-level split") for note in map(str, problem.notes))
        assert problem.inputs.train is not None
        assert not set(problem.inputs.train.obs.index) & set(problem.solution.index)


def test_thinned_cells_and_their_truth(deep: Dataset) -> None:
    problem = TASK.make_problem(deep, "dropout", Seeds())
    counts = deep.adata[problem.solution.index].X
    shown = problem.inputs.cells.X
    assert problem.asked is None
    assert ((counts - shown).toarray() >= 0).all()
    assert shown.sum() / counts.sum() == pytest.approx(0.25, abs=0.01)
    assert problem.inputs.train is not None
    whole = deep.adata[problem.inputs.train.obs.index].X
    assert problem.inputs.train.X.sum() / whole.sum() == pytest.approx(0.25, abs=0.01)  # a shallow study altogether
    dense = counts.toarray().astype(float)
    expected = np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(problem.truth["expression"].toarray(), expected, rtol=1e-5)
    again = TASK.make_problem(deep, "dropout", Seeds(simulation=1))
    assert (again.inputs.cells.X != shown).nnz > 0
    assert again.solution.index.equals(problem.solution.index)


def test_dense_answers_are_limited_by_a_seeded_draw(deep: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TASK.make_problem(deep, "dropout", Seeds())
    monkeypatch.setattr(_imputation_problem, "MOST_VALUES", 12 * 90)
    problem = TASK.make_problem(deep, "dropout", Seeds())
    assert len(problem.solution) == 12
    assert set(problem.solution.index) < set(whole.solution.index)
    assert problem.solution.index.equals(TASK.make_problem(deep, "dropout", Seeds()).solution.index)


def test_the_cohort_knows_its_truth(cohort_cache: object) -> None:
    from bench.data._builtin import CohortSource
    from bench.data.cohort import CohortSpec, expectation

    source = CohortSource("small", CohortSpec(n_cells=400, n_genes=300, n_donors=4))
    dataset = source.load()
    problem = TASK.make_problem(dataset, "dropout", Seeds())
    assert set(problem.solution["truth"]) == {"expected"}
    full = source.full()
    rows = full.obs.index.get_indexer(problem.solution.index[:20])
    mean = expectation(full, rows)
    expected = np.log1p(mean / mean.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(problem.truth["expression"][:20].toarray(), expected, rtol=1e-5)
    np.testing.assert_array_equal(problem.inputs.cells.X[:20].toarray(), full.X[rows].toarray())
    assert audit_one(TASK, dataset, "dropout", Seeds()).status == "pass"


@pytest.mark.parametrize("track", ["nonzero", "nonzero-paper", "dropout"])
def test_inputs_do_not_depend_on_what_is_hidden(deep: Dataset, track: str) -> None:
    finding = audit_one(TASK, deep, track, Seeds())
    assert (finding.status, finding.how, finding.detail) == ("pass", "identical bytes", "")


@pytest.mark.parametrize("when", ["normalised before masking", "library size told"])
def test_a_mask_after_normalisation_is_a_leak(deep: Dataset, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the official code does: values of the whole library, then the mask."""

    def normalised(X: sparse.csr_matrix, chosen: np.ndarray) -> sparse.csr_matrix:
        size = np.asarray(X.sum(axis=1), dtype=float).ravel()
        values = X.data * np.repeat(1e4 / size, np.diff(X.indptr))
        return only(sparse.csr_matrix((values, X.indices, X.indptr), shape=X.shape), chosen)

    if when == "normalised before masking":
        monkeypatch.setattr(_imputation_problem, "only", normalised)
    else:
        monkeypatch.setattr(_imputation_problem, "_nonzero", _told)
    finding = audit_one(TASK, deep, "nonzero", Seeds())
    assert finding.status == "leak"
    assert "these input files change with the hidden truth (masking round 1)" in finding.detail
    assert ("cells.npz" if when == "normalised before masking" else "cells_obs.parquet") in finding.detail


_REAL_NONZERO = _imputation_problem._nonzero


def _told(dataset: Dataset, seeds: Seeds, *, full_library: bool) -> object:
    return _REAL_NONZERO(dataset, seeds, full_library=True)


def test_explicit_zeros_left_by_thinning_are_a_leak(deep: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern of the whole counts, kept beside the thinned ones."""
    thin = _imputation_problem.thin

    def leaky(X: sparse.csr_matrix, rows: np.ndarray, seed: int) -> sparse.csr_matrix:
        whole = X[rows]
        left = thin(X, rows, seed)
        values = np.asarray(left[np.repeat(np.arange(len(rows)), np.diff(whole.indptr)), whole.indices]).ravel()
        return sparse.csr_matrix((values, whole.indices, whole.indptr), shape=whole.shape)

    monkeypatch.setattr(_imputation_problem, "thin", leaky)
    assert audit_one(TASK, deep, "dropout", Seeds()).status == "leak"


def test_unsorted_counts_and_stored_zeros_give_the_same_problem(deep: Dataset) -> None:
    X = deep.adata.X.tocoo()
    order = np.random.default_rng(0).permutation(X.nnz)
    row, col, data = X.row[order], X.col[order], X.data[order]
    by_row = np.argsort(row, kind="stable")
    messy = sparse.csr_matrix(
        (data[by_row], col[by_row], np.append(0, np.cumsum(np.bincount(row, minlength=X.shape[0])))), shape=X.shape
    )
    messy.has_sorted_indices = False
    other = replace(deep, adata=AnnData(X=messy, obs=deep.adata.obs, var=deep.adata.var))
    a, b = (TASK.make_problem(d, "nonzero", Seeds()) for d in (deep, other))
    for ordered, unordered in zip(a.rounds, b.rounds, strict=True):
        assert (ordered.cells.X != unordered.cells.X).nnz == 0
        assert (pattern(ordered.query) != pattern(unordered.query)).nnz == 0  # type: ignore[arg-type]
