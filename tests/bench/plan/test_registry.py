import json
import subprocess
import sys

import pytest
from conftest_core import PLUGIN

from bench.errors import BenchError, UnknownNameError
from bench.plan.registry import Registry


def test_built_in_methods_are_found_with_their_origin():
    entry = Registry().method("cxds")
    assert entry.origin.rpartition(":")[0].endswith("cxds.py")
    assert entry.locator == {"module": "bench.methods.cxds", "class": entry.value.__name__}


def test_a_plugin_file_adds_tasks_and_methods():
    registry = Registry([PLUGIN])
    assert registry.task("guess").version == "1"
    assert registry.methods_for("guess") == sorted(
        ["toy", "noisy", "unseeded", "by-position", "supervised", "absent", "per-donor", "loaded", "spy"]
    )


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'scrublet'"):
        Registry().method("scrubblet")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("name = 'cxds'; tasks = ('doublet',); summary = 's'", "two methods are called 'cxds'"),
        ("tasks = ('doublet',); summary = 's'", "has no name"),
        ("name = 'Upper Case'; tasks = ('doublet',); summary = 's'", "not a usable name"),
        ("name = 'm'; tasks = 'doublet'; summary = 's'", "answers no task"),
        (
            "name = 'm'; tasks = ('doublet',); summary = 's'\n    def __init__(self, k): pass",
            "parameters without a default: k",
        ),
    ],
)
def test_a_bad_plugin_is_refused_with_its_place(tmp_path, body, told):
    file = tmp_path / "bad.py"
    file.write_text(
        "from bench.method import Method\nclass Bad(Method):\n"
        f"    {body}\n    def run(self, inputs, ctx): return {{}}\n"
    )
    with pytest.raises(BenchError, match=told) as error:
        _ = Registry([file]).methods
    assert "bad.py:2" in str(error.value)


def test_a_class_that_a_function_made_is_a_method_too(tmp_path):
    file = tmp_path / "made.py"
    file.write_text(
        "from bench.method import Method\n"
        "def run(self, inputs, ctx): return {}\n"
        "about = dict(name='made', tasks=('doublet',), summary='s', run=run, __module__=__name__)\n"
        "Made = type('Made', (Method,), about)\n"
    )
    assert Registry([file]).method("made").origin == str(file)


def test_a_plugin_that_raises_or_is_missing_is_named(tmp_path):
    file = tmp_path / "raises.py"
    file.write_text("1 / 0")
    with pytest.raises(BenchError, match="ZeroDivisionError"):
        _ = Registry([file]).methods
    with pytest.raises(BenchError, match="not found"):
        _ = Registry([tmp_path / "none.py"]).methods


def test_listing_imports_no_package_that_a_method_wraps():
    code = """
import sys, json
from bench.plan.registry import Registry
from bench.environments.availability import why_unavailable
r = Registry(); [why_unavailable(e.value) for e in r.methods.values()]; list(r.tasks)
heavy = "torch scvi scanpy anndata xgboost doubletdetection sklearn numba pandas scipy rpy2 matplotlib plotly".split()
print(json.dumps([m for m in heavy if m in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("default", ["object()", "float('nan')", "{1, 2}"])
def test_a_default_that_cannot_be_written_down_is_refused(tmp_path, default):
    file = tmp_path / "odd.py"
    file.write_text(
        "from bench.method import Method\n\n\nclass Odd(Method):\n"
        "    name, tasks, summary = 'odd', ('guess',), 's'\n\n"
        f"    def __init__(self, what={default}):\n        self.what = what\n\n"
        "    def run(self, inputs, ctx):\n        return {}\n"
    )
    with pytest.raises(BenchError, match="cannot be written down"):
        Registry([file]).method("odd")
