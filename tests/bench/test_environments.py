import ast
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import toy_environment
from conftest import ToySource
from conftest_core import PLUGIN
from toy_environment import declare, environment

from bench.build import build, clean, stored
from bench.engine import LocalEngine
from bench.environments import environments_dir, read_variants
from bench.errors import BenchError, UnavailableError
from bench.grid import Ask
from bench.interpreters import find_python
from bench.record import Limits
from bench.registry import Registry
from bench.run import run
from bench.sandbox.handover import EXCHANGE


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture(scope="module")
def two_builders(tmp_path_factory):
    """One environment for all tests that only use it, and what its two builders, who started at once, were told."""
    folder = tmp_path_factory.mktemp("built")
    before = os.environ.get("BENCH_CACHE")
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    plugin = declare(folder)
    told = [[], []]
    threads = [threading.Thread(target=build, args=(environment(plugin), lines.append)) for lines in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield plugin, told
    os.environ.pop("BENCH_CACHE") if before is None else os.environ.update(BENCH_CACHE=before)


@pytest.fixture
def built(two_builders):
    return two_builders[0]


class Watcher:
    def __init__(self, plan, todo, finished):
        pass

    def started(self, planned):
        pass

    def finished(self, planned, record):
        pass

    def tick(self, progress):
        pass


def go(plugin, out, mode="ok", *, limits=None, **kwargs):
    registry = Registry([PLUGIN, plugin])
    registry.__dict__["datasets"] = {"toy-data": ToySource()}
    ask = Ask("guess", methods=["inside", "toy"], params={"inside": {"mode": mode}})
    limits = limits or Limits(timeout_s=30, memory_mb=2000)
    return run(registry, ask, out, LocalEngine(1), limits, Watcher, command=["bench"], **kwargs)


def the_row(result):
    return next(r for r in result.records if r.spec.method == "inside")


def bench(*args):
    return subprocess.run([sys.executable, "-m", "bench.cli", *map(str, args)], capture_output=True, text=True)


# -- declared ------------------------------------------------------------------------------------------------------


def test_the_name_follows_pins_files_and_python(tmp_path, cache):
    first = environment(declare(tmp_path / "a"))
    assert environment(declare(tmp_path / "b")).name == first.name
    assert environment(declare(tmp_path / "c", only_here="2")).name != first.name  # other bytes of a file, same name
    toml = tmp_path / "b" / "environment_plugin.toml"
    toml.write_text(toml.read_text().replace("requirements = [", 'requirements = ["six==1.17.0", '))
    pinned = environment(tmp_path / "b" / "environment_plugin.py")
    toml.write_text(toml.read_text().replace("1.17.0", "1.16.0"))
    assert len({first.name, pinned.name, environment(tmp_path / "b" / "environment_plugin.py").name}) == 3
    assert pinned.version("Six") == "1.17.0"
    assert not first.is_built


def test_the_first_variant_whose_python_is_here_is_taken(tmp_path, cache):
    text = declare(tmp_path / "a").with_suffix(".toml").read_text()
    plugin = declare(tmp_path / "b", python="3.99", extra=text)
    assert environment(plugin).name == environment(tmp_path / "a" / "environment_plugin.py").name
    with pytest.raises(UnavailableError, match=r"no Python 3\.99 on PATH"):
        environment(declare(tmp_path / "c", python="3.99"))


def test_an_interpreter_is_looked_for_on_path_and_in_pyenv(tmp_path, monkeypatch):
    def script(path, version):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}{os.pathsep}{tmp_path / 'bin'}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    script(tmp_path / "shims" / "python3.97", "3.97.1")
    script(tmp_path / "bin" / "python3.97", "3.9.7")  # not what its name says
    find_python.cache_clear()
    assert find_python("3.97") is None
    script(tmp_path / "pyenv/versions/3.97.9/bin/python3.97", "3.97.9")
    script(tmp_path / "pyenv/versions/3.97.10/bin/python3.97", "3.97.10")
    find_python.cache_clear()
    assert find_python("3.97").version == "3.97.10"
    script(tmp_path / "bin" / "python3.97", "3.97.3")
    find_python.cache_clear()
    assert find_python("3.97").path == tmp_path / "bin" / "python3.97"
    find_python.cache_clear()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no variant"),
        ("[[variant]", "not a TOML file"),
        ('[[variant]]\npython = "3.8"\nrequirements = ["numpy"]', "'numpy' is not pinned"),
        ('[[variant]]\npython = "3.8"\nrequirements = ["numpy==1.*"]', "not pinned"),
        ('[[variant]]\npython = "3.8"\nrequirements = ["./gone.whl"]', "no file ./gone.whl"),
        ('[[variant]]\npython = "3.8"', "neither a Python with its packages"),
        ('[[variant]]\nrequirements = ["numpy==1.26.4"]', "neither a Python with its packages"),
        ('[[variant]]\npython = 3.8\nrequirements = ["numpy==1.26.4"]', "not a version"),
        ('[[variant]]\npython = "3.8"\nrequirement = ["numpy==1.26.4"]', "did you mean 'requirements'"),
        ('[[variant]]\nr_packages = "scds"', "not a list"),
    ],
)
def test_a_faulty_file_is_refused_with_the_reason(tmp_path, text, told):
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(BenchError, match=told):
        read_variants(file)


def test_a_method_that_names_no_file_is_refused(tmp_path):
    plugin = shutil.copy(toy_environment.PLUGIN, tmp_path)
    with pytest.raises(BenchError, match="no such environment file"):
        Registry([Path(plugin)]).method("inside")


def test_the_exchange_code_is_closed_and_old_enough():
    """What an environment gets imports nothing of ours that it does not get, and parses on Python 3.8."""
    for name in EXCHANGE:
        source = Path(importlib.util.find_spec(name).origin).read_text()
        tree = ast.parse(source, feature_version=(3, 8))
        unreached = {id(n) for i in ast.walk(tree) if _only_for_types(i) for n in ast.walk(i)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and id(node) not in unreached and node.module.startswith("bench"):
                direct = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                assert direct & set(EXCHANGE), f"{name} imports {node.module}"


def _only_for_types(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


# -- built ---------------------------------------------------------------------------------------------------------


def test_of_two_builders_one_builds_and_the_other_waits(two_builders):
    waited, worked = sorted(two_builders[1], key=len)
    assert waited == ["another process is building it; waiting"]
    assert any("nstalled" in line and "only" in line for line in worked)


def test_it_is_built_once_and_says_what_is_in_it(built):
    own = environment(built)
    facts = json.loads((own.folder / "environment.json").read_text())
    assert facts["lock"][0].startswith(f"python=={toy_environment.PYTHON}.")
    assert [p.name for p in environments_dir().iterdir() if p.is_dir()] == [own.name]
    lines = []
    build(own, lines.append)
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
    build(own)
    assert own.is_built
    assert len(clean([own.name])) == 1
    assert [one.folder.name for one in stored()] == [own.name]
    assert clean([own.name]) == []
    assert [one.folder.name for one in clean([])] == [own.name]
    assert not own.is_built


def test_without_numpy_it_is_refused(tmp_path, cache):
    plugin = declare(tmp_path)
    toml = plugin.with_suffix(".toml")
    toml.write_text(toml.read_text().replace(', "./borrowed-1.0-py3-none-any.whl"', ""))
    with pytest.raises(BenchError, match="lacks numpy, scipy or pandas"):
        build(environment(plugin))


# -- used ----------------------------------------------------------------------------------------------------------


def test_a_method_runs_in_it_with_the_exchange_code_only(built, tmp_path):
    own = environment(built)
    result = go(built, tmp_path / "run")
    row = the_row(result)
    assert row.status == "ok", row.log_tail
    home = next(note for note in row.notes if note.startswith("home "))
    assert row.notes == ["only_here 1, donors ['d0']", f"python {own.folder}", home, "libraries of R "]
    assert home.endswith("/scratch/home")
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


@pytest.mark.parametrize(
    ("mode", "status", "told"),
    [
        ("raise", "crash", "ValueError: it went wrong inside"),
        ("exit", "crash", "exit code 3"),
        ("sleep", "timeout", "limit of 3 s"),
        ("memory", "oom", "memory"),
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
    assert re.search(r"(?s)could not be built.*exit code.*\| .*only_here", the_row(result).detail)
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
    done = bench("env", "build", "--plugin", built)
    assert done.returncode == 2
    assert "--all" in done.stderr


# -- R -------------------------------------------------------------------------------------------------------------


@pytest.mark.r
def test_a_private_library_of_r_packages(tmp_path, cache):
    if shutil.which("R") is None:
        pytest.skip("needs R")
    plugin = declare(tmp_path)
    package = tmp_path / "tinypackage"
    package.mkdir()
    (package / "DESCRIPTION").write_text(
        "Package: tinypackage\nVersion: 1.0\nTitle: Tiny\nDescription: Tiny.\nLicense: GPL-3\nAuthor: A\n"
        "Maintainer: A <a@b.c>\n"
    )
    (package / "NAMESPACE").write_text("export(answer)\n")
    (package / "R").mkdir()
    (package / "R" / "answer.R").write_text("answer <- function() 42\n")
    shutil.make_archive(str(tmp_path / "tinypackage_1.0"), "gztar", tmp_path, "tinypackage")
    plugin.with_suffix(".toml").write_text('[[variant]]\nr_packages = ["./tinypackage_1.0.tar.gz"]\n')
    own = environment(plugin)
    assert own.python is None
    build(own)
    asked = ["Rscript", "-e", "cat(tinypackage::answer())"]
    done = subprocess.run(asked, capture_output=True, text=True, env={**os.environ, "R_LIBS": str(own.r_library)})
    assert done.stdout == "42"
