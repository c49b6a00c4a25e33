"""Whatever goes wrong in one trial, in a task's own code or for want of disk, its record says so and the others run."""

import errno
import tempfile

import pytest
from conftest_core import PLUGIN, ToySource

from bench import cli
from bench.api.watch import Silent
from bench.errors import BenchError
from bench.execution.engines import LocalEngine
from bench.execution.problem_cache import Problems
from bench.execution.run import run
from bench.execution.scratch import Scratch
from bench.plan.grid import RunRequest
from bench.plan.registry import Registry
from bench.results.records import Limits

RUDE = PLUGIN.with_name("rude_plugin.py")


class Watcher(Silent):
    """Writes down what it is told."""

    def __init__(self, plan, todo, finished):
        self.told = []
        Watcher.last = self

    def preparing(self, planned):
        self.told.append(("preparing", planned.spec.method))

    def started(self, planned):
        self.told.append(("started", planned.spec.method))

    def finished(self, planned, record):
        self.told.append(("finished", planned.spec.method))


@pytest.fixture
def go(tmp_path):
    def _go(*methods, track="nothing", jobs=1, n_cells=60, **params):
        registry = Registry([RUDE], [ToySource(n_cells=n_cells)])
        ask = RunRequest("rude", tracks=[track], methods=methods or ["controls"], params=params)
        limits = Limits(timeout_s=30, memory_mb=4000)
        result = run(registry, ask, tmp_path / "run", LocalEngine(jobs), limits, Watcher, command=["bench", "run"])
        return result, {r.spec.method: r for r in result.records}

    return _go


def test_a_control_that_goes_wrong_costs_its_own_trial(go):
    result, records = go("polite", "forgetful", jobs=2)
    assert {name: record.status for name, record in records.items()} == {
        "truth": "ok",
        "fails": "crash",
        "leaves": "crash",
        "silent": "invalid_output",
        "short": "invalid_output",
        "declines": "not_applicable",
        "sorted": "ok",
        "polite": "ok",
        "forgetful": "crash",
    }
    assert records["fails"].detail == "the control failed: ValueError: it broke on file ?"
    assert records["fails"].retryable
    assert 'raise ValueError("it broke' in records["fails"].log_tail
    assert records["leaves"].detail == "the control failed: SystemExit: 3"
    assert 'return a dict {"score": a number per cell}' in records["silent"].detail
    assert "no memory of it" in records["forgetful"].detail
    assert records["sorted"].scores == records["truth"].scores
    assert records["truth"].resources.wall_s is not None
    assert result.counts["crash"] == 3


@pytest.mark.parametrize(
    ("track", "told"),
    [
        ("broken", "the problem could not be built: RuntimeError: the task has a bug"),
        ("check", "the prediction could not be checked: KeyError: 'check'"),
        ("score", "the prediction could not be scored: RuntimeError: score has a bug"),
    ],
)
def test_a_fault_of_the_task_is_a_record_of_every_trial(go, track, told):
    _, records = go("polite", track=track)
    for name in ("truth", "polite"):
        assert records[name].status == "crash"
        assert records[name].detail == told
        assert records[name].log_tail.count("Traceback") == 1
    assert records["fails"].status == "crash"


def test_a_fault_in_what_the_report_draws_costs_no_trial(go, caplog):
    result, records = go("polite", track="problem_tables")
    assert records["polite"].status == "ok"
    assert not caplog.records
    result.draw()
    assert "problem_tables itself: RuntimeError: problem_tables has a bug" in caplog.text


@pytest.fixture
def builds(monkeypatch):
    """Notes among what the watcher is told when a problem is built."""
    build = Problems._build

    def noted(self, *args):
        Watcher.last.told.append("build")
        return build(self, *args)

    monkeypatch.setattr(Problems, "_build", noted)


def test_a_problem_that_cannot_be_built_is_tried_once(go, builds):
    go(track="broken")
    assert Watcher.last.told.count("build") == 1
    assert ("started", "truth") not in Watcher.last.told


def test_the_time_of_building_the_problem_is_no_trials_own(go, builds):
    go("polite")
    assert Watcher.last.told[:4] == [("preparing", "truth"), "build", ("started", "truth"), ("finished", "truth")]
    assert ("started", "polite") in Watcher.last.told


def test_a_fault_of_the_harness_in_one_trial_ends_no_other(go, monkeypatch):
    from bench.execution.trial import TrialRunner

    attempt = TrialRunner._attempt

    def faulty(self, planned, *rest):
        if planned.spec.method == "truth":
            raise TypeError("a bug of ours")
        return attempt(self, planned, *rest)

    monkeypatch.setattr(TrialRunner, "_attempt", faulty)
    result, records = go("polite")
    assert result.counts["missing"] == 1
    assert records["polite"].status == "ok"
    assert not result.complete


@pytest.fixture
def small_tmp(small_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    return small_disk


@pytest.mark.parametrize("how", ["write", "numpy", "memory map"])
def test_a_method_without_room_for_its_files_is_tried_again(go, small_tmp, how):
    _, records = go("full", "polite", full={"how": how})
    assert records["full"].status == "crash"
    assert records["full"].retryable
    assert f"{small_tmp} has room for " in records["full"].detail
    assert "TMPDIR" in records["full"].detail
    assert records["polite"].status == records["truth"].status == "ok"
    assert list(small_tmp.iterdir()) == []


def test_a_problem_without_room_for_its_inputs_says_what_it_needs(go, small_tmp, monkeypatch):
    _, records = go("polite", n_cells=60_000)
    for record in (records["truth"], records["polite"]):
        assert (record.status, record.retryable) == ("crash", True)
        assert "a problem's inputs needs about" in record.detail
        assert f"where: {small_tmp}" in record.detail
        assert "TMPDIR" in record.detail
    monkeypatch.setattr(tempfile, "tempdir", None)
    result, records = go("polite", n_cells=60_000)
    assert records["polite"].status == "ok"
    assert result.ran == len(result.records)


def test_a_disk_that_fills_while_inputs_are_written_leaves_no_part_of_them(go, small_tmp, monkeypatch):
    monkeypatch.setattr(Scratch, "refuse", lambda *_: None)
    _, records = go("polite", n_cells=60_000)
    assert records["truth"].status == records["polite"].status == "crash"
    assert f"{small_tmp} has room for 2" in records["truth"].detail  # all of it: what was written is gone
    assert list(small_tmp.iterdir()) == []


def test_a_place_without_room_for_any_file_is_named(monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(BenchError, match="temporary files cannot be written: No space left") as error:
        Scratch()
    assert error.value.where == str(tmp_path)
    assert "TMPDIR" in error.value.fix


@pytest.mark.parametrize(("code", "places"), [(errno.ENOSPC, True), (errno.EPIPE, False)])
def test_a_command_without_room_names_the_places_it_writes_to(monkeypatch, capsys, tmp_path, code, places):
    def full(**_):
        raise OSError(code, "no more")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(cli, "_command", lambda: full)
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr().err
    assert (f"{tmp_path} (" in told) is places
    assert ("TMPDIR" in told) is places
