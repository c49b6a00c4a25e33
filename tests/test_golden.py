"""A run folder of version 0.1 (``golden/README.md``) is read, scored again, merged and gone on with; damage is told."""

import json
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from bench import cli
from bench.execution.rescore import rescore
from bench.plan.grid import RunRequest, make_plan
from bench.plan.registry import Registry
from bench.reports.run.load import load
from bench.results.merge import merge
from bench.results.store import Store

ARCHIVE = Path(__file__).parent / "golden" / "run-0.1.tar.xz"
TABLES = [f"{name}.csv" for name in ("results", "curves", "versions")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The run folder; its data are named by ``BENCH_DATA``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "run"


@pytest.fixture
def bench(monkeypatch, capsys):
    """Exit code and standard error of a command."""

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capsys.readouterr().err

    return command


def content(run):
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}


def test_its_records_are_read_and_make_the_same_tables(run):
    store = Store.open(run)
    assert {record.status for record in store.records()} == {"ok", "crash", "unavailable", "not_applicable"}
    before = [(run / table).read_bytes() for table in TABLES]
    (run / ".tables").unlink()  # says that they are those of the records
    assert store.write_tables()
    assert [(run / table).read_bytes() for table in TABLES] == before


def test_the_report_shows_it(run, bench):
    assert bench("report", run, "--figures", "") == (0, "")
    page = (run / "report.html").read_text()
    for name in ("cxds", "scibet", "knn_smoothing", "it went wrong"):
        assert name in page
    assert load(run).superseded == 0


def test_rescoring_gives_the_numbers_that_it_holds(run):
    without_outdated(run)
    store = Store.open(run)
    before = {record.key: record for record in store.records()}
    answered = {key for key, record in before.items() if record.status == "ok"}
    done = []
    assert rescore(Registry(), store, done.append) == len(answered) == len(done) > 5
    for record in store.records():
        assert_same(record, before[record.key])


def without_outdated(run):
    """Take out the trials of tasks that have another version by now, whose predictions are not scored again."""
    now = {name: entry.value.version for name, entry in Registry().tasks.items()}
    for file in run.glob("trials/*/trial.json"):
        spec = json.loads(file.read_text())["spec"]
        if now[spec["task"]] != spec["task_version"]:
            shutil.rmtree(file.parent)


def assert_same(record, expected):
    """Two records tell the same; numbers may differ by rounding."""
    names, numbers = told(record)
    expected_names, expected_numbers = told(expected)
    assert names == expected_names
    assert numbers == pytest.approx(expected_numbers, rel=1e-9, abs=1e-12), record.spec


def told(record):
    """Names and numbers of a record's scores and curves."""
    numbers = [v for s in record.scores for v in (s.value, s.ci_low, s.ci_high)]
    numbers += [v for curve in record.curves for v in (*curve.x, *curve.y)]
    names = [(s.metric, s.unit, s.n, s.detail) for s in record.scores] + [(c.name, len(c.x)) for c in record.curves]
    return names, [float("inf") if number is None else number for number in numbers]


def test_merging_it_with_itself_adds_nothing(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    merged = merge([run, copy], tmp_path / "merged")
    assert {r.key: r for r in merged.records()} == {r.key: r for r in Store.open(run).records()}
    once = content(merged.root)
    assert {name for name in content(run) if name.startswith(("trials/", "problems/", "requests/"))} <= set(once)
    merge([copy, run], merged.root)
    assert content(merged.root) == once


def test_going_on_runs_the_methods_again_and_says_why_but_no_control(run, bench):
    request = ["--task", "doublet", "--tracks", "experimental", "--methods", "cxds", "--datasets", "small"]
    code, said = bench("run", *request, "--seeds", 1, "--out", run, "--jobs", 1, "--no-report")
    assert code == 0
    assert "1 trial to run, 4 finished before" in said
    assert "run again: cxds: the code of the method" in said
    assert "changed since bench 0.1.0" in said
    plan = make_plan(Registry(), RunRequest("doublet", tracks=["experimental"], methods=["cxds"], datasets=["small"]))
    old, new = (r for r in Store.open(run).records() if r.spec.method == "cxds")
    assert {old.key, new.key} - {planned.key for planned in plan.trials}
    assert_same(new, old)
    assert load(run).superseded == 1
    assert bench("run", *request, "--out", run, "--jobs", 1, "--no-report")[1].count("run again") == 0


def cut(file):
    file.write_bytes(file.read_bytes()[:200])


def first(run, pattern):
    return min(run.glob(pattern))


DAMAGES = {
    "no run.json": (lambda run: (run / "run.json").unlink(), "report", "run.json is missing"),
    "run.json cut": (lambda run: (run / "run.json").write_text('{"run_id": "'), "report", "run.json is not a valid"),
    "record cut": (lambda run: cut(first(run, "trials/*/trial.json")), "report", "trial.json is not a valid"),
    "record empty": (
        lambda run: first(run, "trials/*/trial.json").write_text(""),
        "merge",
        "trial.json is not a valid",
    ),
    "record binary": (lambda run: first(run, "trials/*/trial.json").write_bytes(b"\xff"), "run", "is not a valid"),
    "field of a later version": (
        lambda run: first(run, "trials/*/trial.json").write_text(
            first(run, "trials/*/trial.json").read_text().replace('"key"', '"later": 1, "key"', 1)
        ),
        "rescore",
        "another version of bench",
    ),
    "request cut": (lambda run: cut(first(run, "requests/*.json")), "run", "is not a valid Request"),
    "table cut": (lambda run: cut(run / "results.parquet"), "report", "results.parquet cannot be read"),
    "truth cut": (lambda run: cut(first(run, "problems/*/solution.parquet")), "report", "solution.parquet cannot be"),
    "prediction cut": (
        lambda run: [without_outdated(run), *map(cut, run.glob("trials/*/prediction.parquet"))],
        "rescore",
        "the kept prediction cannot be read",
    ),
    "expression cut": (
        lambda run: [without_outdated(run), *map(cut, run.glob("trials/*/expression.npz"))],
        "rescore",
        "the kept prediction cannot be read",
    ),
    "another folder": (
        lambda run: [shutil.rmtree(run), run.mkdir(), (run / "thesis.tex").write_text("")],
        "run",
        "is not a run folder",
    ),
    "a file": (lambda run: [shutil.rmtree(run), run.write_text("")], "merge", "not a run folder"),
    "nothing": (lambda run: shutil.rmtree(run), "rescore", "not a run folder"),
}


@pytest.mark.parametrize(("damage", "command", "told"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_told_in_one_sentence_with_its_place_and_a_fix(run, bench, tmp_path, damage, command, told):
    damage(run)
    words = {
        "report": ["report", run, "--figures", ""],
        "rescore": ["rescore", run],
        "merge": ["merge", run, "--out", tmp_path / "merged"],
        "run": ["run", "--task", "doublet", "--methods", "controls", "--datasets", "small", "--out", run],
    }
    code, said = bench(*words[command])
    assert code == 2
    sentence, where, fix = said[said.index("error: ") :].splitlines()
    assert told in f"{sentence} {fix}"
    assert str(run) in where
    assert fix.startswith("  fix:   ")
