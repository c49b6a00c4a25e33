"""What changed between two runs, on run folders made by hand; the intervals of single trials are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec
from scipy import sparse, stats

from bench.errors import BenchError
from bench.problem import Cells, Inputs, Problem
from bench.reports.compare import words
from bench.reports.compare.changes import Comparison, compare
from bench.reports.compare.junit import junit
from bench.reports.run.load import load
from bench.results.records import DataCard, PlannedTrial, ScoreRecord
from bench.results.store import Store
from bench.task import Seeds

METRICS = [metric("auprc", headline=True), metric("error", higher_is_better=False)]
TRACKS = {"plain": track(), "round": track(circular=True)}
OF_SPEC = ("track", "params", "method_digest", "task_version")
DONORS = {0: "abc", 1: "def", 2: "ghi"}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """A run folder; each trial is its method, value and what else its record or specification has."""

    def made(
        *trials: tuple[str, float, dict], truth: str = "", missing: tuple[str, ...] = (), digest: str = "d"
    ) -> Path:
        store = Store.create(tmp_path / str(len(list(tmp_path.iterdir()))))
        planned = [
            PlannedTrial(key=f"{i:016d}", track="plain", dataset="d", method=m, seeds=Seeds())
            for i, m in enumerate(missing)
        ]
        for number, (method, value, more) in enumerate(trials):
            key, more = f"{number:x}{store.root.name:a>15}", dict(more)
            seeds = Seeds(split=more.pop("split", 0), method=more.pop("seed", 0))
            fields = {
                name: more.pop(name) for name in ("track", "params", "method_digest", "task_version") if name in more
            }
            spec = trial_spec(
                method=method, seeds=seeds, **{"track": "plain", "dataset_digest": digest, "data_key": digest, **fields}
            )
            scores = [ScoreRecord(metric="auprc", value=value, n=6), ScoreRecord(metric="error", value=1 - value, n=6)]
            ok = more.get("status", "ok") == "ok"
            store.save(trial_record(key, spec, n_cells=6, **({"scores": scores} if ok else {}), **more), [])
            donors = DONORS[seeds.split]
            solution = pd.DataFrame({"donor": list(donors), "truth": truth}, index=[f"c{i}" for i in range(3)])
            cells = Cells(sparse.csr_matrix((3, 1)), solution, pd.DataFrame(index=["g"]))
            store.save_problem(spec.problem, Problem(Inputs(cells), solution))
            planned.append(PlannedTrial(key=key, track=spec.track, dataset="d", method=method, seeds=seeds))
        data = DataCard(
            name="d", summary="", digest=digest, fields=["donor"], truth="none", n_cells=60, n_genes=1, n_donors=12,
            source="", accession="", licence="", organism="", tissue="", caveat="", expected_doublet_rate=None,
        )  # fmt: skip
        cards = [method_card(name) for name in {p.method for p in planned}]
        save_request(store, task_card("t", TRACKS, METRICS), cards, planned, datasets=[data])
        return store.root

    return made


def compared(a: Path, b: Path, half: float | None = 0.05) -> Comparison:
    """As if every trial's interval of its difference were ``half`` wide to each side."""

    def intervals(first, second):
        assert first.spec.problem == second.spec.problem
        value = [{s.metric: s.value for s in r.scores} for r in (first, second)]
        return (
            {m: (value[1][m] - value[0][m] - half, value[1][m] - value[0][m] + half) for m in value[0]} if half else {}
        )

    return compare(load(a), load(b), intervals)


def change(found: Comparison, name: str = "auprc", method: str = "m") -> pd.Series:
    rows = found.scores[(found.scores["metric"] == name) & (found.scores["method"] == method)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(0.5, 0.6, "better"), (0.6, 0.5, "worse"), (0.5, 0.54, "not separated"), (0.5, 0.5, "same")],
)
def test_a_score_is_told_by_its_paired_interval_and_by_its_direction(run, before, after, told):
    found = compared(run(("m", before, {})), run(("m", after, {})))
    row = change(found)
    assert row["change"] == told
    assert row["difference"] == pytest.approx(after - before)
    assert change(found, "error")["change"] == told  # lower is better: the other sign, the same word
    assert len(found.worse) == (told == "worse")  # only the headline counts


def test_without_an_interval_nothing_is_called_worse(run):
    found = compared(run(("m", 0.9, {})), run(("m", 0.1, {})), half=None)
    assert change(found)["change"] == "no interval"
    assert found.worse.empty


def test_a_circular_truth_judges_nothing(run):
    found = compared(run(("m", 0.9, {"track": "round"})), run(("m", 0.1, {"track": "round"})))
    assert change(found)["change"] == "not judged"
    assert found.worse.empty


def test_over_splits_the_interval_is_students_of_the_paired_differences(run):
    values = {0: (0.50, 0.60), 1: (0.85, 0.94), 2: (0.20, 0.31)}
    wobble = [(0, 0.01), (1, -0.01)]
    a = run(*[("m", x, {"split": k, "seed": s}) for k, (x, _) in values.items() for s in (0, 1)])
    b = run(*[("m", y + d, {"split": k, "seed": s}) for k, (_, y) in values.items() for s, d in wobble])
    row = change(compared(a, b))
    differences = [y - x for x, y in values.values()]
    half = stats.t.ppf(0.975, 2) * np.std(differences, ddof=1) * np.sqrt(1 / 3 + 3 / 9)
    assert row[["difference", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [np.mean(differences), np.mean(differences) - half, np.mean(differences) + half]
    )
    # unpaired, the spread of the values themselves (0.2 to 0.9) would hide any difference
    assert row[["trials", "splits", "interval", "change"]].tolist() == [6, 3, "splits", "better"]


def test_only_seeds_that_both_have_are_paired(run):
    a = run(("m", 0.5, {"seed": 0}), ("m", 0.1, {"seed": 1}))
    found = compared(a, run(("m", 0.6, {"seed": 0})))
    assert change(found)[["a", "b", "trials"]].tolist() == [0.5, 0.6, 1]
    only = found.statuses
    assert only["method_seed"].tolist() == [1]
    assert not only["lost"].any()  # B never planned it


def test_a_trial_that_no_longer_finishes_is_lost(run):
    a = run(("m", 0.5, {}), ("k", 0.5, {}), ("x", 0.5, {"status": "crash"}), ("same", 0.1, {}))
    crash = {"status": "crash", "detail": "it broke\nhere"}
    found = compared(a, run(("m", 0.0, crash), ("x", 0.5, {}), ("same", 0.1, {}), missing=("k",)))
    table = found.statuses.set_index("method")
    assert table[["status_a", "status_b", "lost"]].loc[["k", "m", "x"]].to_numpy().tolist() == [
        ["ok", "missing", True], ["ok", "crash", True], ["crash", "ok", False],
    ]  # fmt: skip
    text = "\n".join(words.lines(found))
    assert "m 0.0.0: ok -> crash (it broke)" in text
    assert "2 trials no longer finished" in text


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        ({"digest": "d1"}, {"digest": "d2"}, "other data under this name"),
        ({"truth": "1"}, {"truth": "2"}, "the truth differs"),
    ],
)
def test_other_data_and_another_truth_are_not_compared(run, here, there, why):
    found = compared(run(("m", 0.9, {}), **here), run(("m", 0.1, {}), **there))
    assert found.scores.empty
    assert found.n_trials == 0
    assert why in found.refused["reason"].item()
    assert why in "\n".join(words.lines(found))
    [case] = ET.fromstring(junit(found)).iter("testcase")
    assert why in case.find("skipped").get("message")


def test_another_version_of_the_task_is_not_compared(run):
    found = compared(run(("m", 0.9, {})), run(("m", 0.1, {"task_version": "2"})))
    assert found.refused["reason"].tolist() == ["version 1 of the task in A, version 2 in B"]


def test_two_runs_without_a_trial_in_common_are_an_error(run):
    with pytest.raises(BenchError, match="share no trial"):
        compared(run(("m", 0.9, {})), run(("k", 0.9, {})))


def test_a_method_is_found_again_under_other_parameters(run):
    found = compared(run(("m", 0.5, {"params": {"k": 1}})), run(("m", 0.6, {"params": {"k": 2}})))
    assert change(found)["change"] == "better"
    assert found.settings[["method", "setting", "a", "b"]].to_numpy().tolist() == [["m", "parameter k", "1", "2"]]
    both = [("m", 0.5, {"params": {"k": 1}}), ("m", 0.1, {"params": {"k": 2}})]
    found = compared(run(*both), run(*reversed(both)))
    assert set(found.scores["method"]) == {"m (k=1)", "m (k=2)"}
    assert set(found.scores["change"]) == {"same"}


def test_versions_and_code_that_differ_are_named(run):
    a = run(("m", 0.5, {"imported": {"numpy": "1", "scipy": "2", "old": "1"}}))
    b = run(("m", 0.5, {"imported": {"numpy": "2", "scipy": "2"}, "method_digest": "other"}))
    found = compared(a, b)
    assert found.versions.to_numpy().tolist() == [["numpy", "1", "2"]]
    text = "\n".join(words.lines(found))
    assert "numpy 1 -> 2" in text
    assert "t: other source code of m" in text


#: What the schemas that CI servers publish allow.
ALLOWED = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testcase": {"classname", "name", "time"},
    "failure": {"message", "type"},
    "skipped": {"message"},
    "system-out": set(),
}


def test_junit_has_a_failure_for_what_is_worse_or_lost_and_counts_them(run):
    names = [("worse", 0.9, 0.5), ("better", 0.5, 0.9), ("same", 0.5, 0.5)]
    a = run(*[(m, x, {}) for m, x, _ in names], ("gone", 0.5, {}))
    b = run(*[(m, y, {}) for m, _, y in names], ("gone", 0.5, {"status": "oom", "detail": "\x1b[31mkilled"}))
    root = ET.fromstring(junit(compared(a, b)))
    for element in root.iter():
        assert set(element.attrib) == ALLOWED[element.tag], element.tag
    [suite] = root
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "better: auprc": ["system-out"],
        "same: auprc": ["system-out"],
        "worse: auprc": ["failure"],
        "gone: finishes (seeds 0.0.0)": ["failure"],
    }
    for counted in (root, suite):
        assert (counted.get("tests"), counted.get("failures"), counted.get("errors")) == ("4", "2", "0")


def test_json_and_text_say_the_same(run):
    found = compared(run(("m", 0.6, {}), ("n", 0.5, {})), run(("m", 0.5, {}), ("n", 0.5, {})))
    told = json.loads(words.as_json(found))
    assert (told["worse"], told["lost"], told["trials"]) == (1, 0, 2)
    row = next(s for s in told["scores"] if s["method"] == "m" and s["headline"])
    assert row["difference"] == pytest.approx(-0.1)
    assert words.sentence(found) == "Of 2 headline scores 1 worse and 1 the same."
    assert "-0.100 [-0.150, -0.050]  worse" in "\n".join(words.lines(found))
