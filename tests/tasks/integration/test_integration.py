"""The integration task: what methods see, observed counts kept, clusters against labels, false positives."""

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from bench.blocks import Rows
from bench.dataset import Dataset, DatasetCard
from bench.develop.leakage_audit import audit_one
from bench.errors import NotApplicableError
from bench.normalise import log1p_cp10k
from bench.task import Seeds
from bench.tasks.integration import IntegrationTask
from bench.tasks.integration.clusters import agreement
from bench.tasks.integration.score import count_false_positives, observed_kept
from bench.testing import check_method

TASK = IntegrationTask()


def study(n=240, genes=90, seed=0, labelled=True):
    """Three kinds of cells with thirty marker genes each that the others lack, from two donors."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    means = np.full((3, genes), 0.3)
    for k in range(3):
        means[:, 30 * k : 30 * k + 10] = 0.0
        means[k, 30 * k : 30 * k + 10] = 3.0
    X = sparse.csr_matrix(rng.poisson(means[kind] * rng.gamma(8, 1 / 8, (n, 1))).astype(np.float32))
    obs = pd.DataFrame({"donor": np.where(rng.random(n) < 0.5, "a", "b")}, index=[f"c{i}" for i in range(n)])
    if labelled:
        obs["cell_type"] = np.array(["x", "y", "z"])[kind]
        obs["subtype"] = obs["cell_type"] + (np.arange(n) // 3 % 2).astype(str)
    fields = frozenset(obs.columns)
    card = DatasetCard(
        name="kinds",
        summary="Poisson counts.",
        digest="0",
        fields=fields,
        truth="",
        n_cells=n,
        n_genes=genes,
        n_donors=2,
    )
    return Dataset(card, AnnData(X, obs, pd.DataFrame(index=[f"g{i}" for i in range(genes)])))


def make(dataset=None):
    return TASK.make_problem(dataset or study(), "zero", Seeds())


def control(name, problem):
    found = next(c for c in TASK.controls if c.name == name)
    return found.predict(problem, np.random.default_rng(0))


def values(scored):
    return {(s.metric, s.unit): s.value for s in scored.scores}


def test_methods_see_all_cells_and_no_label():
    problem = make()
    assert list(problem.inputs.cells.obs.columns) == ["donor"]
    assert problem.inputs.train is None
    assert problem.inputs.query is None
    assert problem.inputs.info == {}
    assert {"cell_type", "subtype"} <= set(problem.solution.columns)


def test_the_audit_finds_no_label_in_the_inputs():
    assert audit_one(TASK, study(), "zero", Seeds()).status == "pass"


def four_donors(**how):
    """The study with four donors."""
    dataset = study(**how)
    dataset.adata.obs["donor"] = np.array(["a", "b", "c", "d"])[np.arange(dataset.adata.n_obs) // 3 % 4]
    return replace(dataset, card=replace(dataset.card, n_donors=4))


def test_half_of_the_donors_are_shown_with_labels_and_the_others_scored():
    dataset = four_donors()
    problem = TASK.make_problem(dataset, "labelled", Seeds())
    tested, train = problem.inputs.cells, problem.inputs.train
    assert set(problem.solution["donor"]) == set("abcd") - set(dataset.adata.obs.loc[train.obs.index, "donor"])
    assert tested.obs["donor"].nunique() == train.obs["donor"].nunique() == 2
    assert list(tested.obs.index) == list(problem.solution.index)
    np.testing.assert_array_equal(train.obs["label"], dataset.adata.obs.loc[train.obs.index, "cell_type"])
    assert "label" not in tested.obs
    assert problem.inputs.info == {"classes": ["x", "y", "z"]}


@pytest.mark.slow
def test_the_half_without_labels_is_scored_as_a_study_is():
    problem = TASK.make_problem(four_donors(), "labelled", Seeds())
    assert values(TASK.score(problem, control("cell_type_mean", problem)))["nmi_oracle", "pooled"] > 0.9


def test_labels_of_the_other_half_stay_hidden():
    assert audit_one(TASK, four_donors(), "labelled", Seeds()).status == "pass"


def test_labels_are_shown_of_no_study_of_three_donors():
    with pytest.raises(NotApplicableError, match="takes 4 donors"):
        TASK.make_problem(study(), "labelled", Seeds())


def test_observed_counts_are_kept_whatever_a_method_returns():
    problem = make()
    wild = np.random.default_rng(0).uniform(0, 5, problem.inputs.cells.X.shape)
    rows = np.array([3, 7, 200])
    filled, shown = observed_kept(problem, Rows(wild), rows), log1p_cp10k(problem.inputs.cells.X)[rows].toarray()
    np.testing.assert_allclose(filled, np.where(shown > 0, shown, wild[rows]), rtol=1e-6)


def test_clusters_are_compared_as_scikit_learn_does_and_the_oracle_is_the_best_resolution():
    problem = make()
    scored = TASK.score(problem, control("cell_type_mean", problem))
    found, curve = values(scored), scored.tables["resolutions"]
    assert len(curve) == 2 * 20
    for level, unit in (("cell_type", "pooled"), ("subtype", "level:subtype")):
        mine = curve[curve["level"] == level].reset_index(drop=True)
        assert found["nmi_oracle", unit] == mine["nmi"].max()
        assert found["ari_oracle", unit] == mine.loc[mine["nmi"].idxmax(), "ari"]
    assert found["nmi_oracle", "pooled"] > 0.99
    again = values(TASK.score(problem, control("cell_type_mean", problem)))
    assert found == again


def test_agreement_leaves_out_cells_without_a_label():
    label = pd.Series(["x", "x", "y", None, "y"], dtype=object)
    found = agreement(label, np.array([0, 0, 1, 1, 0]))
    known = ["x", "x", "y", "y"], [0, 0, 1, 0]
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(*known))
    assert found["ari"] == pytest.approx(adjusted_rand_score(*known))
    assert np.isnan(agreement(pd.Series(["x"] * 5), np.arange(5))["nmi"])


@pytest.mark.slow
def test_an_imputer_that_knows_the_types_beats_none_and_random_groups():
    problem = make(study(seed=1))
    nmi = {c.name: values(TASK.score(problem, control(c.name, problem)))["nmi_oracle", "pooled"] for c in TASK.controls}
    assert nmi["cell_type_mean"] == max(nmi.values())
    assert nmi["random"] <= nmi["cell_type_mean"]


def test_zeros_turned_on_counts_by_hand():
    dataset = study()
    stray = dataset.adata.X.tolil()
    stray[0, 30:32] = 1, 3  # one molecule in a cell of 80 that should have none: a gene of the type no more
    problem = make(replace(dataset, adata=AnnData(stray.tocsr(), dataset.adata.obs, dataset.adata.var)))
    expression = np.random.default_rng(3).uniform(0, 1, problem.inputs.cells.X.shape)
    X, label = problem.inputs.cells.X.toarray(), problem.solution["cell_type"].to_numpy()
    n, on = dict.fromkeys("xyz", 0), 0
    for kind in "xyz":
        mine = label == kind
        for gene in range(X.shape[1]):
            highest = max((X[label == other, gene] > 0).mean() for other in "xyz" if other != kind)
            if (X[mine, gene] > 0).mean() <= 0.01 and highest >= 0.25:
                n[kind] += int(mine.sum())
                on += int((np.expm1(expression[mine, gene]) >= 1).sum())
    false_positives = count_false_positives(problem, Rows(expression))
    assert n == {"x": 80 * 18, "y": 80 * 20, "z": 80 * 20}
    assert false_positives.share("markers of other types") == pytest.approx(on / sum(n.values()))
    table = false_positives.table().set_index("what")["n"]
    assert table["all zeros"] == (X == 0).sum()
    assert {kind: table[f"markers of other types than {kind}"] for kind in "xyz"} == n


@pytest.mark.slow
def test_a_cell_without_counts_is_told_and_scored_by_what_fills_it():
    dataset = study()
    X = dataset.adata.X.tolil()
    X[5] = 0
    problem = make(replace(dataset, adata=AnnData(X.tocsr(), dataset.adata.obs, dataset.adata.var)))
    assert "1 cells have no counts at all" in problem.notes
    for name in ("raw", "cell_type_mean"):
        found = values(TASK.score(problem, control(name, problem)))
        assert 0 <= found["nmi_oracle", "pooled"] <= 1


@pytest.mark.slow
def test_mixing_is_scored_where_there_are_two_batches_and_told_where_not():
    pytest.importorskip("scib_metrics")
    dataset = study()
    problem = make(dataset)
    found = values(TASK.score(problem, control("raw", problem)))
    assert 0.5 < found["ilisi", "pooled"] <= 1
    assert 0.5 < found["cilisi", "pooled"] <= 1
    assert found["kbet_per_label", "pooled"] > 0.8
    assert found["bras", "pooled"] > 0.9
    obs = dataset.adata.obs.assign(donor="only")
    problem = make(replace(dataset, adata=AnnData(dataset.adata.X, obs, dataset.adata.var)))
    details = {s.metric: s.detail for s in TASK.score(problem, control("raw", problem)).scores}
    assert details["ilisi"] == "all cells are of one donor"


@pytest.mark.slow
def test_an_embedding_is_clustered_as_expression_is_and_has_no_zeros():
    problem = make()
    kind = pd.factorize(problem.solution["cell_type"])[0]
    points = np.eye(3)[kind] * 9 + np.random.default_rng(0).normal(size=(len(kind), 3))
    scored = TASK.score(problem, {"embedding": points})
    assert set(scored.tables) == {"umap", "resolutions"}
    rows = {(s.metric, s.unit): s for s in scored.scores}
    assert rows.keys() == {(s.metric, s.unit) for s in TASK.score(problem, control("raw", problem)).scores}
    assert rows["nmi_oracle", "pooled"].value == pytest.approx(1)
    assert rows["nmi_oracle", "pooled"].detail.startswith("embedding of 3 dimensions; resolution 0.")
    assert np.isnan(rows["zeros_turned_on", "pooled"].value)
    assert rows["zeros_turned_on", "pooled"].detail == "an embedding has no expression"
    other = TASK.score(problem, {"embedding": points[:, [2, 0, 1]] * -1})  # the same cells, the space turned
    assert {(s.metric, s.unit): s.value for s in other.scores}["nmi", "pooled"] == rows["nmi", "pooled"].value


@pytest.mark.slow
def test_a_plugin_written_from_the_docs_answers_with_an_embedding(tmp_path):
    """The example of the page, run as it says: checked, then scored beside a control, marked in the report."""
    import bench
    from bench.reports.run.load import load

    page = Path(__file__).parents[3] / "docs" / "integration.md"
    code = re.search(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S).group(1)
    (tmp_path / "centred.py").write_text(code)
    spec = importlib.util.spec_from_file_location("centred", tmp_path / "centred.py")
    sys.modules["centred"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_method(module.Centred)
    run = bench.run("integration", [module.Centred], study().adata, out=tmp_path / "run")
    rows = load(tmp_path / "run").rows
    assert set(rows["label"]) == {"centred [embedding]", *(c.name for c in TASK.controls)}
    assert rows[rows["method"] == "centred"]["notes"].str.contains("answered with embedding").all()
    assert run.predictions("centred").shape[1] == 7 + 2


def test_a_study_without_labels_or_with_few_cells_is_refused():
    assert "no labels" in TASK.why_not(study(labelled=False).card, "zero")
    with pytest.raises(NotApplicableError, match="no labels"):
        make(study(labelled=False))
    with pytest.raises(NotApplicableError, match="30 labelled cells are too few"):
        make(study(n=30))
