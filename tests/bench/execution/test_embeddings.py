"""An embedding goes from the dataset to the methods that ask for it, and to no other."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bench
from bench.api.watch import SILENT
from bench.errors import BenchError, DataError, UnknownNameError
from bench.execution.embeddings import with_embeddings
from bench.plan.grid import RunRequest, _methods, make_plan
from bench.plan.registry import Registry
from bench.problem import SEEN, UNTOLD, Cells, Inputs
from bench.reports.run.load import load
from bench.reports.run.overview import rows
from bench.task import Seeds
from bench.tasks.annotation import AnnotationTask
from bench.testing import toy_dataset


@pytest.fixture(scope="module")
def adata():
    """Toy cells with an embedding that tells their types, and one that tells nothing."""
    cells = toy_dataset().adata
    rng = np.random.default_rng(0)
    code = np.unique(cells.obs["cell_type"].astype(str), return_inverse=True)[1]
    cells.obsm["X_good"] = np.eye(code.max() + 1)[code] + rng.normal(scale=0.3, size=(len(code), code.max() + 1))
    cells.obsm["X_noise"] = rng.normal(size=(len(code), 4))
    cells.obsm["X_gaps"] = np.full((len(code), 2), np.nan)
    return cells


def plan(source, **params):
    methods = ["embedding_probe", "logistic_regression"]
    request = RunRequest("annotation", ["celltype"], methods, [source.card.name], params={"embedding_probe": params})
    return make_plan(Registry(datasets=[source]), request)


def keys(planned):
    return {trial.spec.method: trial.key for trial in planned.trials}


def test_keys_of_methods_that_do_not_ask_for_it_stay(adata):
    more, told = adata.copy(), {"X_good": "toy"}
    more.obsm["X_new"], more.obsm["X_good"] = adata.obsm["X_noise"], adata.obsm["X_good"] + 1
    before, after, said = (
        keys(plan(bench.as_dataset(cells, "toy", embeddings=e), key="X_good"))
        for cells, e in ((adata, None), (more, None), (adata, told))
    )
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if before[name] != said[name]} == {"embedding_probe"}


def test_what_cannot_be_read_is_refused_before_anything_runs(adata):
    toy = bench.as_dataset(adata, "toy")
    with pytest.raises(UnknownNameError) as error:
        plan(toy, key="X_godo")
    assert error.value.fix == "did you mean 'X_good'?"
    with pytest.raises(DataError, match="NaN"):
        plan(toy, key="X_gaps")
    with pytest.raises(BenchError, match="none is named") as error:
        plan(toy)
    assert "--set embedding_probe.key=KEY" in error.value.fix


def test_of_all_methods_it_is_one_where_an_embedding_is_named():
    registry, params = Registry(datasets=[]), {"embedding_probe": {"key": "X_good"}}
    without, named = (
        _methods(registry, AnnotationTask(), RunRequest("annotation", methods=["all"], params=given))
        for given in ({}, params)
    )
    assert "knn" in without
    assert "embedding_probe" not in without
    assert set(named) == {*without, "embedding_probe"}


def test_a_dataset_of_several_without_it_costs_its_own_trials(adata):
    other = adata.copy()
    del other.obsm["X_good"]
    sources = [bench.as_dataset(adata, "toy"), bench.as_dataset(other[:300].copy(), "other")]
    request = RunRequest(
        "annotation", ["celltype"], ["embedding_probe"], ["toy", "other"], params={"embedding_probe": {"key": "X_good"}}
    )
    trials = make_plan(Registry(datasets=sources), request).trials
    digests = {t.spec.dataset: t.spec.embeddings["key"].sha256 for t in trials if t.spec.method == "embedding_probe"}
    assert digests["other"] == ""
    assert len(digests["toy"]) == 64
    inputs = AnnotationTask().make_problem(sources[1].load(), "celltype", Seeds()).inputs
    with pytest.raises(BenchError, match="X_good") as error:
        with_embeddings(inputs, sources[1], ["X_good"])
    assert error.value.status == "not_applicable"


def test_cells_that_a_task_made_have_no_row(adata):
    toy = bench.as_dataset(adata, "toy")
    cells = toy.load().adata[:2]
    made = Inputs(Cells(csr_matrix((2, adata.n_vars)), cells.obs.set_axis(["both", cells.obs_names[0]]), cells.var))
    with pytest.raises(BenchError, match="1 of 2 cells are not the dataset's own") as error:
        with_embeddings(made, toy, ["X_good"])
    assert error.value.status == "not_applicable"


@pytest.mark.slow  # drawing the map of the cells takes most of it
def test_from_dataset_to_report(adata, tmp_path):
    """The answer is that of scikit-learn on the rows of the cells' own names; rows tell embeddings apart."""
    toy = bench.as_dataset(adata, "toy", embeddings={"X_good": ["toy", "GSE1"]})
    common = {"tracks": "celltype", "datasets": [toy], "out": tmp_path, "display": SILENT, "jobs": 1}
    done = bench.run("annotation", methods=["embedding_probe"], params={"embedding_probe": {"key": "X_good"}}, **common)
    bench.run("annotation", methods=["embedding_probe"], params={"embedding_probe": {"key": "X_noise"}}, **common)

    (record,) = [record for record in done.records if record.spec.role == "method"]
    assert record.status == "ok", record.detail
    assert SEEN in record.notes
    assert "X_good was pre-trained on toy and GSE1, as its user says" in map(str, record.notes)
    problem = AnnotationTask().make_problem(toy.load(), "celltype", Seeds())
    at = adata.obs_names.get_indexer
    X, train, cells = adata.obsm["X_good"].astype(np.float32), problem.inputs.train.obs, problem.inputs.cells.obs
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(
        X[at(train.index)], train["label"]
    )
    answer = done.predictions("embedding_probe").set_index("cell")["label"]
    assert answer.reindex(cells.index).tolist() == reference.predict(X[at(cells.index)]).tolist()

    run = load(tmp_path)
    panel = rows(run, run.tasks["annotation"])
    flags = panel[panel["role"] == "method"].set_index("label")["flags"].to_dict()
    assert flags == {
        "embedding_probe (X_good, logistic)": "saw this data before",
        "embedding_probe (X_noise, logistic)": "pre-training data not told",
    }
    (untold,) = [r for r in run.trials.values() if json.dumps(r.spec.params).count("X_noise")]
    assert untold.notes == [UNTOLD]
    assert untold.inputs_digest == record.inputs_digest  # what others are shown does not change with it
