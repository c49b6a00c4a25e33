"""``ro-crate-metadata.json``: what lies in a run folder, made of what, by whom, under which licence."""

from __future__ import annotations

import json
import shlex
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from bench.reports.run import citation
from bench.reports.run.load import Run
from bench.results.records import DECLARED, DataCard, MethodCard
from bench.system import write_atomic
from bench.words import count, listing

FILE = "ro-crate-metadata.json"
#: Of the RO-Crate specification: the one that most readers know.
VERSION = "1.1"
#: Files and folders of a run folder, where they are there: what they hold. A folder stands for all that is in it.
FILES = {
    "report.html": ("The report: one file that needs no network", "text/html"),
    "results.csv": ("A row per metric value: seeds, parameters, scores with intervals, status, cost", "text/csv"),
    "results.parquet": ("The same as results.csv", "application/vnd.apache.parquet"),
    "curves.csv": ("Points of curves", "text/csv"),
    "curves.parquet": ("The same as curves.csv", "application/vnd.apache.parquet"),
    "versions.csv": ("Packages that each trial's process had loaded", "text/csv"),
    "versions.parquet": ("The same as versions.csv", "application/vnd.apache.parquet"),
    "run.json": ("Identity of the run", "application/json"),
}
FOLDERS = {
    "trials": "A folder a trial: trial.json (its record), prediction.parquet and the like, log.txt",
    "problems": "A folder a problem: the truth that predictions were scored against",
    "requests": "What was asked of the run: commands, cards of methods and datasets, planned trials",
    "methods": "Source of methods that were defined in a notebook",
    "figures": "The figures of the report as files",
    "embeddings": "Maps of the vectors of pre-trained models",
}


def write(run: Run) -> None:
    """Put the description of a run into its folder, in one step."""
    text = json.dumps(_crate(run).metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)
    write_atomic(run.folder / FILE, f"{text}\n".encode())


def _crate(run: Run) -> ROCrate:
    crate = ROCrate(version=VERSION)
    root = crate.root_dataset
    root["name"] = f"bench run {run.info.run_id}: {listing(list(run.tasks))}"
    root["description"] = _description(run)
    root["datePublished"] = max([run.info.created, *(r.started for r in run.trials.values())])
    root["license"] = _entity(
        crate,
        "#licence",
        "CreativeWork",
        name="No licence is stated for the results",
        description="They belong to whoever ran them. Methods and datasets have licences of their own, named here.",
    )
    # dest_path is given always: of two files of one base name rocrate keeps only one otherwise
    results = [
        crate.add_file(dest_path=name, properties=_file(run, name, *told))
        for name, told in FILES.items()
        if (run.folder / name).is_file()
    ]
    results += [
        crate.add_dataset(dest_path=f"{name}/", properties={"name": name, "description": told})
        for name, told in FOLDERS.items()
        if (run.folder / name).is_dir()
    ]
    bench = _software(crate, "bench", run.info.bench_version, description=citation.TITLE, licence="BSD-3-Clause")
    methods = [_method(crate, run, card) for card in citation.tried(run, *run.tasks)]
    datasets = [_dataset(crate, card) for card in run.datasets.values()]
    packages = [_software(crate, name, version) for name, version in _versions(run)]
    root["mentions"] = [
        _entity(
            crate,
            f"#request-{number}",
            "CreateAction",
            name=shlex.join(request.command),
            startTime=request.created,
            instrument=[bench, *methods, *packages],
            object=datasets,
            result=results,
        )
        for number, request in enumerate(run.requests, start=1)
    ] + [*methods, *datasets]
    return crate


def _description(run: Run) -> str:
    finished = sum(record.status == "ok" for record in run.trials.values())
    told = f"{finished:,} of {count(len(run.trials), 'trial')} finished."
    return " ".join([told, *(citation.methods_paragraph(run, card) for card in run.tasks.values())]).strip()


def _file(run: Run, name: str, told: str, kind: str) -> dict[str, Any]:
    size = str((run.folder / name).stat().st_size)
    return {"name": name, "description": told, "encodingFormat": kind, "contentSize": size}


def _method(crate: ROCrate, run: Run, card: MethodCard) -> ContextEntity:
    papers = [
        _entity(
            crate,
            f"https://doi.org/{work.doi}" if work.doi else f"#{work.key}",
            "ScholarlyArticle",
            name=work.title or card.name,
            identifier=work.doi,
        )
        for work in citation.works(card)
    ]
    records = [r for r in run.trials.values() if r.spec.method == card.name]
    used = {f"bench {r.bench_version}" for r in records} if card.implementation != "official" else set()
    used |= {f"{name} {r.versions[name]}" for r in records for name in card.requires if name in r.versions}
    return _software(
        crate,
        f"method {card.name}",
        ", ".join(sorted(used)) or f"bench {run.info.bench_version}",
        description=f"{card.summary} ({card.implementation})",
        licence=card.licence,
        citation=papers,
    )


def _dataset(crate: ROCrate, card: DataCard) -> ContextEntity:
    return _entity(
        crate,
        f"#dataset-{card.name}",
        "CreativeWork",
        additionalType="Dataset",
        name=card.name,
        description=f"{card.summary} {count(card.n_cells, 'cell')}, {count(card.n_genes, 'gene')}.",
        identifier=[part for part in (card.accession, f"sha256:{card.digest}") if part],
        license=_licence(crate, card.licence),
        isBasedOn=card.source,
    )


def _versions(run: Run) -> list[tuple[str, str]]:
    """Return the software that the rows of the results name: Python, R, what methods require, the usual packages."""
    records = (r for r in run.trials.values() if r.status not in DECLARED)
    return sorted({item for r in records for item in r.versions.items() if item[0] != "scmamba-bench"})


def _software(crate: ROCrate, name: str, version: str, *, licence: str = "", **more: object) -> ContextEntity:
    place = f"#{name} {version}" if version and not name.startswith("method ") else f"#{name}"
    shown = name.removeprefix("method ").removeprefix("R:")
    facts = {"version": version, "softwareVersion": version, "license": _licence(crate, licence), **more}
    return _entity(crate, place.replace(" ", "-"), "SoftwareApplication", name=shown, **facts)


def _licence(crate: ROCrate, licence: str) -> ContextEntity | None:
    """An SPDX identifier as what it names; any other text as it is."""
    if not licence:
        return None
    spdx = " " not in licence and ":" not in licence
    place = f"https://spdx.org/licenses/{licence}" if spdx else f"#licence-{licence.replace(' ', '-')}"
    return _entity(crate, place, "CreativeWork", name=licence)


def _entity(crate: ROCrate, place: str, kind: str, **facts: object) -> ContextEntity:
    """A thing that is described and does not lie in the folder; what is empty is left out."""
    known = {name: value for name, value in facts.items() if value not in ("", None, [])}
    found: ContextEntity = crate.add(ContextEntity(crate, place, properties={"@type": kind}))
    for name, value in known.items():
        found[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
    return found
