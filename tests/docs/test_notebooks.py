"""The notebooks of docs/ in a Jupyter kernel, and what only a kernel can tell."""

import json
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture
def execute(tmp_path, cohort_cache):
    def run(notebook):
        place = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
        return notebook

    return run


def _shown(cell, kind="text/plain"):
    return [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]


def _told(cell):
    return "".join(output["text"] for output in cell.outputs if output["output_type"] == "stream")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_stored_without_outputs(file):
    for cell in json.loads(file.read_text())["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@pytest.mark.slow
def test_the_quickstart_runs_and_shows_what_it_says(execute, tmp_path):
    [file] = [file for file in NOTEBOOKS if file.stem == "quickstart"]
    code = [cell for cell in execute(nbformat.read(file, as_version=4)).cells if cell.cell_type == "code"]
    first, second = (cell for cell in code if "bench.run(" in cell.source)
    [table] = _shown(first, "text/html")
    assert all(name in table for name in ("scrublet", "cxds", "doubletfinder", "truth (perfect control)"))
    assert "[7/7, " in _told(first)
    assert "method depth: class Depth is written to " in _told(second)
    assert "import numpy as np and log_ratio" in _told(second)
    assert "7 of 8 trials were finished before" in _told(second)
    assert "depth" in _shown(second, "text/html")[0]
    recomputed = float(_shown(next(cell for cell in code if "metrics.auprc" in cell.source))[0])
    assert f"{recomputed:.3f}" in re.sub(r"<[^>]+>", " ", table)
    [frame] = _shown(code[-1], "text/html")
    assert frame.startswith("<iframe srcdoc=")
    assert (tmp_path / "bench-runs" / "quickstart" / "report.html").exists()
    [kept] = (tmp_path / "bench-runs" / "quickstart" / "methods").iterdir()
    assert "class Depth" in kept.read_text()


@pytest.mark.slow
def test_a_cell_that_is_edited_is_another_method_and_magics_do_not_matter(execute):
    head = "%config InlineBackend.figure_format = 'png'\nimport bench\nfrom bench.api.methods import file_of\n"
    body = "class Own(bench.Method):\n    name = 'own'\n    tasks = ('doublet',)\n    summary = 'Own.'\n"
    body += "    def run(self, inputs, ctx):\n        return {'score': scale(inputs.cells.X.sum(axis=1))}\n"
    cells = [
        "def scale(x, by=1): return by * x",
        head + body + "print(file_of(Own)[0])",
        "def scale(x, by=2): return by * x",
        "first = file_of(Own)[0].read_text(); print(first)",
        "class Own(bench.Method):\n    name = 'own'\n    run = lambda *_: {'score': [1.0]}\nprint(file_of(Own)[0])",
        "import numpy\nLARGE = numpy.zeros(3)",
        body.replace("scale(", "LARGE.sum(") + "try:\n    file_of(Own)\nexcept Exception as error:\n    print(error)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    told = [_told(cell) for cell in execute(notebook).cells]
    assert told[1].strip().endswith(".py")
    assert "def scale(x, by=2)" in told[3]
    assert "def scale(x, by=1)" not in told[3]
    assert "get_ipython" not in told[3]
    assert "own-" in told[4]
    assert told[4] != told[1]
    assert "uses 'LARGE', a ndarray that cannot be written as source" in told[6]
