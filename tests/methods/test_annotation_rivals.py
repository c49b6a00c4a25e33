"""SingleR against the package, rejection and sets from training donors, levels that agree, scANVI."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import LinearSVC

from bench.environments.availability import why_unavailable
from bench.errors import NotApplicableError
from bench.method import Context
from bench.methods._shared.held_out import held_out, prediction_sets
from bench.methods.hierarchical_correlation import HierarchicalCorrelation
from bench.methods.linear_svm import LinearSvm
from bench.methods.logistic_regression import LogisticRegression
from bench.methods.scanvi import ScanviLabels, ScanviLatent
from bench.methods.scibet import SciBet
from bench.methods.singler import SingleR
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs
from bench.testing import toy_dataset, toy_problem

DATASET = toy_dataset()


def _inputs(track: str = "celltype", layer: str = "log1p_cp10k") -> tuple[Inputs, pd.DataFrame]:
    problem = toy_problem("annotation", track=track, dataset=DATASET)
    given = problem.inputs
    if layer == "log1p_cp10k":
        cells, train = (Cells(log1p_cp10k(c.X), c.obs, c.var) for c in (given.cells, given.train))
        given = Inputs(cells, train, given.info)
    return given, problem.solution


def _thinned(given: Inputs) -> Inputs:
    """A tenth of the counts, so that not every cell is easy."""
    rng = np.random.default_rng(0)
    cells, train = (
        Cells(log1p_cp10k(csr_matrix(rng.binomial(c.X.toarray(), 0.1))), c.obs, c.var)
        for c in (given.cells, given.train)
    )
    return Inputs(cells, train, given.info)


@pytest.fixture(scope="module")
def singler():
    if reason := why_unavailable(SingleR):
        pytest.skip(reason)
    import singler

    return singler


def test_singler_is_the_package_called_by_hand(singler):
    given, truth = _inputs("subtype")
    answer = SingleR().run(given, Context(seed=0))
    names = list(given.train.var.index)
    built = singler.train_single(given.train.X.T.toarray(), list(given.train.obs["label"]), names, test_features=names)
    by_hand = singler.classify_single(given.cells.X.T.toarray(), built)
    np.testing.assert_array_equal(answer["label"], list(by_hand.column("best")))
    assert (answer["label"] == truth["label"]).mean() > 0.8


def test_singler_matches_genes_by_name_not_by_row(singler):
    given, _ = _inputs("subtype")
    order = np.random.default_rng(0).permutation(given.cells.X.shape[1])
    shuffled = Cells(given.cells.X[:, order], given.cells.obs, given.cells.var.iloc[order])
    moved = SingleR().run(Inputs(shuffled, given.train, given.info), Context(seed=0))
    np.testing.assert_array_equal(moved["label"], SingleR().run(given, Context(seed=0))["label"])


def test_the_svm_rejects_by_held_out_training_donors_only():
    given = _thinned(_inputs("subtype", "counts")[0])
    ctx = Context(seed=0)
    answer = LinearSvm(lost=0.2).run(given, ctx)
    forced = LinearSvm(lost=0.0).run(given, Context(seed=0))
    rejected = answer["label"] == "unassigned"
    assert 0 < rejected.mean() < 1
    np.testing.assert_array_equal(answer["label"][~rejected], forced["label"][~rejected])
    assert answer["probability"][rejected].max() < answer["probability"][~rejected].min()
    labels = LinearSVC(random_state=0).fit(given.train.X, given.train.obs["label"]).predict(given.cells.X)
    np.testing.assert_array_equal(forced["label"], labels)
    few = LinearSvm(lost=0.2).run(Inputs(given.cells.take(np.arange(7)), given.train, given.info), Context(seed=0))
    for name in ("label", "probability", "prediction_set"):  # no other tested cell had a say
        np.testing.assert_array_equal(few[name], answer[name][:7])
    donors = ", ".join(given.info["validation_donors"])
    assert ctx.notes[0] == f"confidence set on held-out training donors: {donors}"


def test_cells_stand_in_where_there_is_one_training_donor():
    given, _ = _inputs()
    one = given.train.obs.assign(donor="d")
    alone = Inputs(given.cells, Cells(given.train.X, one, given.train.var), {**given.info, "validation_donors": []})
    ctx = Context(seed=0)
    codes = np.searchsorted(given.info["classes"], one["label"])
    chosen = held_out(alone, codes, ctx)
    assert "no donor could be held out" in ctx.notes[0]
    for k in np.unique(codes):
        assert chosen[codes == k].sum() == (codes == k).sum() // 5


def test_sets_keep_their_word_on_exchangeable_cells():
    rng = np.random.default_rng(0)
    n, kept = 500, []
    for _ in range(200):
        p = rng.dirichlet(np.full(4, 0.5), 2 * n)
        truth = (p.cumsum(axis=1) > rng.random((2 * n, 1))).argmax(axis=1)
        sets = prediction_sets(p[:n], truth[:n], p[n:])
        kept.append(sets[np.arange(n), truth[n:]].mean())
    assert abs(np.mean(kept) - 0.9) < 4 * np.std(kept) / np.sqrt(len(kept)) + 1 / n
    assert prediction_sets(p[:5], truth[:5], p[n:]).all()  # too few to tell: every class


@pytest.mark.parametrize("method", [LogisticRegression(sets=True), SciBet(sets=True)], ids=["logistic", "scibet"])
def test_sets_are_those_of_an_independent_computation(method):
    given, _ = _inputs("subtype", method.input_layer)
    answer = method.run(given, Context(seed=0))
    classes, apart = np.array(given.info["classes"]), given.train.obs["donor"].isin(given.info["validation_donors"])
    fit, held = (given.train.take(np.flatnonzero(rows)) for rows in (~apart, apart))
    again = type(method)().run(Inputs(held, fit, given.info), Context(seed=0))["probabilities"]
    score = 1 - again[np.arange(len(again)), np.searchsorted(classes, held.obs["label"])]
    level = np.ceil((len(score) + 1) * 0.9) / len(score)
    limit = np.quantile(score, level, method="inverted_cdf")
    np.testing.assert_array_equal(answer["prediction_set"] > 0, 1 - answer["probabilities"] <= limit)


def test_a_finer_answer_belongs_to_the_coarser_answer():
    answers = {t: HierarchicalCorrelation().run(_inputs(t)[0], Context(seed=0)) for t in ("celltype", "subtype")}
    given, truth = _inputs("subcluster")
    finest = HierarchicalCorrelation().run(given, Context(seed=3))
    for track, level in (("celltype", "cell_type"), ("subtype", "subtype")):
        above = pd.Series(finest["label"]).map(given.info["parents"][level]).to_numpy()
        np.testing.assert_array_equal(above, answers[track]["label"])
    assert (answers["subtype"]["probability"] <= answers["celltype"]["probability"] + 1e-12).all()
    assert (finest["label"] == truth["label"]).mean() > 0.8


def test_one_level_is_the_nearest_mean_by_correlation():
    """With all markers in every vote, it is one correlation with each class mean."""
    given, _ = _inputs()
    n_genes = given.train.X.shape[1]
    answer = HierarchicalCorrelation(n_votes=1, share=1.0, n_markers=n_genes).run(given, Context(seed=0))
    X, cells = given.train.X.toarray(), given.cells.X.toarray()
    classes = given.info["classes"]
    means = np.array([X[(given.train.obs["label"] == name).to_numpy()].mean(axis=0) for name in classes])
    correlation = np.corrcoef(np.vstack([cells, means]))[: len(cells), len(cells) :]
    np.testing.assert_array_equal(answer["label"], np.array(classes)[correlation.argmax(axis=1)])
    assert (answer["probability"] == 1).all()


@pytest.mark.slow
def test_scanvi_labels_most_cells_and_knows_no_unlabelled_class(tmp_path):
    if reason := why_unavailable(ScanviLabels):
        pytest.skip(reason)
    given, truth = _inputs("celltype", "counts")
    answer = ScanviLabels(scvi_epochs=30, scanvi_epochs=10).run(given, Context(seed=0, scratch=tmp_path))
    classes = np.array(given.info["classes"])
    np.testing.assert_array_equal(classes[answer["probabilities"].argmax(axis=1)], answer["label"])
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert (answer["label"] == truth["label"]).mean() > 0.8


@pytest.mark.slow
def test_scanvi_embeds_the_tested_cells_where_labels_of_others_are_shown(tmp_path):
    if reason := why_unavailable(ScanviLatent):
        pytest.skip(reason)
    given, truth = _inputs("celltype", "counts")
    found = ScanviLatent(scvi_epochs=30, scanvi_epochs=10).run(given, Context(seed=0, scratch=tmp_path))["embedding"]
    assert found.shape == (len(truth), 10)
    near = NearestNeighbors(n_neighbors=6).fit(found).kneighbors(return_distance=False)
    label = truth["label"].to_numpy()
    assert (label[near] == label[:, None]).mean() > 0.8
    with pytest.raises(NotApplicableError, match="labelled training cells"):
        ScanviLatent().run(Inputs(given.cells), Context(seed=0))


def test_scanvi_declines_a_single_class_and_no_counts():
    if reason := why_unavailable(ScanviLabels):
        pytest.skip(reason)
    given, _ = _inputs("celltype", "counts")
    alike = Cells(given.train.X, given.train.obs.assign(label="x"), given.train.var)
    with pytest.raises(NotApplicableError, match="single class"):
        ScanviLabels().run(Inputs(given.cells, alike, {**given.info, "classes": ["x"]}), Context(seed=0))
    empty = Cells(csr_matrix(given.train.X.shape), given.train.obs, given.train.var)
    with pytest.raises(NotApplicableError, match="without counts"):
        ScanviLabels().run(Inputs(given.cells, empty, given.info), Context(seed=0))
