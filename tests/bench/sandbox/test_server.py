import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from toy_problem import INPUTS, toy_job

from bench.exchange.files import write_inputs
from bench.sandbox import Sandbox, server
from bench.system import cache_dir

LATE = """
from bench.method import Method
class Late(Method):
    name, tasks, summary = "late", ("guess",), "Total counts."
    def run(self, inputs, ctx):
        from late import weight
        return {"score": weight * inputs.cells.X.sum(axis=1).A1}
"""


def pid_of_next(threads=1):
    with Sandbox(threads) as sandbox:
        return sandbox._servers[()].process.pid


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on the search path; whatever server is kept before or after knows nothing of it."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    server.end_kept()


def test_a_server_serves_one_sandbox_after_the_other(place):
    assert pid_of_next() == pid_of_next()


def test_two_sandboxes_at_once_have_two_and_one_is_kept(place):
    with Sandbox(1) as first, Sandbox(1) as second:
        processes = [s._servers[()].process for s in (first, second)]
        assert processes[0].pid != processes[1].pid
    assert sorted(process.poll() is None for process in processes) == [False, True]
    server.end_kept()
    assert [process.poll() for process in processes] == [0, 0]


def test_a_server_that_would_not_be_the_same_is_not_used_again(place, monkeypatch):
    pids = [pid_of_next(), pid_of_next(threads=2), pid_of_next()]
    monkeypatch.setenv("LC_NUMERIC", "C.UTF-8")
    pids.append(pid_of_next())
    (place / "numpy").mkdir()
    pids.append(pid_of_next())
    monkeypatch.setattr(sys, "path", sys.path[1:])
    pids.append(pid_of_next())
    assert len(set(pids)) == len(pids)


def test_the_caches_of_each_sandbox_are_those_of_its_time(place, monkeypatch, tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    pids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / name / "cache"))
        with Sandbox(1) as sandbox:
            pids.append(sandbox._servers[()].process.pid)
            assert sandbox.run(toy_job(tmp_path / name, tmp_path / "inputs", "environment")).status == "ok"
        told = (tmp_path / name / "log.txt").read_text().splitlines()
        assert f"XDG_CACHE_HOME={tmp_path / name / 'cache' / 'compiled'}" in told
    assert pids[0] == pids[1]


def test_a_server_does_not_outlive_a_change_of_the_code_it_has_loaded(place, monkeypatch):
    (place / "bench").mkdir()
    source = place / "bench" / "worker.py"
    source.write_text("")
    monkeypatch.setattr(server.bench, "__file__", str(place / "bench" / "__init__.py"))
    before = pid_of_next()
    os.utime(source, ns=(1, 1))
    assert pid_of_next() != before


def test_a_process_that_was_forked_does_not_use_the_server_of_its_parent(place):
    before = pid_of_next()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(pid_of_next) != before
    assert pid_of_next() == before


def test_what_is_installed_between_two_sandboxes_can_be_opened(place, tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    package = place / "late"
    package.mkdir()
    (tmp_path / "method.py").write_text(LATE)

    def run(name):
        (tmp_path / name).mkdir()
        job = replace(toy_job(tmp_path / name, tmp_path / "inputs", "ok", cls="Late"), locator=locator)
        with Sandbox(1) as sandbox:
            pids.append(sandbox._servers[()].process.pid)
            return sandbox.run(job)

    locator, pids = {"file": str(tmp_path / "method.py"), "class": "Late"}, []
    assert run("before").status == "crash"
    (package / "__init__.py").write_text("weight = 1.0")  # no folder of the search path changes
    assert run("after").status == "ok"
    assert len(set(pids)) == 1


def test_a_sandbox_that_is_closed_while_a_job_runs_leaves_no_server(place, tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    with ThreadPoolExecutor(1) as pool:
        sandbox = Sandbox(1)
        job = toy_job(tmp_path / "job", tmp_path / "inputs", "sleep", timeout_s=60)
        running = pool.submit(sandbox.run, job)
        while sandbox._servers[()].is_idle:
            pass
        sandbox.close()
        assert running.result().status == "crash"
    assert sandbox._servers[()].process.poll() == 0


def test_modules_that_methods_share_are_imported_once(place, tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "method.py").write_text(LATE)
    source = (
        f"import os\nprint(os.environ['XDG_CACHE_HOME'], file=open({str(tmp_path / 'imports')!r}, 'a'))\nweight = 1.0"
    )
    (place / "late.py").write_text(source)
    with Sandbox(1) as sandbox:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            job = toy_job(tmp_path / name, tmp_path / "inputs", "ok", cls="Late")
            locator = {"file": str(tmp_path / "method.py"), "class": "Late"}
            outcome = sandbox.run(replace(job, locator=locator, preload=("late",)))
            assert outcome.status == "ok", outcome.detail
    assert (tmp_path / "imports").read_text().splitlines() == [str(cache_dir() / "compiled")]


def test_a_shared_module_that_is_not_there_is_told_by_the_trial(place, tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "method.py").write_text(LATE)
    (tmp_path / "job").mkdir()
    job = toy_job(tmp_path / "job", tmp_path / "inputs", "ok", cls="Late")
    with Sandbox(1) as sandbox:
        locator = {"file": str(tmp_path / "method.py"), "class": "Late"}
        outcome = sandbox.run(replace(job, locator=locator, preload=("late",)))
    assert (outcome.status, "No module named 'late'" in outcome.detail) == ("crash", True)
