"""Methods that are classes of a session: what their file holds, and what cannot be taken along."""

import linecache
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from conftest_core import PLUGIN, ToySource

import bench
from bench.api.methods import file_of
from bench.api.watch import SILENT
from bench.errors import BenchError
from bench.locate import load_file

HEAD = "import bench, math\nimport numpy as np\nfrom pathlib import Path as Folder\n"
BODY = """
class Own(bench.Method):
    name = "own"
    tasks = ("guess",)
    summary = "Of a cell."
    stochastic = False

    def __init__(self, k: int = 1):
        self.k = k

    def run(self, inputs, ctx):
        {code}
        return {{"score": np.full(inputs.cells.X.shape[0], float(self.k))}}
"""


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Runs cells, as IPython does: the source of each in linecache, all names in ``__main__``."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    names = []

    def run_cell(source):
        name = f"<cell {len(names)} of {id(main)}>"
        names.append(name)
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), vars(main))
        return main

    yield run_cell
    for name in names:
        del linecache.cache[name]


def _written(session, code="", head=HEAD):
    main = session(head + BODY.format(code=code))
    file, along = file_of(main.Own)
    return file, along, file.read_text()


def test_a_class_and_what_it_uses_are_written(session):
    session("LIMIT = 3\nNAMES = ['a', 'b']\ndef twice(x):\n    return 2 * once(x)\n")
    session("def once(x):\n    return x if x < LIMIT else twice(0)\n")
    file, along, text = _written(session, "twice(1); NAMES[0]; np.log(2); Folder('x'); table = 5")
    assert set(along) == {"import bench", "import numpy as np", "from pathlib import Path as Folder", "LIMIT", "NAMES",
                          "twice", "once"}  # fmt: skip
    module = load_file(file)
    assert module.twice(1) == 2
    assert module.twice(5) == 0
    assert module.Own.name == "own"
    assert "import math" not in text  # of the cell, and not used
    assert file.name.startswith("own-")
    assert file_of(sys.modules["__main__"].Own)[0] == file


def test_nothing_else_of_the_cell_runs_again(session):
    _, _, text = _written(session, head=HEAD + "print('ran')\nlarge = np.zeros(10)\n")
    assert "print" not in text
    assert "large" not in text


def test_another_body_is_another_file(session):
    first, *_ = _written(session)
    second, *_ = _written(session, "pass")
    assert first != second
    assert "pass" in second.read_text()
    assert "pass" not in first.read_text()


def test_decorated_helpers_bases_and_defaults_come_first(session):
    session(
        "import functools\nclass Base(__import__('bench').Method):\n    k = 2\n    def weight(self): return self.k\n"
    )
    session("@functools.cache\ndef table(n=4):\n    return n\n")
    main = session(HEAD + BODY.replace("bench.Method", "Base").format(code="table(); self.weight()"))
    text = file_of(main.Own)[0].read_text()
    assert text.index("class Base") < text.index("class Own")
    assert text.index("import functools") < text.index("def table")
    assert "@functools.cache\ndef table" in text


def test_a_value_that_is_made_in_the_same_cell_is_made_again(session):
    _, along, text = _written(session, "PATTERN.match('a')", head=HEAD + "import re\nPATTERN = re.compile('a+')\n")
    assert "PATTERN = re.compile('a+')" in text
    assert "import re" in along


def test_imports_of_the_cell_are_taken_as_they_are_written(session):
    head = HEAD + "import xml.dom, json as js\nfrom numpy import log, add as plus\n"
    _, along, text = _written(session, "xml.dom.Node; js.dumps(1); log(2); plus(1, 2)", head=head)
    assert {"import xml.dom", "import json as js", "from numpy import log", "from numpy import add as plus"} <= set(
        along
    )
    assert all(statement in text for statement in along)


def test_data_of_the_session_cannot_be_taken_along(session):
    session("import numpy\nlarge = numpy.zeros(3)\n")
    with pytest.raises(BenchError, match=r"uses 'large', a ndarray that cannot be written[\s\S]*same cell"):
        _written(session, "large.sum()")


def test_annotations_may_be_of_later(session):
    _, _, text = _written(session, head="from __future__ import annotations\n" + HEAD)
    assert text.splitlines()[1] == "from __future__ import annotations"


def test_a_class_without_source_or_inside_of_a_function_is_refused(session):
    main = session("pass")
    exec(HEAD + BODY.format(code=""), vars(main))  # as by `python -c`
    with pytest.raises(BenchError, match=r"source of 'Own' cannot be had[\s\S]*plugins"):
        file_of(main.Own)
    main = session(HEAD + "def make():\n" + BODY.format(code="").replace("\n", "\n    ") + "\n    return Own\n")
    with pytest.raises(BenchError, match="defined inside of something else"):
        file_of(main.make())


def test_a_class_of_a_cell_runs_in_a_process_of_its_own(session, tmp_path, capsys):
    main = session("def level():\n    return 3.0\n")
    session(HEAD + BODY.format(code="assert level() == 3.0"))
    cells = ToySource().load().adata
    asked = {"out": tmp_path / "run", "plugins": [PLUGIN]}
    done = bench.run("guess", [main.Own(k=4)], cells, **asked)
    told = capsys.readouterr().err
    assert f"method own: class Own is written to {tmp_path}/cache/methods/own-" in told
    assert told.index("level") < told.index("[1/3")
    assert set(done.trials["status"]) == {"ok"}
    assert (done.predictions("own")["score"] == 4.0).all()
    [kept] = (tmp_path / "run" / "methods").iterdir()
    assert "class Own" in kept.read_text()
    assert bench.run("guess", main.Own(k=4), cells, **asked, display=SILENT).result.ran == 0
    session(HEAD + BODY.format(code="pass"))  # the cell is edited
    assert bench.run("guess", [main.Own(k=4)], cells, **asked, display=SILENT).result.ran == 1
    with pytest.raises(BenchError, match="'own' is asked for with two sets of parameters"):
        bench.run("guess", [main.Own(k=4), main.Own()], cells, **asked)


def test_classes_of_files_and_registered_ones_are_found_where_they_are(tmp_path, monkeypatch):
    plugin = tmp_path / "of_a_file.py"
    plugin.write_text(HEAD + BODY.format(code=""))
    module = load_file(plugin)
    assert file_of(module.Own) == (plugin, [])
    from bench.methods.cxds import Cxds

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    with pytest.raises(BenchError, match="does not answer task 'guess'|unknown method|answers"):
        bench.run("guess", [Cxds], ToySource().load().adata, plugins=[PLUGIN], out=tmp_path / "run")


def test_a_script_that_runs_may_define_a_method(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    last = "from bench.api.methods import file_of\nprint(file_of(Own)[0])\n"
    script.write_text(HEAD + BODY.format(code="") + last)
    environment = {**os.environ, "BENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    text = Path(done.stdout.strip()).read_text()
    assert "class Own" in text
    assert "print" not in text
