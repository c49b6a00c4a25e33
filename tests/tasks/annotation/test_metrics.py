"""Every metric against scikit-learn (or a plain loop) on random answers, with and without weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from bench.tasks.annotation.metrics import (
    CLASS_METRICS,
    METRIC_NAMES,
    N_BINS,
    AnnotationStatistic,
    Answers,
    reliability,
)

CLASSES = list("abcdefg")  # of the training cells; h and i are unseen, g is never tested
TRUTHS = list("abcdefhi")
PARENT = dict(zip("abcdefghi", "XXXYYYZZW", strict=True)) | {"unassigned": "unassigned"}


def _random(seed: int, n: int = 300) -> Answers:
    rng = np.random.default_rng(seed)
    truth = rng.choice(TRUTHS, size=n, p=[0.3, 0.25, 0.15, 0.1, 0.08, 0.06, 0.04, 0.02]).astype(object)
    noise = rng.choice([*CLASSES, "unassigned"], size=n).astype(object)
    label = np.where(np.isin(truth, CLASSES) & (rng.random(n) < 0.6), truth, noise)
    probabilities = rng.dirichlet(np.full(len(CLASSES), 0.4), size=n).astype(np.float32)
    up = [PARENT[x] for x in truth], [PARENT[x] for x in label]
    coarser = {"cell_type": tuple(np.array(x, dtype=object) for x in up)}
    sets = probabilities > 0.2
    return Answers(truth, label, np.isin(truth, CLASSES), coarser, CLASSES, probabilities, sets)  # type: ignore[arg-type]


def _named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(METRIC_NAMES, row.tolist(), strict=False))


def _expected(a: Answers, w: np.ndarray) -> dict[str, float]:
    y, p = a.truth.astype(str), a.label.astype(str)
    present = sorted(set(y[w > 0]))
    f1 = {"sample_weight": w, "zero_division": 0}
    keep, unseen = w > 0, ~a.seen
    assigned = p != "unassigned"
    seen = a.seen & keep
    one_hot = (y[:, None] == np.array(CLASSES)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # answers that are no true class
        balanced = sk.balanced_accuracy_score(y, p, sample_weight=w)
    up, given = (x.astype(str) for x in a.coarser["cell_type"])
    return {
        "f1_macro": sk.f1_score(y, p, labels=present, average="macro", **f1),
        "f1_micro": sk.f1_score(y, p, average="micro", **f1),
        "f1_weighted": sk.f1_score(y, p, average="weighted", **f1),
        "f1_macro_union": sk.f1_score(y[keep], p[keep], average="macro", sample_weight=w[keep], zero_division=0),
        "balanced_accuracy": balanced,
        "coverage": np.average(assigned, weights=w),
        "accuracy_assigned": sk.accuracy_score(y[assigned], p[assigned], sample_weight=w[assigned]),
        "unseen_fraction": np.average(unseen, weights=w),
        "unseen_rejected": np.average(~assigned[unseen], weights=w[unseen]),
        "accuracy_at_celltype": sk.accuracy_score(up, given, sample_weight=w),
        "f1_macro_at_celltype": sk.f1_score(up, given, labels=sorted(set(up[keep])), average="macro", **f1),
        "accuracy_at_subtype": np.nan,
        "f1_macro_at_subtype": np.nan,
        "log_loss": sk.log_loss(y[seen], a.probabilities[seen], labels=CLASSES, sample_weight=w[seen]),  # type: ignore[index]
        "brier": np.average(((a.probabilities - one_hot)[seen] ** 2).sum(axis=1), weights=w[seen]),
        "ece": _ece(a, w),
        "set_coverage_90": np.average((a.sets & (one_hot > 0)).any(axis=1), weights=w),
        "set_size_90": np.average([sum(row) for row in a.sets.tolist()], weights=w),
    }


def _ece(a: Answers, w: np.ndarray) -> float:
    assert a.probabilities is not None
    confidence = a.probabilities.max(axis=1)
    hit = np.array(CLASSES)[a.probabilities.argmax(axis=1)] == a.truth
    error = 0.0
    for low in np.arange(N_BINS) / N_BINS:
        inside = (confidence > low) & (confidence <= low + 1 / N_BINS)
        if w[inside].sum():
            gap = np.average(confidence[inside], weights=w[inside]) - np.average(hit[inside], weights=w[inside])
            error += w[inside].sum() / w.sum() * abs(gap)
    return error


@pytest.mark.parametrize("seed", range(4))
def test_all_metrics_and_weights_against_scikit_learn(seed: int) -> None:
    answers = _random(seed)
    n = len(answers.truth)
    drawn = np.random.default_rng(seed + 100).integers(0, 4, size=(3, n))
    weights = np.vstack([np.ones(n, dtype=np.int64), drawn])
    got = AnnotationStatistic(answers)(weights)
    for row, w in zip(got, weights, strict=True):
        assert _named(row) == pytest.approx(_expected(answers, w.astype(float)), rel=1e-5, nan_ok=True)
    assert AnnotationStatistic(answers).values() == pytest.approx(got[0].tolist(), nan_ok=True)


def test_micro_and_weighted_are_the_same_in_both_conventions() -> None:
    answers = _random(7)
    y, p = answers.truth.astype(str), answers.label.astype(str)
    got = _named(np.array(AnnotationStatistic(answers).values()))
    assert got["f1_micro"] == pytest.approx(sk.accuracy_score(y, p))
    present = sorted(set(y))
    weighted = [sk.f1_score(y, p, labels=labels, average="weighted", zero_division=0) for labels in (present, None)]
    assert got["f1_weighted"] == pytest.approx(weighted[0]) == pytest.approx(weighted[1])
    assert got["f1_macro"] > got["f1_macro_union"]


def test_classes_against_scikit_learn() -> None:
    answers = _random(3)
    names = sorted({*CLASSES, *TRUTHS})
    got = np.array(AnnotationStatistic(answers, names).values()[len(METRIC_NAMES) :]).reshape(len(names), -1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        answers.truth.astype(str), answers.label.astype(str), labels=names, zero_division=np.nan
    )
    assert list(CLASS_METRICS) == ["f1", "precision", "recall"]
    for row, expected, n in zip(got, np.column_stack([f1, precision, recall]), support, strict=True):
        if n:
            np.testing.assert_allclose(row, expected)
        else:  # answered but not there: no F1 of its own
            assert np.isnan(row).all()
    unseen = got[names.index("i")]  # a class nobody can answer: F1 0, precision undefined
    np.testing.assert_array_equal(np.isnan(unseen), [False, True, False])
    assert unseen[0] == unseen[2] == 0


def test_a_replicate_without_a_class_leaves_it_out_of_the_mean() -> None:
    truth = np.array(["a", "a", "b"], dtype=object)
    label = np.array(["a", "a", "a"], dtype=object)
    statistic = AnnotationStatistic(Answers(truth, label, np.ones(3, bool), {}, ["a", "b"]), ["b"])
    both, only_a = statistic(np.array([[1, 1, 1], [2, 1, 0]]))
    assert _named(both)["f1_macro"] == pytest.approx(0.4)
    assert _named(only_a)["f1_macro"] == 1.0
    assert both[len(METRIC_NAMES)] == 0.0
    assert np.isnan(only_a[len(METRIC_NAMES)])


def test_everything_unassigned() -> None:
    truth = np.array(["a", "b"], dtype=object)
    label = np.array(["unassigned"] * 2, dtype=object)
    got = _named(np.array(AnnotationStatistic(Answers(truth, label, np.ones(2, bool), {}, ["a", "b"])).values()))
    assert (got["f1_macro"], got["f1_macro_union"], got["coverage"], got["f1_micro"]) == (0, 0, 0, 0)
    undefined = {name for name, value in got.items() if np.isnan(value)}
    assert {"accuracy_assigned", "unseen_rejected", "log_loss", "brier", "ece"} <= undefined


def test_certain_and_right_is_calibrated_and_wrong_is_not() -> None:
    truth = np.array(["a", "b"], dtype=object)
    for matrix, ece, brier in (([[1, 0], [0, 1]], 0.0, 0.0), ([[0, 1], [1, 0]], 1.0, 2.0)):
        answers = Answers(truth, truth, np.ones(2, bool), {}, ["a", "b"], np.array(matrix, dtype=np.float32))
        got = _named(np.array(AnnotationStatistic(answers).values()))
        assert (got["ece"], got["brier"]) == (ece, brier)
        assert np.isfinite(got["log_loss"])
        assert reliability(answers) == ([1.0], [1.0 - ece])
