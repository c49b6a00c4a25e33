from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import f1_score

from bench.errors import InvalidOutputError
from bench.exchange.gate import check
from bench.problem import Cells, Inputs, Problem, Score
from bench.tasks.annotation import AnnotationTask
from bench.tasks.annotation.metrics import METRIC_NAMES

TASK = AnnotationTask()
CLASSES = ["Ast_A", "Ast_B", "Exc_1", "Exc_2"]


def _problem(n: int = 120, *, unseen: bool = True, donors: int = 6, split: str = "donor", weak: str = "") -> Problem:
    rng = np.random.default_rng(0)
    names = [*CLASSES, "Mic_1"] if unseen else CLASSES
    label = np.array(names, dtype=object)[rng.integers(len(names), size=n)]
    index = pd.Index([f"c{i}" for i in range(n)])
    donor = pd.Series([f"d{i % donors}" for i in range(n)], index=index)
    solution = pd.DataFrame({"label": label, "donor": donor}, index=index)
    solution["seen"] = solution.label.isin(CLASSES)
    solution["cell_type"] = solution.label.str[:3]
    var = pd.DataFrame(index=["g0", "g1"])
    train = pd.DataFrame({"donor": ["t0", "t1"] * 10, "label": np.repeat(CLASSES, [11, 4, 4, 1])})
    inputs = Inputs(
        Cells(sparse.csr_matrix((n, 2)), pd.DataFrame({"donor": donor}), var),
        Cells(sparse.csr_matrix((20, 2)), train, var),
        {
            "classes": list(CLASSES),
            "split": split,
            "parents": {"cell_type": {c: c[:3] for c in CLASSES}},
            "weak_labels": weak,
        },
    )
    return Problem(inputs, solution)


def _answer(problem: Problem, *, probabilities: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    n = len(problem.solution)
    guess = np.array([*CLASSES, "unassigned"], dtype=object)[rng.integers(5, size=n)]
    right = problem.solution.seen.to_numpy() & (rng.random(n) < 0.6)
    label = np.where(right, problem.solution.label, guess).astype(str)
    given = {"label": label, "probability": rng.random(n)}
    return given | ({"probabilities": rng.dirichlet(np.ones(4), n)} if probabilities else {})


def _scores(problem: Problem, prediction: dict[str, np.ndarray]) -> dict[tuple[str, str], Score]:
    checked = check(prediction, problem.inputs, TASK.outputs)
    TASK.check(problem.inputs, checked)
    scored = TASK.score(problem, checked).scores
    rows = {(s.unit, s.metric): s for s in scored}
    assert len(rows) == len(scored)
    known = {m.name: m for m in TASK.metrics}
    for (_, name), s in rows.items():
        metric = known[name]
        if math.isnan(s.value):
            assert s.detail, f"{s} does not say why"
            assert s.ci_low is None
            continue
        assert metric.low is not None
        assert metric.low <= s.value <= (math.inf if metric.high is None else metric.high)
        if s.ci_low is not None:
            assert s.ci_high is not None
            assert s.ci_low <= s.ci_high
    return rows


def test_units_and_values() -> None:
    problem = _problem()
    prediction = _answer(problem)
    rows = _scores(problem, prediction)
    truth = problem.solution.label.to_numpy(dtype=str)
    units = {unit for unit, _ in rows}
    assert units == {
        "pooled", "donor_mean", "seen", *(f"donor:d{i}" for i in range(6)), *(f"class:{c}" for c in [*CLASSES, "Mic_1"])
    }  # fmt: skip
    label = prediction["label"]

    def macro(rows: np.ndarray) -> float:
        y, p = truth[rows], label[rows]
        return float(f1_score(y, p, labels=sorted(set(y)), average="macro", zero_division=0))

    everything = np.ones(len(truth), dtype=bool)
    donor = problem.solution.donor.to_numpy()
    assert rows["pooled", "f1_macro"].value == pytest.approx(macro(everything))
    assert rows["seen", "f1_macro"].value == pytest.approx(macro(problem.solution.seen.to_numpy()))
    by_donor = [macro(donor == f"d{i}") for i in range(6)]
    assert [rows[f"donor:d{i}", "f1_macro"].value for i in range(6)] == pytest.approx(by_donor)
    assert rows["donor_mean", "f1_macro"].value == pytest.approx(np.mean(by_donor))
    assert rows["pooled", "accuracy_at_celltype"].value == pytest.approx(
        np.mean([t[:3] == p[:3] for t, p in zip(truth, label, strict=True)])
    )
    low, high = rows["pooled", "f1_macro"].ci_low, rows["pooled", "f1_macro"].ci_high
    assert low is not None
    assert high is not None
    assert low < rows["pooled", "f1_macro"].value < high
    assert rows["pooled", "f1_macro"].detail == ""


def test_classes_tell_on_how_many_cells_they_rest() -> None:
    problem = _problem()
    rows = _scores(problem, _answer(problem))
    support = problem.solution.label.value_counts()
    for name, size in {**dict(zip(CLASSES, [11, 4, 4, 1], strict=True)), "Mic_1": 0}.items():
        row = rows[f"class:{name}", "train_cells"]
        assert (row.value, row.n) == (size, support[name])
    assert rows["class:Ast_A", "train_cells"].detail == "2 training donors; cell_type Ast"
    assert rows["class:Mic_1", "f1"].value == 0
    assert "given to 0 cells" in rows["class:Mic_1", "precision"].detail
    assert rows["class:Exc_1", "f1"].ci_low is not None


def test_sets_are_counted_cell_by_cell() -> None:
    problem = _problem()
    chosen = np.random.default_rng(2).random((120, 4)) < 0.6
    rows = _scores(problem, _answer(problem) | {"prediction_set": chosen.astype(float)})
    truth, donor = problem.solution["label"].to_numpy(), problem.solution["donor"].to_numpy()
    inside = np.array([c in CLASSES and chosen[i, CLASSES.index(c)] for i, c in enumerate(truth)])
    assert rows["pooled", "set_coverage_90"].value == pytest.approx(inside.mean())
    assert rows["pooled", "set_size_90"].value == pytest.approx(chosen.sum() / 120)
    for name in set(donor):
        assert rows[f"donor:{name}", "set_coverage_90"].value == pytest.approx(inside[donor == name].mean())
    low, high = rows["pooled", "set_coverage_90"].ci_low, rows["pooled", "set_coverage_90"].ci_high
    assert low is not None
    assert high is not None
    assert low < inside.mean() < high


def test_without_probabilities_calibration_is_undefined_and_says_so() -> None:
    problem = _problem(unseen=False)
    rows = _scores(problem, _answer(problem, probabilities=False))
    for metric in ("log_loss", "brier", "ece"):
        assert rows["pooled", metric].detail == "the method returns no probabilities"
    for metric in ("set_coverage_90", "set_size_90"):
        assert rows["pooled", metric].detail == "the method returns no sets of classes"
    assert rows["pooled", "unseen_rejected"].detail == "every class of these cells has training cells"
    assert ("seen", "f1_macro") not in rows
    assert TASK.score(problem, _answer(problem, probabilities=False)).curves == []


def test_reliability_curve() -> None:
    problem = _problem()
    (curve,) = TASK.score(problem, _answer(problem)).curves
    assert curve.name == "reliability"
    assert curve.x == sorted(curve.x)
    assert all(0 <= y <= 1 for y in curve.y)


def test_scores_are_deterministic() -> None:
    problem = _problem()
    prediction = _answer(problem)
    assert repr(TASK.score(problem, prediction)) == repr(TASK.score(problem, prediction))


def test_a_cell_level_split_is_flagged_beside_every_number() -> None:
    problem = _problem(split="cell", donors=1)
    rows = _scores(problem, _answer(problem))
    defined = [rows["pooled", name] for name in METRIC_NAMES if not math.isnan(rows["pooled", name].value)]
    assert all("cell-level split" in row.detail for row in defined)
    few = _scores(_problem(donors=2), _answer(_problem(donors=2)))
    assert few["pooled", "f1_macro"].detail == "interval rests on 2 donors"


def test_weak_labels_are_flagged_beside_every_number() -> None:
    problem = _problem(weak="derived labels (weak): x", donors=2)
    rows = _scores(problem, _answer(problem))
    defined = [rows["pooled", name] for name in METRIC_NAMES if not math.isnan(rows["pooled", name].value)]
    assert {row.detail for row in defined} == {"derived labels (weak): x; interval rests on 2 donors"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": np.repeat("Mic_1", 120)}, "'Mic_1'"),
        ({"probabilities": np.full((120, 4), 0.3)}, "sum to 1.2"),
        ({"probabilities": np.full((120, 3), 1 / 3)}, r"expected \(120, 4\)"),
        ({"prediction_set": np.full((120, 4), 0.5)}, "other than 0 and 1"),
        ({"probability": np.full(120, 1.5)}, "allowed from 0 to 1"),
    ],
)
def test_bad_answers_are_refused(change: dict[str, np.ndarray], told: str) -> None:
    problem = _problem()
    with pytest.raises(InvalidOutputError, match=told):
        _scores(problem, _answer(problem) | change)


def test_controls_anchor_the_scale() -> None:
    problem = _problem(600)
    rows = {}
    for control in TASK.controls:
        prediction = control.predict(problem, np.random.default_rng(0))
        rows[control.name] = _scores(problem, dict(prediction))
    best, worst, chance = rows["truth"], rows["majority"], rows["random_prior"]
    assert best["seen", "f1_macro"].value == best["pooled", "accuracy_assigned"].value == 1
    assert best["pooled", "unseen_rejected"].value == 1
    assert best["pooled", "f1_macro"].value == pytest.approx(0.8)  # nobody can name the fifth class
    assert best["pooled", "log_loss"].value == best["pooled", "brier"].value == 0
    truth = problem.solution.label.to_numpy(dtype=str)
    assert worst["pooled", "f1_micro"].value == pytest.approx(np.mean(truth == "Ast_A"))
    assert 0 < chance["pooled", "f1_macro"].value < 0.4
    drawn = dict(TASK.controls[0].predict(problem, np.random.default_rng(3)))["label"]
    assert pd.Series(drawn).value_counts(normalize=True)["Ast_A"] == pytest.approx(11 / 20, abs=0.08)
