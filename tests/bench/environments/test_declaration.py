import ast
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest
import toy_environment
from toy_environment import declare, environment

from bench.environments.declaration import read_variants
from bench.environments.interpreters import find_python
from bench.errors import BenchError, UnavailableError
from bench.execution.job import EXCHANGE
from bench.plan.registry import Registry


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
        """An interpreter that tells uv another version than it has, and its own place."""
        real, short = sys._base_executable, version.rpartition(".")[0]
        changes = f's|"{real}"|"{path}"|g; s/{platform.python_version()}/{version}/g'
        changes += f'; s/"{toy_environment.PYTHON}"/"{short}"/g'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n'{real}' \"$@\" | sed '{changes}'\n")
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
        ('[[variant]]\npython = "3.8"', "lacks its Python or its packages"),
        ('[[variant]]\nrequirements = ["numpy==1.26.4"]', "lacks its Python or its packages"),
        ('[[variant]]\npython = 3.8\nrequirements = ["numpy==1.26.4"]', "not a version"),
        ('[[variant]]\npython = "3.8"\nrequirement = ["numpy==1.26.4"]', "did you mean 'requirements'"),
        ('[[variant]]\npython = "3.8"\nrequirements = "scds"', "not a list"),
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
