from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from import_graph import ROOT
from packaging.requirements import Requirement

from bench.reports.page.html import VENDORED

REPORTS = ROOT / "reports"
README = (REPORTS / "vendor" / "README.md").read_text(encoding="utf-8")


def test_every_script_of_others_is_the_file_that_its_line_tells_and_has_its_licence() -> None:
    lines = re.findall(r"^\| (\S+\.js) \|.*\| [^|]*\((LICENSE-\w+)\) \| ([0-9a-f]{64}) \|$", README, re.M)
    assert {f"vendor/{name}" for name, _, _ in lines} == set(VENDORED)
    for name, licence, digest in lines:
        assert hashlib.sha256((REPORTS / "vendor" / name).read_bytes()).hexdigest() == digest
        assert "Permission is hereby granted" in (REPORTS / "vendor" / licence).read_text()


def test_plotlys_bundle_has_every_type_of_trace_that_the_page_draws() -> None:
    scripts = "".join(p.read_text() for p in REPORTS.rglob("*.js") if p.parent.name != "vendor")
    others = {"line", "category", "log", "data", "button", "checkbox", "radio"}  # of shapes, axes, errors, inputs
    drawn = set(re.findall(r'type: "([a-z]+)"', scripts)) - others
    sentence = re.search(r"cartesian bundle draws ([^.]+)\.", README)
    assert sentence
    assert {"scatter", "bar", "box", "heatmap"} <= drawn <= set(re.split(r", | and ", sentence[1]))
    bundle = (REPORTS / "vendor" / "plotly-cartesian.min.js").read_text(encoding="utf-8")
    assert all(f'moduleType:"trace",name:"{name}"' in bundle for name in drawn)


def test_what_a_report_needs_is_installed_with_the_base_package(make_run: Callable[..., Path], tmp_path: Path) -> None:
    """The report is rendered in a process that cannot import what only extras install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {Requirement(r).name for of in project["optional-dependencies"].values() for r in of}
    only_extras = sorted(extras - {Requirement(r).name for r in project["dependencies"]} - {"scmamba-bench"})
    modules = {"magic-impute": "magic", "scvi-tools": "scvi", "scib-metrics": "scib_metrics"}
    code = """
import sys
from pathlib import Path
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[3:]:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from bench.reports import build_report
print(build_report(Path(sys.argv[1]), Path(sys.argv[2]), formats=()))
"""
    blocked = ["plotly", *(modules.get(name, name.replace("-", "_")) for name in only_extras)]
    assert "torch" in blocked
    run, page = make_run({"cxds": 1.5}, datasets=("cohort",), tracks=("simulated",), seeds=1), tmp_path / "report.html"
    command = [sys.executable, "-c", code, str(run), str(page), *blocked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(page)
    assert "Doublet benchmark" in page.read_text(encoding="utf-8")
