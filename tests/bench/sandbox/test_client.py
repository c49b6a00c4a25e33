import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from toy_problem import INPUTS, toy_job

from bench.exchange.files import write_inputs
from bench.exchange.gate import receive
from bench.sandbox import Sandbox, server, supervisor, worker
from bench.sandbox.progress import Progress, ProgressNote, read_progress


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(1) as running:
        yield running


@pytest.fixture
def run(sandbox, tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")

    def _run(mode="ok", **kwargs):
        folder = tmp_path / f"{mode}-{time.time_ns()}"
        folder.mkdir()
        _run.folder = folder
        job = toy_job(folder, tmp_path / "inputs", mode, **kwargs)
        _run.prediction = lambda: receive(folder, tmp_path / "inputs", "p", INPUTS, job.outputs)
        return sandbox.run(job)

    return _run


def log_of(run):
    return (run.folder / "log.txt").read_text()


def test_a_good_method_is_measured_and_its_output_comes_back_in_order(run):
    outcome = run()
    assert outcome.status == "ok"
    assert 0 < outcome.wall_s < 5
    assert outcome.cpu_s > 0
    assert outcome.rss_peak_mb > 20
    assert outcome.phases["predict"] > 0
    totals = np.asarray(INPUTS.cells.X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(run.prediction()["score"], totals)
    assert "a line for the log" in log_of(run)


def test_values_under_the_names_of_cells_are_put_into_their_order(run):
    assert run("named").status == "ok"
    totals = np.asarray(INPUTS.cells.X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(run.prediction()["score"], totals)


HALVES = """
from bench.method import Method
class Halves(Method):
    name, tasks, summary, fractional_counts = "halves", ("guess",), "Total counts.", {fractional}
    def run(self, inputs, ctx):
        return {{"score": inputs.cells.X.sum(axis=1).A1}}
"""


needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.mark.parametrize("fractional", [True, False])
def test_half_counts_are_rounded_for_a_method_that_needs_whole_ones_and_its_row_says_so(sandbox, tmp_path, fractional):
    cells = replace(INPUTS.cells, X=INPUTS.cells.X / 2)
    write_inputs(replace(INPUTS, cells=cells), tmp_path / "inputs", "p")
    (tmp_path / "halves.py").write_text(HALVES.format(fractional=fractional))
    job = replace(toy_job(tmp_path, tmp_path / "inputs", "ok", cls="Halves"), params={})
    outcome = sandbox.run(replace(job, locator={"file": str(tmp_path / "halves.py"), "class": "Halves"}))
    assert outcome.status == "ok", outcome.detail
    score = receive(tmp_path, tmp_path / "inputs", "p", INPUTS, job.outputs)["score"]
    exact = cells.X.sum(axis=1).A1
    assert np.array_equal(score, exact) == fractional
    assert (score == np.rint(score)).all() != fractional
    assert score.sum() == pytest.approx(exact.sum(), rel=0.1)
    assert any("rounded up or down at random" in note for note in outcome.notes) != fractional


@pytest.mark.parametrize(
    ("mode", "status", "told"),
    [
        ("exit", "crash", "exit code 3"),
        ("segfault", "crash", "SIGSEGV"),
        pytest.param("torch", "crash", "SIGSEGV", marks=needs_torch),
        ("raise", "crash", "ValueError: it went wrong"),
        ("allocate", "oom", "Unable to allocate"),
        ("short", "invalid_output", "shape"),
        (
            "nothing",
            "invalid_output",
            'run() returned None\n  fix:   return a dict {"score": a number per cell} and, if',
        ),
        ("column", "crash", "KeyError: 'condition'; the columns of this table: donor"),
        ("attribute", "crash", "no attribute 'condition'; the columns of this table: donor"),
        ("fact", "crash", "KeyError: 'classes'; inputs.info has: fact"),
        ("field", "crash", "no attribute 'obs'; Inputs has: cells, train, info, query"),
        ("threads", "ok", ""),
        ("leave", "crash", "SystemExit: 0"),
        ("interrupt", "crash", "KeyboardInterrupt"),
        ("silence", "ok", ""),
        ("forge", "crash", "overwrote"),
        ("forge_junk", "crash", "overwrote"),
        ("abort", "crash", "SIGABRT"),
    ],
)
def test_whatever_a_method_does_becomes_a_status(run, mode, status, told):
    outcome = run(mode)
    assert outcome.status == status
    assert told in outcome.detail


@pytest.mark.r
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("r_quits", "exit code 3"),
        ("r_overflows", "SIGSEGV|stack overflow|C stack usage|infinite recursion"),  # by the version of R
        ("r_crashes", "SIGSEGV"),
    ],
)
def test_a_crash_of_r_costs_its_own_trial_only(run, mode, told):
    if shutil.which("R") is None or importlib.util.find_spec("rpy2") is None:
        pytest.skip("needs R and rpy2")
    outcome = run(mode)
    assert outcome.status == "crash"
    assert re.search(told, outcome.detail)
    assert run("ok").status == "ok"


def test_a_traceback_is_kept_in_the_log(run):
    run("raise")
    assert "ValueError: it went wrong" in log_of(run)


def test_what_was_printed_before_a_hard_crash_and_where_it_crashed_are_kept_in_the_log(run):
    run("abort")
    assert "printed before the end" in log_of(run)
    assert "in _abort" in log_of(run)


def test_a_tool_that_writes_into_the_working_directory_writes_into_scratch(run):
    before = set(Path.cwd().iterdir())
    assert run("litter").status == "ok"
    assert (run.folder / "scratch" / "lightning_logs").exists()
    assert set(Path.cwd().iterdir()) == before


def test_growing_memory_is_stopped_at_the_limit(run):
    outcome = run("hoard", memory_mb=500.0)
    assert outcome.status == "oom"
    assert "500 MB" in outcome.detail
    assert 400 < outcome.rss_peak_mb < 3000


@pytest.mark.parametrize("mode", ["loop", "stubborn"])
def test_the_clock_is_enforced_even_when_sigterm_is_ignored(run, mode):
    start = time.monotonic()
    outcome = run(mode, timeout_s=0.5)
    assert outcome.status == "timeout"
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("stuck", "limit of 0.5 s in fit, at 37 %: epoch 12, loss 0.31, file ?"),
        ("stuck_dumb", "limit of 0.5 s in fit"),
        ("stuck_later", "limit of 0.5 s, at 50 %"),
        ("sleep", "limit of 0.5 s"),
    ],
)
def test_a_trial_that_is_stopped_says_how_far_it_came(run, mode, told):
    outcome = run(mode, timeout_s=0.5)
    assert outcome.status == "timeout"
    assert outcome.detail.endswith(told)


@pytest.mark.parametrize(
    ("mode", "told"),
    [("hoard_fitting", "500 MB in fit, at 50 %: hoarding"), ("allocate_fitting", "in fit, at 50 %: allocating")],
)
def test_a_trial_without_memory_says_how_far_it_came(run, mode, told):
    outcome = run(mode, memory_mb=500.0)
    assert outcome.status == "oom"
    assert outcome.detail.endswith(told)


def test_the_rounds_of_a_trial_are_told_even_if_the_method_tells_nothing():
    told = []
    for k in range(2):
        report = worker._part_of(lambda done, message: told.append((done, message)), k, 2)
    report(0.5, "epoch 3")
    assert told == [(0.0, "round 1 of 2"), (0.5, "round 2 of 2"), (0.75, "round 2 of 2: epoch 3")]


@pytest.mark.parametrize("written", ["", "[1, 2", "[1]", '{"fraction": []}', '{"fraction": "x"}'])
def test_a_note_of_progress_that_is_no_such_tells_nothing(tmp_path, written):
    (tmp_path / "progress.json").write_text(written)
    assert read_progress(tmp_path) == Progress()


def test_a_note_of_progress_is_whole_whatever_was_told_before(tmp_path):
    note = ProgressNote(tmp_path)
    note.progress(0.2, "\U0001f9e0" * 1000)
    assert read_progress(tmp_path).message == "\U0001f9e0" * 300
    note.phase("predict")
    note.progress(7, "short")
    assert read_progress(tmp_path) == Progress(1.0, "short", "predict")


def sleepers(tag):
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[:2] == ["sleep", tag]]


def test_no_child_outlives_its_trial_however_it_detaches(run):
    assert run("children", seconds=4321.5).status == "ok"
    assert sleepers("4321.5") == []


def test_threads_are_held_to_the_budget_everywhere(run):
    run("environment")
    log = log_of(run)
    for name in ("OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "NUMBA_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"):
        assert name in log


def test_a_mutating_method_is_caught_when_asked_to_look(run):
    assert run("mutate").status == "ok"
    assert run("mutate", verify_inputs=True).status == "invalid_output"


def test_everything_ends_with_the_parent_even_by_sigkill(tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    code = f"""
import sys; sys.path[:] = {sys.path!r}
from pathlib import Path
from toy_problem import toy_job
from bench.sandbox import Sandbox
Sandbox(1).run(toy_job(Path({str(tmp_path / "job")!r}), Path({str(tmp_path / "inputs")!r}), "children", seconds=4322.5))
"""
    # The children's parent sleeps half a second before the trial ends; the kill comes while they are alive.
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while (started := len(sleepers("4322.5"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert started == 3
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while sleepers("4322.5") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers("4322.5") == []


def test_a_killed_fork_server_is_replaced_and_after_the_end_refused(tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    with Sandbox(1) as sandbox:
        sandbox._servers[()].process.kill()
        sandbox._servers[()].process.wait()
        assert sandbox.run(toy_job(tmp_path / "job", tmp_path / "inputs", "ok")).status == "ok"
    assert sandbox.run(toy_job(tmp_path / "job", tmp_path / "inputs", "ok")).status == "crash"


@pytest.mark.parametrize(
    ("whom", "by"),
    [
        ("worker", signal.SIGKILL),
        ("worker", signal.SIGTERM),
        ("supervisor", signal.SIGKILL),
        ("supervisor", signal.SIGTERM),
        ("fork server", signal.SIGKILL),
    ],
)
def test_who_is_killed_from_outside_is_tried_again_and_no_method_is_blamed(tmp_path, whom, by):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    with Sandbox(1) as sandbox, ThreadPoolExecutor(1) as pool:
        job = toy_job(tmp_path / "job", tmp_path / "inputs", "linger", seconds=4324.5, timeout_s=60)
        running = pool.submit(sandbox.run, job)
        deadline = time.monotonic() + 30
        while not (found := sleepers("4324.5")) and time.monotonic() < deadline:
            time.sleep(0.01)
        fork_server = psutil.Process(sandbox._servers[()].process.pid)
        [supervisor] = fork_server.children()
        [worker] = [p for p in supervisor.children() if p not in found]
        {"fork server": fork_server, "supervisor": supervisor, "worker": worker}[whom].send_signal(by)
        outcome = running.result()
    assert (outcome.status, outcome.retryable) == ("crash", True)
    assert "the same command tries it again" in outcome.detail
    if whom == "worker":
        assert f"from outside by {by.name} at" in outcome.detail
        assert "its limit is 4000 MB" in outcome.detail
    while sleepers("4324.5") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers("4324.5") == []


@pytest.mark.parametrize(
    ("peak_mb", "limit_mb", "short_of_memory", "status"),
    [(900, 1000, False, "oom"), (100, 1000, True, "crash"), (100, None, True, "oom"), (100, None, False, "crash")],
)
def test_a_kill_is_for_want_of_memory_where_the_method_used_what_it_may(peak_mb, limit_mb, short_of_memory, status):
    found = supervisor._killed(signal.SIGKILL, peak_mb, limit_mb, short_of_memory)
    assert found["status"] == status
    assert found.get("retryable", False) is (status == "crash")


def test_killing_the_watcher_leaves_no_process_behind(tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    with Sandbox(1) as sandbox:
        outcome = sandbox.run(toy_job(tmp_path / "job", tmp_path / "inputs", "regicide", seconds=4323.5))
    assert outcome.status == "crash"
    assert sleepers("4323.5") == []


def test_files_of_the_working_directory_do_not_shadow_the_harness(tmp_path, monkeypatch):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    (tmp_path / "bench").mkdir()
    (tmp_path / "json.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    server.end_kept()
    with Sandbox(1) as sandbox:
        assert sandbox.run(toy_job(tmp_path / "job", tmp_path / "inputs", "ok")).status == "ok"
