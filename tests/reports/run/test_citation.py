"""The methods paragraph, BibTeX, and the citation of bench itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec
from markupsafe import escape

from bench import __version__
from bench.reports.page import html
from bench.reports.run import citation
from bench.reports.run.load import Run, load
from bench.results.records import DataCard, Limits, Machine, PlannedTrial, ScoreRecord
from bench.results.store import Store
from bench.task import Seeds

ROOT = Path(__file__).parents[3]
PAPER = "@article{me2020m,\n    author = {Me},\n}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    store = Store.create(tmp_path / "run")
    cards = [
        method_card("m", citation=PAPER, licence="MIT", requires=["tool"]),
        method_card("twin", citation=f"{PAPER}\n@book{{other1999,\n    author = {{You}},\n}}"),
        method_card("bare", reference="10.1/x"),
        method_card("nameless"),
        method_card("absent", citation="@misc{never,\n}"),
        method_card("coin", role="random", citation="@misc{no,\n}"),
    ]
    planned = []
    for i, card in enumerate(cards):
        role = "random" if card.name == "coin" else "method"
        seeds = Seeds(method=i % 2)
        spec = trial_spec(method=card.name, role=role, seeds=seeds, params={"k": i, "mode": "x"})
        scores = {"scores": [ScoreRecord(metric="auprc", value=0.5, ci_low=0.4, ci_high=0.6)]}
        status = {"status": "unavailable"} if card.name == "absent" else scores
        facts = {"versions": {"python": "3.11.2", "tool": "1.5", "numpy": "2.0"}, "machine": Machine(cpu="Chip")}
        key = f"{i:016x}"
        store.save(trial_record(key, spec, limits=Limits(timeout_s=90, threads=2), **facts, **status), [])
        planned.append(PlannedTrial(key=key, track="a", dataset="d", method=card.name, seeds=seeds))
    data = DataCard(
        name="d", summary="", digest="0123456789abcdef", fields=["donor"], truth="none", n_cells=6000, n_genes=10,
        n_donors=4, source="", accession="GSE1", licence="CC-BY-4.0", organism="", tissue="cortex", caveat="",
        expected_doublet_rate=None,
    )  # fmt: skip
    save_request(
        store, task_card("t", {"a": track()}, [metric("auprc", headline=True)]), cards, planned, datasets=[data]
    )
    return load(store.root)


def test_the_paragraph_has_versions_seeds_settings_data_and_splits(run: Run) -> None:
    text = citation.methods_paragraph(run, run.tasks["t"])
    assert "4 methods" in text
    assert "m (port, tool 1.5) [@me2020m]" in text
    assert "twin (port) [@me2020m] [@other1999]" in text
    assert "1 control (coin)" in text
    assert (
        "d (6,000 cells, 10 genes, 4 donors, tissue cortex, accession GSE1, licence CC-BY-4.0, sha256 0123456789ab)"
        in text
    )
    assert "1 split, 1 simulation and up to 2 seeds" in text
    assert "2 threads on cpu, at most 90 s" in text
    assert "auprc (higher is better)" in text
    assert "5 of 6 planned trials finished" in text
    assert "Python 3.11.2, numpy 2.0 on Chip" in text
    assert "absent" not in text


def test_parameters_are_all_told(run: Run) -> None:
    assert dict(citation.parameters(run, run.tasks["t"]))["m"] == "k=0, mode=x"


def test_bibtex_has_every_work_once_and_bench(run: Run) -> None:
    text = citation.bibtex(run)
    assert re.findall(r"^@\w+\{([\w.]+),", text, re.M) == ["bench", "bare", "me2020m", "other1999"]
    assert "doi = {10.1/x}" in text
    assert citation.without_citation(run) == ["nameless"]
    cited = re.findall(r"\[@(\w+)\]", citation.methods_paragraph(run, run.tasks["t"]))
    assert set(cited) == {"bench", "bare", "me2020m", "other1999"}


def test_bench_has_one_version_title_and_licence() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cff["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= cff.keys()
    assert cff["authors"] == [{"name": "The bench authors"}]
    assert (cff["version"], cff["title"]) == (__version__, citation.TITLE)
    assert cff["license"] in project["license"].split(" AND ")  # what is shipped of others has theirs


def test_the_page_has_paragraph_parameters_bibtex_and_licences(run: Run) -> None:
    page = html.render(run, [])
    for text in (citation.methods_paragraph(run, run.tasks["t"]), citation.bibtex(run), "m: k=0, mode=x"):
        assert str(escape(text)) in page
    assert "<dt>licence</dt><dd>MIT</dd>" in page
