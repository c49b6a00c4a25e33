import importlib.util
import shutil
import subprocess
import sys

import pytest


def distribution(folder, name, version, record=(), top_level=None):
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\nVersion: of the README\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in [*record, f"{info.name}/METADATA"]))
    if top_level is not None:
        (info / "top_level.txt").write_text(top_level)
    for file in record:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")


@pytest.fixture
def told(tmp_path):
    distribution(tmp_path, "Listed.Name", "1.0", ["listed_a/__init__.py", "listed_b.py"], "listed_a\nlisted_b\n")
    distribution(tmp_path, "recorded", "2.0", ["rec/__init__.py", "rec/inner.py"])
    distribution(tmp_path, "cloud-one", "3.0", ["cloud/one/__init__.py"])
    distribution(tmp_path, "cloud-two", "4.0", ["cloud/two/__init__.py"], "cloud\n")
    distribution(tmp_path, "in-place", "5.0", ["__editable__.in_place.pth"])
    (tmp_path / "in_place.py").write_text("")

    def _told(*modules):
        code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]\nfrom bench.sandbox import imported\n"
        code += "".join(f"import {module}\n" for module in modules)
        code += "print(sorted(imported.session(imported.installed())['versions'].items()))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        names = {"listed-name", "recorded", "cloud-one", "cloud-two", "in-place"}
        return {name: version for name, version in eval(done.stdout) if name in names}

    return _told


def test_what_is_imported_is_told_and_nothing_else(told):
    assert told("listed_b", "in_place") == {"listed-name": "1.0", "in-place": "5.0"}
    assert told("rec.inner") == {"recorded": "2.0"}


def test_distributions_that_share_a_namespace_are_told_apart(told):
    assert told("cloud.one") == {"cloud-one": "3.0"}
    assert told("cloud.two") == {"cloud-two": "4.0"}


@pytest.mark.r
def test_r_tells_its_version_and_the_packages_it_has_loaded():
    if shutil.which("R") is None or importlib.util.find_spec("rpy2") is None:
        pytest.skip("needs R and rpy2")
    code = """
import rpy2.robjects as robjects
from bench.sandbox import imported
robjects.r("loadNamespace('Matrix')")
found = imported.session({})
assert found["versions"]["R"] == robjects.r("paste(R.version$major, R.version$minor, sep = '.')")[0]
assert found["versions"]["R:Matrix"] == robjects.r("packageDescription('Matrix')$Version")[0]
assert "R:stats" not in found["versions"]
assert "R: lib" in found["blas"], found["blas"]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
