import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from toy_problem import INPUTS, toy_job

from bench.api.watch import Silent
from bench.exchange.files import write_inputs
from bench.execution.engines import LocalEngine
from bench.execution.run import run
from bench.plan.grid import RunRequest
from bench.sandbox import Sandbox, landlock

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this system cannot guard files")


@needs_landlock
def test_a_method_finds_no_truth_and_cannot_open_it_when_it_is_told_where_it_lies(tmp_path, registry, limits):
    out, others = tmp_path / "run", tmp_path / "data"
    others.mkdir()
    (others / "labels.h5ad").write_text("the truth")

    def go(methods, told=()):
        ask = RunRequest("guess", methods=methods, params={"spy": {"told": ",".join(map(str, told))}} if told else {})
        return run(registry, ask, out, LocalEngine(1), limits, Silent, command=["bench"])

    result = go(["toy"])
    [solution] = (out / "problems").glob("*/solution.parquet")
    records = list((out / "trials").glob("*/trial.json"))
    told = [solution, out, out / "results.csv", records[0], others / "labels.h5ad", Path.home()]
    result = go(["spy"], told)
    [spy] = [r for r in result.records if r.spec.method == "spy"]
    assert (spy.status, spy.detail) == ("ok", "")
    assert spy.guard == f"Landlock {landlock.version()}"
    log = (out / "trials" / spy.key / "log.txt").read_text().splitlines()
    assert [line for line in log if line.startswith(("found", "opened", "changed"))] == []
    assert len([line for line in log if line.startswith("refused")]) == len(told)


@needs_landlock
def test_inputs_can_be_read_and_not_be_changed(tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    code = f"""
import json, os, sys
from bench.sandbox import guard
job = json.loads(sys.argv[1])
guard.confine(job, guard.installed())
assert "hidden" not in job and "files" not in job
open({str(tmp_path / "inputs" / "info.json")!r}).read()
open({str(tmp_path / "job" / "here")!r}, "w").close()
os.rename({str(tmp_path / "job" / "here")!r}, {str(tmp_path / "job" / "there")!r})
for path in ({str(tmp_path / "inputs" / "info.json")!r}, {str(tmp_path / "new")!r}):
    try:
        open(path, "w")
    except PermissionError:
        print("refused")
"""
    job = json.dumps(asdict(toy_job(tmp_path / "job", tmp_path / "inputs", "ok")))
    done = subprocess.run([sys.executable, "-c", code, job], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\nrefused\n", "")


def test_variables_of_the_shell_do_not_reach_a_method(tmp_path, monkeypatch):
    """Those of the language do, and its home and temporary folder are its own."""
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "job").mkdir()
    for name in ("PWD", "OLDPWD", "BENCH_DATA", "SECRET_TOKEN", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("LC_NUMERIC", "C.UTF-8")
    with Sandbox(1) as sandbox:
        assert sandbox.run(toy_job(tmp_path / "job", tmp_path / "inputs", "environment")).status == "ok"
    told = dict(line.partition("=")[::2] for line in (tmp_path / "job" / "log.txt").read_text().splitlines())
    assert {"PWD", "OLDPWD", "BENCH_DATA", "SECRET_TOKEN", "TF_ENABLE_ONEDNN_OPTS"} & set(told) == set()
    assert told["LC_NUMERIC"] == "C.UTF-8"
    assert told["TMPDIR"] == str(tmp_path / "job" / "scratch")
    assert told["HOME"] == str(tmp_path / "job" / "scratch" / "home")


def test_a_refusal_says_how_a_method_gets_at_a_file(tmp_path):
    write_inputs(INPUTS, tmp_path / "inputs", "p")
    (tmp_path / "weights").write_text("1")
    method = tmp_path / "reader.py"
    method.write_text(
        "from bench.method import Method\n\nclass Reader(Method):\n    name, tasks, summary = 'r', ('guess',), 's'\n\n"
        f"    def run(self, inputs, ctx):\n        open({str(tmp_path / 'weights')!r}).read()\n"
    )

    def outcome(name, **more):
        (tmp_path / name).mkdir()
        job = toy_job(tmp_path / name, tmp_path / "inputs", "ok", cls="Reader")
        with Sandbox(1) as sandbox:
            return sandbox.run(replace(job, locator={"file": str(method), "class": "Reader"}, **more))

    if landlock.version():
        assert "files that its parameters name" in outcome("a").detail
    assert "run() returned None" in outcome("b", files=(str(tmp_path / "weights"),)).detail


def test_a_relative_folder_of_run_or_data_is_no_part_of_a_trials_scratch(tmp_path, registry, limits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(registry.datasets["toy-data"]), "files", (Path("counts.h5ad"),))
    ask = RunRequest("guess", methods=["toy"])
    result = run(registry, ask, Path("run"), LocalEngine(1), limits, Silent, command=["bench"])
    assert result.complete
