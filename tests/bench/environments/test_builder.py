"""`bench env clean` beside processes that use an environment."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from command_line import bench
from conftest_core import PLUGIN as TOYS
from conftest_core import ToySource
from toy_environment import declare, environment

from bench.develop.conformance import Conformance
from bench.environments.builder import build_environment, clean, in_use, stored
from bench.execution.engines import write_spec
from bench.plan.grid import RunRequest, make_plan
from bench.plan.registry import Registry
from bench.results.records import Limits
from bench.results.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plugin and the cache with its environment."""
    folder = tmp_path_factory.mktemp("made")
    plugin = declare(folder / "plugin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        build_environment(environment(plugin))
    return plugin, folder / "cache"


@pytest.fixture
def own(made, cache):
    """The environment in a cache of the test's own."""
    shutil.copytree(made[1] / "environments", cache, symlinks=True)
    return environment(made[0])


@pytest.fixture
def file(tmp_path):
    adata = ToySource().load().adata
    adata.var["symbol"] = adata.var_names
    adata.write_h5ad(tmp_path / "toy.h5ad")
    return tmp_path / "toy.h5ad"


def a_run(plugin, file, tmp_path):
    asked = ["--task", "guess", "--methods", "inside", "--set", "inside.mode=sleep", "--datasets", file]
    return ["run", *asked, "--out", tmp_path / "run", "--quiet", "--plugin", TOYS, "--plugin", plugin]


def a_trial(plugin, file, tmp_path):
    registry = Registry([TOYS, plugin])
    ask = RunRequest("guess", methods=["inside"], datasets=[str(file)], params={"inside": {"mode": "sleep"}})
    planned = next(p for p in make_plan(registry, ask).trials if p.spec.method == "inside")
    store = Store.create(tmp_path / "run")
    return ["trial", write_spec(tmp_path, store, planned, Limits(), [TOYS, plugin], [str(file)])]


@pytest.mark.parametrize("command", [a_run, a_trial])
def test_what_a_process_uses_is_left_until_it_ends_even_by_sigkill(own, made, file, tmp_path, command):
    process = subprocess.Popen([sys.executable, "-m", "bench.cli", *map(str, command(made[0], file, tmp_path))])
    try:
        deadline = time.monotonic() + 60
        while not _inside(process, own) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _inside(process, own)
        done = bench("env", "clean", "--all")
        assert (done.returncode, done.stdout) == (0, f"{own.name}: (inside) in use by a run; left\n")
        assert own.is_built
        assert _inside(process, own)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert f"removed {own.name} (inside" in bench("env", "clean", "--all").stdout
    assert stored() == []


def _inside(process, own):
    """Whether a process below this one runs in the environment."""
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if str(own.python) in child.cmdline():
                return True
    return False


def test_the_conformance_suite_keeps_it_between_its_calls(own, made):
    registry = Registry([TOYS, made[0]])
    checks = Conformance(registry.method("inside"), registry.task("guess"), ToySource().load(), "plain").run()
    assert next(checks).status == "pass"
    removed, left = clean([])
    assert (removed, [one.folder for one in left]) == ([], [own.folder])
    assert {check.status for check in checks} == {"pass"}
    assert [one.folder for one in clean([])[0]] == [own.folder]


def test_two_users_and_one_that_is_not_built(own):
    with in_use([own.name, "gone", ""]):
        with in_use([own.name]):
            pass
        assert clean([])[0] == []
    assert len(clean([])[0]) == 1


def test_a_clean_that_was_killed_leaves_nothing_that_seems_whole(own, monkeypatch):
    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # killed after its first step
    assert len(clean([])[0]) == 1
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert not own.is_built
    assert [one.method for one in stored()] == [""]
    clean([])
    assert stored() == []
