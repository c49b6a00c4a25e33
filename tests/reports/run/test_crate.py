"""``ro-crate-metadata.json``: valid by the specification, complete, quick, and written in one step."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import requests
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec

from bench.reports import build_report
from bench.reports.run import crate
from bench.reports.run.load import Run, load
from bench.results.records import DataCard, PlannedTrial, ScoreRecord
from bench.results.store import Store

PAPER = "@article{me2020m,\n    author = {Me},\n    title = {A {Great} work},\n    doi = {10.1/m},\n}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    store = Store.create(tmp_path / "run")
    cards = [
        method_card("m", citation=PAPER, licence="MIT", requires=["tool"], implementation="official"),
        method_card("twin", citation=PAPER, licence="MIT"),
        method_card("plain"),
        method_card("coin", role="random"),
    ]
    planned = []
    for i, card in enumerate(cards):
        role = "random" if card.name == "coin" else "method"
        scores = [ScoreRecord(metric="auprc", value=0.5)]
        versions = {"python": "3.11.2", "tool": "1.5"}
        key = f"{i:016x}"
        spec = trial_spec(method=card.name, role=role)
        store.save(trial_record(key, spec, scores=scores, versions=versions, started="2026-01-02T03:04:05Z"), [])
        planned.append(PlannedTrial(key=key, track="a", dataset="d", method=card.name, seeds=spec.seeds))
    data = DataCard(
        name="d", summary="Cells.", digest="0123", fields=["donor"], truth="none", n_cells=6000, n_genes=10, n_donors=4,
        source="A study", accession="GSE1", licence="CC-BY-4.0", organism="", tissue="", caveat="",
        expected_doublet_rate=None,
    )  # fmt: skip
    task = task_card("t", {"a": track()}, [metric("auprc", headline=True)])
    save_request(store, task, cards, planned, datasets=[data], created="2026-01-02T03:04:05Z")
    (store.root / "problems").mkdir()
    return load(store.root)


def graph(run: Run) -> dict[str, dict]:
    crate.write(run)
    entities = json.loads((run.folder / crate.FILE).read_text(encoding="utf-8"))["@graph"]
    assert len({entity["@id"] for entity in entities}) == len(entities)
    return {entity["@id"]: entity for entity in entities}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The validator asks for the context of the specification; rocrate brings a later one, which has all of it."""
    context = (files("rocrate") / "data" / "ro-crate.jsonld").read_bytes()

    def send(adapter: object, request: requests.PreparedRequest, **_: object) -> requests.Response:
        assert str(request.url).startswith("https://w3id.org/ro/crate/"), request.url
        response = requests.Response()
        response.status_code, response._content, response.url = 200, context, str(request.url)
        response.request = request
        response.headers["Content-Type"] = "application/ld+json"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)


def issues(folder: Path) -> list[str]:
    from rocrate_validator.models import Severity
    from rocrate_validator.services import ValidationSettings, validate

    settings = ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier=f"ro-crate-{crate.VERSION}",
        requirement_severity=Severity.REQUIRED,
        no_cache=True,
    )
    return [f"{issue.check.identifier}: {issue.message}" for issue in validate(settings).get_issues()]


@pytest.mark.usefixtures("offline")
def test_the_crate_of_a_reported_run_is_valid(run: Run) -> None:
    build_report(run.folder, formats=("png",))
    assert issues(run.folder) == []


@pytest.mark.usefixtures("offline")
def test_the_validator_finds_what_is_wrong(run: Run) -> None:
    crate.write(run)
    file = run.folder / crate.FILE
    file.write_text(file.read_text().replace('"datePublished"', '"datePublishd"'))
    assert issues(run.folder)


def test_methods_data_and_software_have_versions_licences_and_citations(run: Run) -> None:
    found = graph(run)
    method = found["#method-m"]
    assert method["softwareVersion"] == "tool 1.5"
    assert method["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    assert method["citation"] == {"@id": "https://doi.org/10.1/m"}
    assert found["https://doi.org/10.1/m"]["name"] == "A Great work"
    assert found["#method-twin"]["citation"] == method["citation"]
    assert "citation" not in found["#method-plain"]
    assert "#method-coin" not in found
    assert found["#dataset-d"]["identifier"] == ["GSE1", "sha256:0123"]
    assert found["#dataset-d"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert found["#tool-1.5"]["softwareVersion"] == "1.5"
    asked = found["#request-1"]
    assert {"@id": "results.csv"} in asked["result"]
    assert {"@id": "#method-m"} in asked["instrument"]


def test_files_of_one_base_name_are_all_there_and_folders_stand_for_what_is_in_them(run: Run) -> None:
    (run.folder / "figures").mkdir()
    (run.folder / "figures" / "results.csv").write_text("a file of the same name")
    parts = {part["@id"] for part in graph(run)["./"]["hasPart"]}
    assert {"results.csv", "results.parquet", "versions.csv", "figures/", "trials/", "problems/", "run.json"} <= parts
    assert not [part for part in parts if part.startswith("trials/") and part != "trials/"]
    assert "report.html" not in parts  # none was rendered
    assert "embeddings/" not in parts


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_beside(run: Run) -> None:
    before = sorted(p.name for p in run.folder.iterdir())
    graph(run)
    first = (run.folder / crate.FILE).read_bytes()
    graph(load(run.folder))
    assert (run.folder / crate.FILE).read_bytes() == first
    assert sorted(p.name for p in run.folder.iterdir()) == sorted([*before, crate.FILE])


def test_a_report_that_lies_elsewhere_leaves_the_folder_as_it_was(run: Run, tmp_path: Path) -> None:
    build_report(run.folder, tmp_path / "mail.html", formats=())
    assert not (run.folder / crate.FILE).exists()


def test_a_run_without_any_request_has_a_crate(tmp_path: Path) -> None:
    found = graph(load(Store.create(tmp_path / "empty").root))
    assert found["./"]["name"].startswith("bench run")
