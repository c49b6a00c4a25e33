"""Makes small environments without a network: a wheel of our own, and one that borrows numpy, scipy and pandas."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy
from conftest_core import PLUGIN as TOYS
from conftest_core import ToySource

from bench.api.watch import Silent
from bench.environments.declaration import environment_of
from bench.execution.engines import LocalEngine
from bench.execution.run import run
from bench.plan.grid import RunRequest
from bench.plan.registry import Registry
from bench.results.records import Limits

PLUGIN = Path(__file__).with_name("environment_plugin.py")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder, name, files, version="1.0"):
    """Write a pure-Python wheel; returns its line in a list of requirements."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # a fixed date: the same bytes each time
    return f"./{file.name}"


def declare(folder, *, python=PYTHON, only_here="1", extra=""):
    """A folder with the plugin, its TOML and its wheels; returns the plugin's path."""
    folder.mkdir(parents=True, exist_ok=True)
    own = wheel(folder, "only_here", {"only_here.py": f"VERSION = {only_here!r}\n"})
    borrowed = wheel(folder, "borrowed", {"borrowed.pth": f"{Path(numpy.__file__).parent.parent}\n"})
    lines = [f'[[variant]]\npython = "{python}"\nrequirements = {json.dumps([own, borrowed])}\n', extra]
    (folder / "environment_plugin.toml").write_text("".join(lines))
    return Path(shutil.copy(PLUGIN, folder))


def environment(plugin, name="inside"):
    """The environment of a plugin's method."""
    return environment_of(Registry([plugin]).method(name).value)


def go(plugin, out, mode="ok", *, limits=None, **kwargs):
    """Run the plugin's method and a plain one."""
    registry = Registry([TOYS, plugin], [ToySource()])
    ask = RunRequest("guess", methods=["inside", "toy"], params={"inside": {"mode": mode}})
    limits = limits or Limits(timeout_s=30, memory_mb=2000)
    return run(registry, ask, out, LocalEngine(1), limits, Silent, command=["bench"], **kwargs)


def the_row(result):
    return next(r for r in result.records if r.spec.method == "inside")
