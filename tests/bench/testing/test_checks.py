import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.develop.scaffold import new_method
from bench.errors import BenchError, UnknownNameError
from bench.method import Method
from bench.plan.registry import Registry
from bench.testing import check_method

DOCS = Path(__file__).parents[3] / "docs" / "add-a-method.md"
TESTS_OF_OTHERS = '''
import numpy as np

from bench.method import Method
from bench.testing import check_method


class Rows(Method):
    """Scores a cell by where it stands."""

    name = "rows"
    tasks = ("doublet",)
    summary = "The row number."
    stochastic = False

    def __init__(self, step: float = 0.0):
        self.step = step

    def run(self, inputs, ctx):
        return {"score": self.step * np.arange(inputs.cells.X.shape[0])}


class Missing(Method):
    """Forgets a cell."""

    name = "missing"
    tasks = ("doublet",)
    summary = "One score too few."

    def run(self, inputs, ctx):
        return {"score": np.zeros(inputs.cells.X.shape[0] - 1)}


def test_a_step():
    check_method(Rows(step=1.0))


def test_missing():
    check_method(Missing)
'''


@pytest.mark.slow
def test_a_package_of_others_tests_its_methods_with_it(tmp_path):
    files = new_method("my-depth", Registry().task("doublet"), tmp_path)
    package, tests = files[0].parent, files[0].parent / "tests"
    method, *examples = [
        code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "MyMethod" in code
    ]
    (package / "my_method.py").write_text(method)
    (tests / "test_docs.py").write_text("\n".join(examples))
    (tests / "test_bad.py").write_text(TESTS_OF_OTHERS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    told = done.stdout
    assert done.returncode == 1, told + done.stderr
    assert "2 failed, 3 passed" in told
    assert {"test_a_step", "test_missing"} == set(re.findall(r"^FAILED .*test_bad.py::(\w+)", told, re.M))
    assert "rows fails 1 of 6 checks of the conformance suite" in told
    assert "test_bad.py:8" in told
    assert "equivariance: permuting the cells permutes the output" in told
    assert "let a cell's answer hang on its counts, not on its row" in told
    assert "missing fails 1 of 1 check of the conformance suite" in told
    assert "shape (119,), expected (120,)" in told
    assert "fix:   return one entry per cell of inputs.cells" in told
    assert "bench/testing/checks.py" not in told  # the failure stands in the test, not in our code


class Depth(Method):
    """A method that is never run: each test here stops before."""

    name = "depth-of-tests"
    tasks = ("doublet",)
    summary = "Total counts."

    def __init__(self, weight: float = 1.0):
        self._weight = weight

    def run(self, inputs, ctx):
        return {"score": np.zeros(inputs.cells.X.shape[0])}


def test_what_cannot_be_checked_is_no_failure_of_the_method():
    with pytest.raises(BenchError, match=r"does not tell its parameters: weight[\s\S]*self.weight = weight"):
        check_method(Depth(2.0))
    with pytest.raises(UnknownNameError, match="unknown task of depth-of-tests 'deg'"):
        check_method(Depth, task="deg")

    class Local(Depth):
        """Within a function."""

        name = "local"

    with pytest.raises(BenchError, match="no other process can find .*Local"):
        check_method(Local)
