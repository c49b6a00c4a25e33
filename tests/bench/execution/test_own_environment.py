import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types

import pytest
import toy_environment
from command_line import bench
from conftest_core import PLUGIN, ToySource
from toy_environment import declare, environment, go, the_row

from bench.develop.conformance import Conformance
from bench.environments.builder import build_environment, clean, stored
from bench.environments.declaration import environment_of, environments_dir
from bench.errors import BenchError
from bench.execution.job import environment_of_job
from bench.plan.registry import Registry
from bench.results.records import Limits


@pytest.fixture(scope="module")
def two_builders(tmp_path_factory):
    """One environment for all tests that only use it, and what its two builders, who started at once, were told."""
    folder = tmp_path_factory.mktemp("built")
    before = os.environ.get("BENCH_CACHE")
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    plugin = declare(folder)
    told = [[], []]
    threads = [threading.Thread(target=build_environment, args=(environment(plugin), lines.append)) for lines in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield plugin, told
    os.environ.pop("BENCH_CACHE") if before is None else os.environ.update(BENCH_CACHE=before)


@pytest.fixture
def built(two_builders):
    return two_builders[0]


def test_of_two_builders_one_builds_and_the_other_waits(two_builders):
    waited, worked = sorted(two_builders[1], key=len)
    assert waited == ["another process is building it; waiting"]
    assert any("only" in line for line in worked)


def test_it_is_built_once_and_says_what_is_in_it(built):
    own = environment(built)
    facts = json.loads((own.folder / "environment.json").read_text())
    assert facts["lock"][0].startswith(f"python=={toy_environment.PYTHON}.")
    assert [p.name for p in environments_dir().iterdir() if p.is_dir()] == [own.name]
    lines = []
    build_environment(own, lines.append)
    assert not lines


def test_a_killed_build_is_never_used_and_the_next_one_starts_anew(tmp_path, cache):
    plugin = declare(tmp_path)
    own = environment(plugin)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "env", "build", "inside", "--plugin", plugin], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(cache.glob(".*/bin/python")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(cache.glob(".*/bin/python"))
    assert not own.is_built
    assert [one.method for one in stored()] == [""]
    # nor is one whose interpreter has gone since
    (own.folder / "bin").mkdir(parents=True)
    (own.folder / "bin" / "python").symlink_to(tmp_path / "gone")
    (own.folder / "environment.json").write_text('{"method": "inside"}')
    assert not own.is_built
    build_environment(own)
    assert own.is_built
    assert [one.folder.name for one in stored()] == [own.name]
    (cache / f".{own.name}-0").mkdir()
    assert [one.method for one in clean([own.name])[0]] == [""]
    assert [one.folder.name for one in stored()] == [own.name]
    assert clean([own.name]) == ([], [])
    assert [one.folder.name for one in clean([])[0]] == [own.name]
    assert not own.is_built


def test_without_numpy_it_is_refused(tmp_path, cache):
    plugin = declare(tmp_path)
    toml = plugin.with_suffix(".toml")
    toml.write_text(toml.read_text().replace(', "./borrowed-1.0-py3-none-any.whl"', ""))
    with pytest.raises(BenchError, match="lacks numpy, scipy or pandas"):
        build_environment(environment(plugin))


def test_a_method_runs_in_it_with_the_exchange_code_only(built, tmp_path):
    own = environment(built)
    result = go(built, tmp_path / "run")
    row = the_row(result)
    assert row.status == "ok", row.log_tail
    notes = [str(note) for note in row.notes]
    home = next(note for note in notes if note.startswith("home "))
    assert notes == ["only_here 1, donors ['d0']", f"python {own.folder}", home, "libraries of R "]
    assert home.endswith("/scratch/home")
    compiled = [file.name.partition(".")[0] for file in own.folder.glob("lib/*/site-packages/__pycache__/*.pyc")]
    assert "only_here" in compiled
    assert row.spec.environment == own.name
    assert row.versions["python"] == own.interpreter.version
    assert 0 < row.resources.wall_s < 30
    assert row.resources.rss_peak_mb > 20
    toy = next(r for r in result.records if r.spec.method == "toy")
    assert toy.spec.environment == ""
    assert row.scores == toy.scores  # both sum the counts: cells and their order are the same
    import pandas as pd

    table = pd.read_parquet(tmp_path / "run" / "results.parquet")
    assert dict(zip(table["method"], table["environment"].fillna(""), strict=True))["inside"] == own.name
    card = next(c for c in result.store.requests()[0].methods if c.name == "inside")
    assert card.environment == own.name
    assert len(card.environment_lock) == 3


def test_the_conformance_suite_runs_in_it(built):
    registry = Registry([PLUGIN, built])
    source = ToySource()
    suite = Conformance(registry.method("inside"), registry.task("guess"), source.load(), "plain")
    results = {check.name.partition(":")[0]: (check.status, check.detail) for check in suite.run()}
    assert {status for status, _ in results.values()} == {"pass"}, results
    assert {"schema", "determinism", "three cells", "equivariance", "time-out"} <= set(results)


@pytest.mark.parametrize(
    ("mode", "status", "told"),
    [
        ("raise", "crash", "ValueError: it went wrong inside"),
        ("exit", "crash", "exit code 3"),
        ("sleep", "timeout", "limit of 3 s in fit, at 40 %: asleep"),
        ("memory", "oom", ", at 50 %: hoarding"),
    ],
)
def test_its_limits_and_its_end_are_those_of_every_trial(built, tmp_path, mode, status, told):
    limits = Limits(timeout_s=3 if mode == "sleep" else 60, memory_mb=700)
    row = the_row(go(built, tmp_path / "run", mode, limits=limits))
    assert row.status == status, row.log_tail
    assert told in row.detail
    assert row.resources.rss_peak_mb > 20


def test_a_run_builds_what_is_missing_or_says_how(tmp_path, cache):
    plugin = declare(tmp_path / "plugin")
    row = the_row(go(plugin, tmp_path / "run", build=None))
    assert row.status == "unavailable"
    assert "bench env build inside" in row.detail
    result = go(plugin, tmp_path / "run")
    assert the_row(result).status == "ok"
    assert the_row(result).key == row.key
    shutil.rmtree(cache)
    assert go(plugin, tmp_path / "run").ran == 0  # finished: nothing to build for
    assert not cache.exists()


def test_a_build_that_fails_costs_its_own_trials_only(tmp_path, cache):
    plugin = declare(tmp_path / "plugin")
    next(plugin.parent.glob("only_here*.whl")).write_bytes(b"not a wheel")
    result = go(plugin, tmp_path / "run")
    assert {r.spec.method: r.status for r in result.records} == {
        "truth": "ok",
        "random": "ok",
        "inside": "unavailable",
        "toy": "ok",
    }
    assert re.search(r"could not be built: .* ended with exit code 1 \(.+\): bench env build", the_row(result).detail)
    assert result.complete
    assert stored() == []


def test_without_an_interpreter_the_method_is_unavailable(tmp_path, cache):
    plugin = declare(tmp_path / "plugin", python="3.99")
    row = the_row(go(plugin, tmp_path / "run"))
    assert row.status == "unavailable"
    assert "3.99" in row.detail
    assert "no interpreter" in bench("env", "list", "--plugin", plugin).stdout
    done = bench("env", "build", "inside", "--plugin", plugin)
    assert done.returncode == 2
    assert "3.99" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_tells_where_it_stands(built, cache):
    listed = json.loads(bench("env", "list", "--json", "--plugin", built).stdout)
    row = next(r for r in listed["environments"] if r["method"] == "inside")
    assert row["state"] == "not built"  # another cache
    methods = json.loads(bench("list", "methods", "--json", "--plugin", built).stdout)
    states = {m["name"]: (m["available"], m["environment"]) for m in methods}
    assert states["inside"] == (True, "not built")
    assert states["cxds"][1] == ""
    assert "bench env build inside" in bench("doctor", "--plugin", built).stdout
    assert "bench env build --all" in bench("env", "list", "--plugin", built).stdout
    card = bench("describe", "inside", "--plugin", built).stdout
    assert re.search(rf"environment: Python {toy_environment.PYTHON}\.\d+, 2 packages; not built", card)
    assert "parameters: mode=ok" in card
    assert "only_here-1.0" not in card  # the packages of the lock are for scripts
    done = bench("env", "build", "--plugin", built)
    assert done.returncode == 2
    assert "--all" in done.stderr


def test_modules_of_a_package_that_a_method_imports_are_there_too(tmp_path, cache, monkeypatch):
    package = tmp_path / "far_package"
    package.mkdir()
    (package / "__init__.py").write_text("import something_of_the_harness_only\n")
    (package / "_help.py").write_text("def f():\n    from bench.methods._shared.imputer import log_shares\n")
    (package / "unused.py").write_text("")
    source = toy_environment.PLUGIN.read_text() + "\n\ndef g():\n    from far_package._help import f\n"
    (package / "method.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "something_of_the_harness_only", types.ModuleType("x"))
    declare(package)
    from far_package.method import InsideToy

    modules = environment_of_job(environment_of(InsideToy), InsideToy)["modules"]
    assert modules["far_package"] == ""  # its __init__ is not run
    assert modules["far_package._help"] == str(package / "_help.py")
    assert modules["bench.methods._shared.imputer"].endswith("_shared/imputer.py")
    assert modules["bench.methods"] == ""
    assert "far_package.unused" not in modules
