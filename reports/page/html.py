"""The HTML file: text and cards rendered here, figures and tables drawn by the script it carries."""

from __future__ import annotations

import itertools
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from bench.reports.classes import tables as class_tables
from bench.reports.deg import tables as deg_tables
from bench.reports.embeddings import tables as embedding_tables
from bench.reports.page.figure_files import write_figures
from bench.reports.page.payload import embed, payload
from bench.reports.page.templates import asset, environment
from bench.reports.run import caveats, citation, crate, outcome, summary, tables
from bench.reports.run.leaders import leaders, without_result
from bench.reports.run.load import Run, load
from bench.reports.run.standing import not_compared
from bench.results.records import DECLARED, TaskCard, TrialRecord
from bench.system import replacing
from bench.words import listing

SCRIPTS = (
    "page/report.js",
    "page/trace.js",
    "page/overview.js",
    "page/figures.js",
    "page/tables.js",
    "page/rows.js",
    "classes/supplementary.js",
    "classes/page.js",
    "embeddings/page.js",
    "imputation/page.js",
    "integration/page.js",
    "deg/page.js",
)

#: Scripts of others (``vendor/README.md``), before our own.
VENDORED = ("vendor/pako_inflate.min.js", "vendor/plotly-cartesian.min.js")

#: Lines on failures before the verdict; the section on coverage has all.
MOST_LOST = 3

#: Characters of log in the HTML, shared among the failures of a task; the whole logs lie in the trials' folders.
LOGS_BUDGET = 1_000_000


def write(run_dir: Path, target: Path, formats: Sequence[str]) -> Path:
    """Load the run, draw its figures and put the HTML in place in one step."""
    run, embeddings = load(run_dir), embedding_tables.load(run_dir)
    if formats:
        write_figures(run, embeddings, target.parent / "figures", formats)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as aside:
        aside.write_text(render(run, embeddings), encoding="utf-8")
    if target.parent.resolve() == run.folder.resolve():  # a report that lies elsewhere changes nothing in the folder
        crate.write(run)
    return target


def render(run: Run, embeddings: Sequence[embedding_tables.Embedding]) -> str:
    """The HTML text."""
    data = payload(run, embeddings)
    return (
        environment()
        .get_template("page/report.html.j2")
        .render(
            run=run,
            by_class=any(task["classes"]["pairs"] for task in data["tasks"].values()),
            imputation=any(task["imputation"]["pairs"] for task in data["tasks"].values()),
            zeros=any(task["imputation"]["zeros"] for task in data["tasks"].values()),
            integration=any(task["integration"]["pairs"] for task in data["tasks"].values()),
            deg=any(task["deg"] or task["volcanoes"] for task in data["tasks"].values()),
            why_corrected=deg_tables.WHY_CORRECTED,
            lost=class_tables.LOST,
            title=_title(run, embeddings),
            unasked=sorted(
                Counter(task for r in run.trials.values() if (task := r.spec.task) not in run.tasks).items()
            ),
            tasks=[_task_view(run, card) for card in run.tasks.values()],
            commands=[(r.created, shlex.join(r.command), r.host, r.git) for r in run.requests],
            versions=_versions(run),
            bibtex=citation.bibtex(run),
            without_citation=citation.without_citation(run),
            embeddings=[(e.name, embedding_tables.sentence(e)) for e in embeddings],
            no_interval=summary.NO_INTERVAL,
            most_lost=MOST_LOST,
            data=embed(data),
            style=asset("page/report.css"),
            scripts=[asset(name) for name in (*VENDORED, *SCRIPTS)],
        )
    )


def _title(run: Run, embeddings: Sequence[embedding_tables.Embedding]) -> str:
    if embeddings and not run.tasks:
        return f"Embeddings of {listing(sorted({e.card.dataset for e in embeddings}))}"
    names = [name.capitalize() for name in run.tasks] or ["Empty run"]
    datasets = sorted({t.dataset for _, t in run.planned.values()})
    what = f"{listing(names)} benchmark" if len(names) < 3 else f"Benchmark of {len(names)} tasks"
    return what + (f": {listing(datasets)}" if 0 < len(datasets) < 4 else "")


def _task_view(run: Run, card: TaskCard) -> dict[str, Any]:
    coverage = tables.coverage(run)
    coverage = coverage[coverage["task"] == card.name]
    records = [r for r in run.trials.values() if r.spec.task == card.name]
    leading = leaders(run, card)
    pairs = tables.pairs(run, card.name)
    without = without_result(run, card)
    empty = {(track, dataset) for track, dataset, _ in without}
    names = [n for role in tables.ROLE_ORDER for n in sorted(coverage.loc[coverage["role"] == role, "method"].unique())]
    notes = _problem_notes(records)
    failures = [r for r in records if r.status != "ok"]
    ended = tables.outcomes(run)
    missing = ended[(ended["task"] == card.name) & (ended["status"] == "missing")]
    return {
        "card": card,
        "caveats": caveats.caveats(run, card),
        "headline": tables.headline(card),
        "verdict": summary.verdict(run, card, leading),
        "scope": summary.scope(run, card),
        "no_result": summary.no_result(run, card),
        "outcome": outcome.line(run, card),
        "lost": outcome.lost(run, card),
        "leaders": leading,
        "rests_on": {pair: caveats.rests_on(run, card.name, *pair) for pair in pairs},
        "weak": {dataset for _, dataset in pairs if caveats.weak_labels(run, card.name, dataset)},
        "apart": {pair: why for pair, why in not_compared(run, card).items() if pair not in empty},
        "without": without,
        "pairs": pairs,
        "methods": [(name, coverage.loc[coverage["method"] == name, "role"].iloc[0]) for name in names],
        "whole": {name for name, rows in coverage.groupby("method") if (rows["status"] == "ok").all()},
        "cells": {(r.method, r.track, r.dataset): r for r in coverage.itertuples()},
        "failures": _grouped(failures, len(names)),
        "log_limit": max(300, min(6000, LOGS_BUDGET // max(1, len(failures)))),
        "missing": sorted(missing[["method", "track", "dataset"]].itertuples(index=False, name=None)),
        "skipped": [skip for name, skip in run.skipped if name == card.name],
        "notes": notes,
        "method_notes": _method_notes(records),
        "processes": _processes(records),
        "paragraph": citation.methods_paragraph(run, card),
        "parameters": citation.parameters(run, card),
        "cards": [run.methods[name] for name in names if name in run.methods],
    }


def _problem_notes(records: list[TrialRecord]) -> list[tuple[str, str, str]]:
    """Track, dataset, note: those of one problem together and in its order, for a note may refer to the one before."""
    ordered = sorted(records, key=lambda r: (r.spec.track, r.spec.dataset, r.spec.seeds.split, r.spec.seeds.simulation))
    return list(dict.fromkeys((r.spec.track, r.spec.dataset, str(note)) for r in ordered for note in r.problem_notes))


def _method_notes(records: list[TrialRecord]) -> list[tuple[str, str, list[str]]]:
    """Notes that methods make on their own trials: method, note, the tracks and datasets it concerns."""
    pairs_of: dict[tuple[str, str], set[str]] = {}
    for r in records:
        for note in r.notes:
            pairs_of.setdefault((r.spec.method, str(note)), set()).add(f"{r.spec.track} · {r.spec.dataset}")
    return [(method, note, sorted(pairs)) for (method, note), pairs in sorted(pairs_of.items())]


def _place(r: TrialRecord) -> tuple[str, str, str, tuple[int, ...]]:
    return r.spec.method, r.spec.track, r.spec.dataset, astuple(r.spec.seeds)


def _processes(records: list[TrialRecord]) -> list[tuple[str, TrialRecord, int]]:
    """Method, one trial, and how many there are, of each kind of process that a method ran in.

    Controls run in the harness's own process, which has loaded more with every trial.
    """
    alike: dict[str, list[TrialRecord]] = {}
    for r in sorted((r for r in records if r.imported), key=_place):
        loaded = r.imported if r.spec.role == "method" else None
        identity = [r.spec.method, loaded, r.machine.model_dump(exclude={"load"}), r.host, r.guard, r.resources.device]
        alike.setdefault(json.dumps(identity, sort_keys=True), []).append(r)
    return [(group[0].spec.method, group[0], len(group)) for group in alike.values()]


@dataclass(frozen=True)
class _Failures:
    """Trials that failed alike: ``who`` names the methods, ``method`` and ``pair`` are set where there is only one."""

    who: str
    method: str
    pair: str
    trials: list[TrialRecord]


def _grouped(failures: list[TrialRecord], n_methods: int) -> list[_Failures]:
    """Worst first. A declared reason is told once, whatever methods it concerns; a failure is each method's own."""

    def alike(r: TrialRecord) -> tuple[int, str, str]:
        return -tables.STATUS_ORDER.index(r.status), "" if r.status in DECLARED else r.spec.method, r.detail

    groups = []
    ordered = sorted(failures, key=lambda r: (*alike(r), r.spec.method, r.spec.track, r.spec.dataset, r.key))
    for _, group in itertools.groupby(ordered, key=alike):
        trials = list(group)
        methods = sorted({r.spec.method for r in trials})
        pairs = sorted({f"{r.spec.track}/{r.spec.dataset}" for r in trials})
        who = "all methods and controls" if 1 < len(methods) == n_methods else ", ".join(methods)
        if who.count(",") > 4:
            who = f"{len(methods)} methods and controls"
        groups.append(
            _Failures(who, methods[0] if len(methods) == 1 else "", pairs[0] if len(pairs) == 1 else "", trials)
        )
    return groups


def _versions(run: Run) -> dict[str, list[str]]:
    """Package -> versions met in requests and trials (more than one where machines or environments differ)."""
    met: dict[str, set[str]] = {}
    of_trials = [{**r.versions, **r.imported} for r in run.trials.values()]
    for versions in [*(r.versions for r in run.requests), *of_trials]:
        for name, version in versions.items():
            met.setdefault(name, set()).add(version)
    return {name: sorted(met[name]) for name in sorted(met, key=str.lower)}
