import dataclasses
import importlib
import os
import subprocess
import sys

import pytest
from conftest_core import PLUGIN

from bench.dataset import DatasetCard
from bench.method import Method, python_package
from bench.plan.keys import data_key, environment_digest, trial_key
from bench.plan.source_digest import source_digest
from bench.results.records import SeedTriple, TrialSpec
from bench.system import path_digest

SPEC = TrialSpec(
    task="t",
    task_version="1",
    track="a",
    dataset="d",
    dataset_digest="0",
    method="m",
    role="method",
    implementation="port",
    method_digest="1",
    environment_digest="2",
    params={"k": 1},
    seeds=SeedTriple(),
)


@pytest.mark.parametrize("field", [f for f in TrialSpec.model_fields if f not in {"role", "params", "seeds", "files"}])
def test_changing_any_name_or_digest_changes_the_key(field):
    assert trial_key(SPEC.model_copy(update={field: "other"})) != trial_key(SPEC)


@pytest.mark.parametrize(
    "update",
    [{"params": {"k": 2}}, {"params": {}}, {"role": "trap"}]
    + [{"seeds": SeedTriple(**{axis: 1})} for axis in ("split", "simulation", "method")],
)
def test_changing_parameters_or_any_seed_axis_changes_the_key(update):
    assert trial_key(SPEC.model_copy(update=update)) != trial_key(SPEC)


def test_where_a_file_lies_is_not_part_of_the_key():
    assert trial_key(SPEC.model_copy(update={"files": {"checkpoint": "/elsewhere"}})) == trial_key(SPEC)


def test_the_digest_of_a_folder_follows_names_and_bytes(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "one").write_text("1")
    before = path_digest(folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one").write_text("1")
    assert path_digest(tmp_path / "b") == before
    (folder / "one").write_text("2")
    changed = path_digest(folder)
    (folder / "one").rename(folder / "two")
    assert len({before, changed, path_digest(folder)}) == 3


def test_the_order_of_parameters_does_not_matter():
    a = SPEC.model_copy(update={"params": {"a": 1, "b": 2}})
    b = SPEC.model_copy(update={"params": {"b": 2, "a": 1}})
    assert trial_key(a) == trial_key(b)


CARD = '''
"""Module prose."""
from pkg_under_test._helper import value

class Thing:
    """Class prose."""
    def run(self):
        # a comment
        return value() + 1
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "pkg_under_test").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(card=CARD, helper="def value():\n    return 1\n"):
        folder = tmp_path / "pkg_under_test"
        (folder / "__init__.py").write_text("")
        (folder / "card.py").write_text(card)
        (folder / "_helper.py").write_text(helper)
        for name in [n for n in sys.modules if n.startswith("pkg_under_test")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        return source_digest(importlib.import_module("pkg_under_test.card").Thing)

    return write


def test_prose_and_comments_do_not_change_a_source_digest(package):
    before = package()
    assert package(CARD.replace("prose", "other words").replace("# a comment", "# another")) == before


def test_code_changes_it_here_and_in_the_modules_it_imports(package):
    before = package()
    assert package(CARD.replace("+ 1", "+ 2")) != before
    assert package(helper="def value():\n    return 2\n") != before


@pytest.mark.parametrize(
    "statement",
    [
        "from ._helper import value",
        "from . import _helper\nvalue = _helper.value",
        "import pkg_under_test._helper as h\nvalue = h.value",
        "from pkg_under_test import _helper\nvalue = _helper.value",
    ],
)
def test_every_way_to_import_a_module_of_the_package_counts(package, statement):
    card = CARD.replace("from pkg_under_test._helper import value", statement)
    before = package(card)
    assert package(card, helper="def value():\n    return 2\n") != before


def test_a_digest_imports_nothing_that_the_card_does_not(package):
    package(
        CARD.replace("from pkg_under_test._helper import value", "").replace(
            "# a comment", "from pkg_under_test._helper import value"
        ),
        helper="import antigravity_of_heavy_packages\n",
    )
    assert "pkg_under_test._helper" not in sys.modules


def test_a_module_counts_though_the_package_around_it_cannot_be_imported_here(package, tmp_path):
    heavy = tmp_path / "pkg_under_test" / "heavy"
    (heavy / "deep").mkdir(parents=True)
    (heavy / "__init__.py").write_text("import a_package_that_is_not_installed\n")
    (heavy / "deep" / "__init__.py").write_text("")
    card = CARD.replace("from pkg_under_test._helper import value", "")
    card = card.replace("# a comment", "from pkg_under_test.heavy.deep import part as value")
    digests = set()
    for text in ("x = 1\n", "x = 2\n"):
        (heavy / "deep" / "part.py").write_text(text)
        digests.add(package(card))
    assert len(digests) == 2


def test_the_facts_of_a_dataset_that_reach_problems_count():
    card = DatasetCard("d", "s", "00", frozenset({"donor"}), "none", 10, 10)
    for change in ({"digest": "01"}, {"fields": frozenset()}, {"expected_doublet_rate": 0.1}):
        assert data_key(dataclasses.replace(card, **change)) != data_key(card)
    assert data_key(dataclasses.replace(card, summary="other words", name="e")) == data_key(card)


def test_the_environment_digest_follows_the_requirements():
    class Plain(Method):
        name, tasks, summary = "plain", ("t",), "s"

        def run(self, inputs, ctx):
            return {}

    class WithPytest(Plain):
        requires = (python_package("pytest"),)

    assert environment_digest(Plain) == environment_digest(Plain)
    assert environment_digest(Plain) != environment_digest(WithPytest)


def test_a_plugin_files_digest_is_the_same_in_every_process(tmp_path):
    code = "from bench.plan.registry import Registry; from bench.plan.source_digest import source_digest; import sys\n"
    code += "print(source_digest(Registry([sys.argv[1]]).method('toy').value))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(PLUGIN)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            text=True,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
