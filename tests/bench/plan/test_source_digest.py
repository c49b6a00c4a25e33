import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest_core import PLUGIN

from bench.plan.source_digest import source_digest

ROOT = Path(__file__).parents[3]

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


def test_whom_to_cite_does_not_change_a_source_digest(package):
    before = package()
    credits = '    citation = "@misc{a}"\n    licence: str = "MIT"\n    preload = ("a.b",)\n    def run'
    assert package(CARD.replace("    def run", credits)) == before
    assert package(CARD.replace("    def run", '    reference = "10.1/a"\n    def run')) != before
    assert package(CARD.replace("return value() + 1", 'citation = "x"\n        return value() + 1')) != before


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


@pytest.fixture
def tree(tmp_path):
    """A copy of the source tree, laid out as one package, and the digests of all its methods and tasks."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bench", tmp_path / "bench", ignore=ignore)
    for room in ("tasks", "methods", "data", "reports"):
        shutil.copytree(ROOT / room, tmp_path / "bench" / room, ignore=ignore)

    def digests():
        code = """import json
from bench.plan.registry import Registry
from bench.plan.source_digest import source_digest
r = Registry()
found = {name: source_digest(entry.value) for name, entry in r.methods.items()}
print(json.dumps(found | {f"task {name}": source_digest(type(entry.value)) for name, entry in r.tasks.items()}))"""
        command = [sys.executable, "-B", "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=True)
        return json.loads(done.stdout)

    return tmp_path / "bench", digests


def test_moving_what_methods_and_tasks_import_leaves_every_digest(tree):
    folder, digests = tree
    before = digests()
    for room, old, new in (
        ("methods", "_shared", "zz_last/_shared_by_all"),  # imports are sorted by path: they change places
        ("methods", "nn/models", "_aa/nets"),
        ("methods", "_ports", "_again"),
        ("tasks", "_shared", "zz/helpers"),
        ("tasks", "deg/mast", "_mast"),
    ):
        (folder / room / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / room / old).rename(folder / room / new)
        dotted = [f"bench.{room}.{part}".replace("/", ".") for part in (old, new)]
        for file in folder.rglob("*.py"):
            file.write_text(re.sub(rf"(?<![\w.]){re.escape(dotted[0])}(?!\w)", dotted[1], file.read_text()))
    subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--fix", "--select", "I", folder], check=True)
    assert "from bench.methods._aa.nets" in (folder / "methods/zz_last/_shared_by_all/sequence_imputer.py").read_text()
    assert digests() == before


def test_any_byte_of_a_preset_changes_the_digest_of_those_who_read_it(tree):
    folder, digests = tree
    before = digests()
    preset = folder / "methods" / "nn" / "models" / "presets" / "scmamba.json"
    preset.write_bytes(preset.read_bytes() + b"\n")
    after = digests()
    changed = {name for name in before if after[name] != before[name]}
    assert {"scmamba", "schyena", "scbert"} <= changed  # they share the module that reads presets
    assert not {"cxds", "seurat-py", "task doublet"} & changed


def test_data_beside_a_module_counts_if_the_module_names_it(package, tmp_path):
    digests = []
    for content in ("1", "2"):
        package()
        (tmp_path / "pkg_under_test" / "weights.csv").write_text(content)
        (tmp_path / "pkg_under_test" / "other.csv").write_text(content)
        digests += [package(), package(CARD.replace("# a comment", "open('weights.csv')"))]
    assert digests[0] == digests[2]
    assert digests[1] != digests[3]
