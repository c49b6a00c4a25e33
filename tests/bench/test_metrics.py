"""`bench.metrics`: every metric of every task, against another implementation and against what the tasks report."""

import doctest
import importlib
import inspect
import pydoc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn import metrics as sk

import bench
from bench import metrics
from bench.errors import BenchError
from bench.plan.registry import Registry

#: Metrics that have a function of another name; those of no function are counts that anyone can take.
CALLED = {
    "annotation": {
        "accuracy_at_celltype": "accuracy_at_level",
        "accuracy_at_subtype": "accuracy_at_level",
        "f1_macro_at_celltype": "f1_macro_at_level",
        "f1_macro_at_subtype": "f1_macro_at_level",
        "f1": "by_class",
        "precision": "by_class",
        "recall": "by_class",
        "train_cells": None,
        "set_coverage_90": "set_coverage",
        "set_size_90": "set_size",
    },
    "deg": {
        "precision": "deg_precision",
        "n_deg_full": None,
        "overlap_floor": "overlap_found",
        "fpr_cells": "fpr",
        "fpr_donors": "fpr",
        "truth_precision": "deg_precision",
        "truth_recall": "overlap",
        "truth_fdr": "deg_precision",
        "truth_auprc": "deg_auprc",
        "pseudobulk_precision": "deg_precision",
        "pseudobulk_recall": "overlap",
    },
}


def test_every_metric_of_every_task_has_a_function():
    for task, entry in Registry().tasks.items():
        for metric in entry.value.metrics:
            name = CALLED.get(task, {}).get(metric.name, "at_rate" if "@" in metric.name else metric.name)
            assert name is None or name in metrics.__all__, f"{task}: {metric.name}"


def test_the_module_explains_itself():
    text = pydoc.plain(pydoc.render_doc(metrics))
    for name in metrics.__all__:
        function = getattr(metrics, name)
        assert f"\n    {name}(" in text, name
        assert "Examples\n" in function.__doc__, name
        assert f":func:`{name}`" in metrics.__doc__, name
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty
    assert bench.metrics is metrics


@pytest.mark.parametrize("task", ["annotation", "deg", "doublet", "imputation", "integration"])
def test_examples_give_what_they_say(task):
    module = importlib.import_module(f"bench.tasks.{task}.functions")
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert done.attempted > 10
    assert not done.failed


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_doublet_metrics_are_those_of_scikit_learn(rng):
    truth, score = rng.random(300) < 0.2, rng.integers(20, size=300)
    call = score > 12
    assert metrics.auprc(truth, score) == pytest.approx(sk.average_precision_score(truth, score))
    assert metrics.auroc(truth.astype(int), list(score)) == pytest.approx(sk.roc_auc_score(truth, score))
    assert metrics.precision(truth, call) == pytest.approx(sk.precision_score(truth, call))
    assert metrics.recall(truth, call) == pytest.approx(sk.recall_score(truth, call))
    assert metrics.tnr(truth, call) == pytest.approx(sk.recall_score(~truth, ~call))
    assert metrics.f1(truth, call) == pytest.approx(sk.f1_score(truth, call))
    assert metrics.called_fraction(call) == pytest.approx(call.mean())
    distinct = rng.permutation(300)
    for rate, n in ((0.1, 30), (0.37, 111), (None, truth.sum())):
        top = distinct >= 300 - n
        found = metrics.at_rate(truth, distinct, rate)
        assert found["precision"] == pytest.approx(sk.precision_score(truth, top))
        assert found["f1"] == pytest.approx(sk.f1_score(truth, top))
    above = score > np.quantile(score, 0.8)
    paper = metrics.at_rate(truth, score, 0.2, paper=True)
    assert paper["recall"] == pytest.approx(sk.recall_score(truth, above))
    assert paper["tnr"] == pytest.approx(sk.recall_score(~truth, ~above))


def test_annotation_metrics_are_those_of_scikit_learn(rng):
    truth = rng.choice(list("abc"), 200)
    label = np.where(rng.random(200) < 0.7, truth, rng.choice([*"abd", "unassigned"], 200))
    classes, known = ["a", "b"], np.isin(truth, ["a", "b"])
    present, zero = sorted(set(truth)), {"zero_division": 0}
    assert metrics.f1_macro(truth, label) == pytest.approx(sk.f1_score(truth, label, labels=present, average="macro"))
    assert metrics.f1_micro(truth, label) == pytest.approx(sk.accuracy_score(truth, label))
    assert metrics.f1_weighted(truth, label) == pytest.approx(sk.f1_score(truth, label, average="weighted", **zero))
    assert metrics.f1_macro_union(truth, label) == pytest.approx(sk.f1_score(truth, label, average="macro", **zero))
    recalls = sk.recall_score(truth, label, labels=present, average=None)
    assert metrics.balanced_accuracy(truth, label) == pytest.approx(recalls.mean())
    assigned = label != "unassigned"
    assert metrics.coverage(label) == pytest.approx(assigned.mean())
    assert metrics.accuracy_assigned(truth, label) == pytest.approx((truth == label)[assigned].mean())
    assert metrics.unseen_fraction(truth, classes) == pytest.approx((~known).mean())
    assert metrics.unseen_rejected(truth, label, classes) == pytest.approx((~assigned)[~known].mean())
    sets = rng.random((200, 2)) < 0.6
    assert metrics.set_coverage(truth, sets, classes) == pytest.approx(((truth[:, None] == classes) & sets).sum() / 200)
    assert metrics.set_size(truth, sets, classes) == pytest.approx(sets.sum(axis=1).mean())
    table = metrics.by_class(truth, label)
    np.testing.assert_allclose(table.loc[present, "f1"], sk.f1_score(truth, label, labels=present, average=None))
    parent = {"a": "x", "b": "x", "c": "y", "d": "y"}
    coarse, given = [parent[t] for t in truth], [parent.get(p, p) for p in label]
    assert metrics.accuracy_at_level(coarse, label, parent) == pytest.approx(sk.accuracy_score(coarse, given))
    expected = sk.f1_score(coarse, given, labels=["x", "y"], average="macro")
    assert metrics.f1_macro_at_level(coarse, label, parent) == pytest.approx(expected)
    p = rng.dirichlet([0.5, 0.5], 200)
    one_hot = (truth[:, None] == np.array(classes)).astype(float)
    assert metrics.log_loss(truth, p, classes) == pytest.approx(sk.log_loss(truth[known], p[known], labels=classes))
    assert metrics.brier(truth, p, classes) == pytest.approx(((p - one_hot)[known] ** 2).sum(axis=1).mean())
    confidence, hit = p.max(axis=1), np.array(classes)[p.argmax(axis=1)] == truth
    bins = np.ceil(confidence * 15)
    gaps = [abs(confidence[bins == b].sum() - hit[bins == b].sum()) for b in set(bins)]
    assert metrics.ece(truth, p, classes) == pytest.approx(sum(gaps) / 200)


def test_imputation_metrics_are_those_of_scipy(rng):
    true = np.log1p(rng.poisson(2.0, (30, 12)).astype(float))
    imputed, asked = true + rng.normal(scale=0.5, size=true.shape), rng.random(true.shape) < 0.6
    t, y = true[asked], imputed[asked]
    assert metrics.mse(true, imputed, asked) == pytest.approx(sk.mean_squared_error(t, y))
    assert metrics.mse(sparse.csr_matrix(true), imputed) == pytest.approx(((true - imputed) ** 2).mean())
    assert metrics.pearson(true, imputed, asked) == pytest.approx(stats.pearsonr(t, y).statistic)
    assert metrics.slope(true, imputed, asked) == pytest.approx(stats.linregress(t, y).slope)
    cells = [stats.pearsonr(a[m], b[m]).statistic for a, b, m in zip(true, imputed, asked, strict=True)]
    assert metrics.pearson_cell(true, imputed, asked) == pytest.approx(np.mean(cells))
    columns = [(a[m], b[m]) for a, b, m in zip(true.T, imputed.T, asked.T, strict=True) if m.sum() >= 10]
    expected = np.mean([stats.pearsonr(a, b).statistic for a, b in columns])
    assert metrics.pearson_gene(true, imputed, asked) == pytest.approx(expected)
    zero = true == 0
    assert metrics.zeros_turned_on(zero, imputed) == pytest.approx((imputed[zero] >= np.log(2)).mean())

    def mean_correlation(values):
        r = np.abs(np.corrcoef(values, rowvar=False))
        return r[np.triu_indices(len(r), 1)].mean()

    difference = mean_correlation(imputed) - mean_correlation(true)
    assert metrics.correlation_inflation(true, imputed) == pytest.approx(difference)


def test_zeros_of_other_types_by_hand():
    counts = np.zeros((60, 4), dtype=int)
    labels = np.repeat(["a", "b", "few"], [25, 25, 10])
    counts[:25, 0] = 1  # marks a
    counts[25:32, 1] = 1  # in 28 % of b: marks b
    counts[25:30, 2] = 1  # in 20 % of b: marks nothing
    counts[:, 3] = 1
    found = metrics.zeros_of_other_types(counts, labels)
    assert found[:25, 1].all()
    assert found[25:50, 0].all()
    assert found.sum() == 50


def test_integration_metrics_are_those_of_scikit_learn_and_scib(rng):
    label, cluster = rng.choice(list("abc"), 90), rng.integers(4, size=90)
    assert metrics.nmi(label, cluster) == pytest.approx(sk.normalized_mutual_info_score(label, cluster))
    assert metrics.ari(label, cluster) == pytest.approx(sk.adjusted_rand_score(label, cluster))
    gaps = [None, *label[1:]]
    assert metrics.ari(gaps, cluster) == pytest.approx(sk.adjusted_rand_score(label[1:], cluster[1:]))
    kind = rng.integers(2, size=120)
    apart = rng.normal(size=(120, 6)) + 8 * kind[:, None]
    assert metrics.nmi_oracle(apart, kind) == pytest.approx(1)
    assert metrics.ari_oracle(apart, kind) == pytest.approx(1)
    assert np.isnan(metrics.nmi_oracle(apart, np.zeros(120)))
    scib = pytest.importorskip("scib_metrics")
    from scib_metrics.nearest_neighbors import NeighborsResults

    distance = np.linalg.norm(apart[:, None] - apart[None], axis=2)
    index = np.argsort(distance, axis=1, kind="stable")[:, :90]
    near = NeighborsResults(indices=index, distances=np.take_along_axis(distance, index, axis=1))
    assert metrics.ilisi(apart, kind) == pytest.approx(float(scib.ilisi_knn(near, kind)), abs=1e-4)
    assert metrics.graph_connectivity(apart, kind) == pytest.approx(float(scib.graph_connectivity(near, kind)))
    mixed = rng.integers(2, size=120)
    assert metrics.ilisi(apart, mixed) > metrics.ilisi(apart, kind)
    assert np.isnan(metrics.kbet_per_label(apart, np.zeros(120), kind))
    assert metrics.clisi(apart, kind) == pytest.approx(float(scib.clisi_knn(near, kind)), abs=1e-4)


def test_deg_metrics_by_sets_of_genes(rng):
    found, reference = rng.integers(-1, 2, size=200), rng.integers(-1, 2, size=200)
    sets = [{(g, s) for g, s in enumerate(signs) if s} for signs in (found, reference)]
    both, either = sets[0] & sets[1], {g for g, _ in sets[0] | sets[1]}
    assert metrics.overlap(found, reference) == pytest.approx(len(both) / len(sets[1]))
    assert metrics.deg_precision(found, reference) == pytest.approx(len(both) / len(sets[0]))
    # a gene up in one and down in the other counts twice, as one DEG of each
    assert metrics.jaccard(found, reference) == pytest.approx(len(both) / len(sets[0] | sets[1]))
    assert len(either) < len(sets[0] | sets[1])
    a, b = rng.normal(size=50), rng.normal(size=50)
    assert metrics.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    p, changed = rng.permutation(200) / 200, rng.random(200) < 0.2
    assert metrics.deg_auprc(p, np.ones(200), changed) == pytest.approx(sk.average_precision_score(changed, -p))
    untested = np.where(p > 0.9, np.nan, p)
    order = np.argsort(p)[: np.isfinite(untested).sum()]
    hits = np.cumsum(changed[order]) / np.arange(1, len(order) + 1)
    expected = hits[changed[order]].sum() / changed.sum()
    assert metrics.deg_auprc(untested, np.ones(200), changed) == pytest.approx(expected)
    assert metrics.fpr(untested) == pytest.approx((p < 0.05).sum() / np.isfinite(untested).sum())
    assert metrics.deg_signs([0.01, np.nan, 0.01], [0.2, 3.0, -0.3]).tolist() == [0, 0, -1]
    assert metrics.overlap_gain([0.5, np.nan, 0.9], [0.2, 0.1, 0.8]) == pytest.approx(0.2)
    for undefined in (metrics.overlap, metrics.deg_precision, metrics.jaccard):
        assert np.isnan(undefined([0, 0], [0, 0]))


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("auprc", ([1, 0], [0.1, 0.2, 0.3]), "is_doublet: 2, score: 3"),
        ("auprc", (["yes", "no"], [0.1, 0.2]), "neither true and false nor 1 and 0"),
        ("auprc", ([1, 0], [0.1, np.nan]), "score has values that are NaN"),
        ("auprc", ([[1, 0]], [0.1, 0.2]), "is_doublet has 2 dimensions"),
        ("f1", ([1, 0], ["True", "False"]), "call is neither"),
        ("at_rate", ([1, 0], [0.1, 0.2], 10), "10 is no share"),
        ("at_rate", ([1, 0], [0.1, 0.2], None, True), None),
        ("log_loss", (["a"], [[0.5, 0.5]], ["a"]), r"probabilities are \(1, 2\), for 1 cells and 1 classes"),
        ("accuracy_at_level", (["x"], ["a"], {}), "no parent of a"),
        ("mse", ([[1.0]], [[1.0, 2.0]]), r"\(1, 1\) and \(1, 2\)"),
        ("mse", ([1.0], [1.0]), "true has 1 dimensions"),
        ("zeros_turned_on", ([[1, 0]], [[1.0, 0.0]]), "give true and false for every entry"),
        ("ilisi", ([[1.0], [2.0]], ["a"]), "2 cells have 1 labels"),
        ("overlap", ([0.5], [1]), "found has other values"),
    ],
)
def test_arguments_that_do_not_fit_are_told(function, arguments, message):
    expected = TypeError if message is None else BenchError  # `paper` is given by name only
    with pytest.raises(expected, match=message or "positional"):
        getattr(metrics, function)(*arguments)


def test_what_a_run_reports_is_what_the_functions_give(tmp_path, cohort_cache):
    """The pooled scores of two tasks on the cohort, from the predictions that the run folder keeps."""
    from bench.api.watch import SILENT

    cells = bench.as_dataset("cohort").load().adata
    few = bench.as_dataset(
        cells[cells.obs["donor"].isin(sorted(set(cells.obs["donor"]))[:4])], "few", truth="generative"
    )
    out = {"out": tmp_path / "run", "display": SILENT}
    run = bench.run("doublet", "cxds", few, tracks="experimental", seeds=1, **out)
    scores = run.scores.query("method == 'cxds' and unit == 'pooled'").set_index("metric")["value"]
    answer = run.predictions("cxds").set_index("cell")
    truth = few.load().adata.obs["is_doublet"].loc[answer.index]
    for name in ("auprc", "auroc"):
        assert getattr(metrics, name)(truth, answer["score"]) == pytest.approx(scores[name])
    for name, value in metrics.at_rate(truth, answer["score"], 0.2).items():
        assert value == pytest.approx(scores[f"{name}@20%"])
    labels = bench.run("annotation", "logistic_regression", few, tracks="celltype", **out)
    scores = labels.scores.query("method == 'logistic_regression' and unit == 'pooled'").set_index("metric")["value"]
    answer = labels.predictions("logistic_regression").set_index("cell")
    truth = few.load().adata.obs["cell_type"].loc[answer.index]
    assert metrics.f1_macro(truth, answer["label"]) == pytest.approx(scores["f1_macro"])
    classes = sorted(set(few.load().adata.obs["cell_type"]))
    p = answer[classes]
    assert isinstance(p, pd.DataFrame)
    assert metrics.log_loss(truth, p, classes) == pytest.approx(scores["log_loss"], rel=1e-5)
