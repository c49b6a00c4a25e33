"""A value is the same text wherever it stands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.reports.run import words

SCRIPT = Path(__file__).parents[3] / "reports" / "page" / "report.js"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.6594, "0.659"), (0.0625, "0.063"), (-0.0625, "-0.063"), (0.1875, "0.188"), (1.0, "1.000"), (0.0, "0.000"),
        (9.9996, "10.000"), (12.25, "12.3"), (12.0, "12"), (655.3333, "655.3"), (1234.5, "1,235"), (2e6, "2,000,000"),
        (0.00031, "3.1e-4"), (-7e-9, "-7.0e-9"), (0.001, "0.001"), (float("nan"), "–"), (None, "–"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert words.number(value) == text


def test_intervals():
    assert words.interval(0.5, 0.66049) == "[0.500, 0.660]"
    assert words.interval(0.5, None) == words.interval(float("nan"), 1) == ""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_pages_script_writes_numbers_alike():
    function = re.search(r"  function number\(v\) \{.*?\n  \}\n", SCRIPT.read_text(), re.S).group()
    rng = np.random.default_rng(0)
    ties = [sign * k / 16 for k in range(320) for sign in (1, -1)]
    values = [*ties, *(10 ** rng.uniform(-9, 7, 3000)), *rng.random(2000), 999.95, 9.9995, 0.00099999]
    code = f"{function} console.log(JSON.stringify({json.dumps(values)}.map(number)));"
    theirs = json.loads(subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout)
    assert [words.number(value) for value in values] == theirs


def test_rounding_what_the_page_carries_is_rounding_the_value():
    """Values are stored with nine digits in places: a second rounding must not differ from one."""
    values = np.random.default_rng(1).random(20_000)
    assert [words.number(v) for v in values.round(9)] == [words.number(v) for v in values]
    assert [words.number(v) for v in values.round(4)] != [words.number(v) for v in values]
