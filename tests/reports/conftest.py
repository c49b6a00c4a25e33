"""A made-up run folder with every situation the report must survive. The numbers are random and mean nothing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import metric, trial_spec

from bench.problem import Curve
from bench.reports import build_report
from bench.results.records import (
    DataCard,
    Limits,
    Machine,
    MethodCard,
    PlannedTrial,
    Request,
    Resources,
    RunInfo,
    ScoreRecord,
    Skipped,
    TaskCard,
    TrialRecord,
)
from bench.results.tables import CURVE_COLUMNS, ROW_COLUMNS
from bench.task import Metric, Seeds, Track

METHODS = {
    "scmamba": 2.6,
    "schyena": 2.4,
    "pyscdblfinder": 2.3,
    "doubletdetection": 2.1,
    "solo": 1.9,
    "scrublet": 1.8,
    "hybrid": 1.75,
    "bcds": 1.6,
    "scds-r": 1.74,
    "cxds": 1.5,
    "doubletfinder": 1.1,
    "doubletfinder-r": 1.08,
}
CONTROLS = {
    "truth": ("perfect", 60.0),
    "library_size": ("trap", 1.3),
    "n_genes": ("trap", 1.2),
    "random": ("random", 0),
}
SEEDED = {"solo", "scrublet", "scmamba", "random"}
DETAIL = "log2 of <script>alert('pwned')</script> & 'quotes' </script>"
LOG = 'Traceback (most recent call last):\n  File "x.py", line 3\nValueError: ' + DETAIL
FAILURES = {
    ("doubletfinder", "invivo", "agarwal"): ("timeout", "killed after 3600 s"),
    ("doubletfinder-r", "invivo", "agarwal"): ("oom", "tree used 16.2 GB of 16.0 GB"),
    ("solo", "simulated", "chcl"): ("crash", DETAIL),
    ("bcds", "invivo", "chcl"): ("invalid_output", "column score has 3 NaN"),
    ("scmamba", "experimental", "chcl"): ("not_applicable", "needs training donors, there are none"),
    **{
        ("scds-r", t, d): ("unavailable", "R package scds is not installed")
        for t in ("experimental", "simulated", "invivo")
        for d in ("cohort", "chcl", "agarwal")
    },
}
RATES = ("10%", "20%", "40%", "true")


@dataclass
class Plan:
    """What the made-up run contains."""

    methods: dict[str, float]
    tracks: tuple[str, ...] = ("experimental", "simulated", "invivo")
    datasets: tuple[str, ...] = ("cohort", "chcl", "agarwal")
    seeds: int = 5
    controls: bool = True
    fail_all: bool = False
    failures: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)
    run: bool = True


def _metrics() -> list[Metric]:
    names = ["precision", "recall", "tnr", "f1", "auroc", "auprc"]
    names += [f"{m}@{r}" for r in RATES for m in ("precision", "recall", "tnr", "f1")]
    undefined = {"precision": "no cell is called a doublet", "auroc": "only one class is present"}
    return [
        metric(
            n,
            summary=f"{n} of the doublet calls",
            undefined=undefined.get(n.split("@")[0], ""),
            headline=n == "auprc",
        )
        for n in names
    ]


def _task() -> TaskCard:
    tracks = {
        "experimental": Track(
            summary="Doublets known from hashing or genotypes.", truth="experimental", default=True, caveat=""
        ),
        "simulated": Track(summary="Doublets made from two singlets.", truth="simulated", default=True, caveat=""),
        "invivo": Track(
            summary="Clusters with a high mean Scrublet score.",
            truth="computational",
            default=False,
            caveat="The truth is circular: Scrublet made it.",
        ),
    }
    return TaskCard(
        name="doublet",
        version="1",
        summary="Find droplets with two nuclei.",
        purpose="Neutral comparison; the authors own none of the methods.",
        tracks=tracks,
        metrics=_metrics(),
    )


def _card(name: str) -> DataCard:
    text = {"cohort": "Built-in simulated cohort.", "chcl": "Cell-hashing of four cell lines.", "agarwal": DETAIL}
    return DataCard(
        name=name,
        summary=text.get(name, name),
        digest=hashlib.sha256(name.encode()).hexdigest(),
        fields=["donor", "is_doublet"],
        truth="experimental",
        n_cells=4000,
        n_genes=2000,
        n_donors=6,
        source="GEO",
        accession="GSE000",
        licence="CC-BY",
        organism="Homo sapiens",
        tissue="cortex",
        caveat="",
        expected_doublet_rate=0.08,
    )


def _method_cards(plan: Plan) -> list[MethodCard]:
    cards = [
        MethodCard(
            name=name,
            summary=f"What {name} does, in one sentence.",
            role="method",
            tasks=["doublet"],
            implementation="official" if name.endswith("-r") else "port",
            reference="10.1016/j.cels.2019.03.003",
            input_layer="counts",
            stochastic=name in SEEDED,
            per_donor=True,
            supervised=name.startswith("sc"),
            requires=["r: scds"] if name.endswith("-r") else [],
            caveat=DETAIL if name == "bcds" else "",
        )
        for name in plan.methods
    ]
    if plan.controls:
        cards += [
            MethodCard(name=n, summary=f"Control {n}.", implementation="ours", role=r, tasks=["doublet"])
            for n, (r, _) in CONTROLS.items()
        ]
    return cards


def _curves(score: np.ndarray, truth: np.ndarray) -> list[Curve]:
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    k = np.arange(1, len(truth) + 1)
    keep = np.unique(np.linspace(0, len(truth) - 1, 60).astype(int))
    precision, recall = hits / k, hits / truth.sum()
    fpr = (k - hits) / (~truth).sum()
    f1 = 2 * hits / (k + truth.sum())

    def curve(name: str, x: np.ndarray, y: np.ndarray) -> Curve:
        return Curve(name=name, x=x[keep].tolist(), y=y[keep].tolist())

    return [curve("pr", recall, precision), curve("roc", fpr, recall), curve("identification", k / len(truth), f1)]


def _scores(rng: np.random.Generator, score: np.ndarray, truth: np.ndarray, name: str) -> list[ScoreRecord]:
    values: dict[str, float] = {}
    order = np.argsort(-score, kind="stable")
    ranked = truth[order]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    values["auprc"] = float((precision * ranked).sum() / ranked.sum())
    ranks = np.argsort(np.argsort(score)) + 1
    p = truth.sum()
    values["auroc"] = float((ranks[truth].sum() - p * (p + 1) / 2) / (p * (len(truth) - p)))
    for suffix, rate in (("", 0.09), ("@10%", 0.1), ("@20%", 0.2), ("@40%", 0.4), ("@true", truth.mean())):
        k = int(rate * len(truth))
        tp = ranked[:k].sum()
        values |= {
            f"precision{suffix}": tp / k,
            f"recall{suffix}": tp / p,
            f"tnr{suffix}": 1 - (k - tp) / (~truth).sum(),
            f"f1{suffix}": 2 * tp / (k + p),
        }
    out = []
    for score, value in values.items():
        value = float(value)
        if name == "random" and score == "precision":
            out.append(ScoreRecord(metric=score, value=None, n=len(truth), detail="no cell is called a doublet"))
            continue
        half = 0.03 + 0.02 * rng.random()
        out.append(
            ScoreRecord(
                metric=score, value=value, ci_low=max(0.0, value - half), ci_high=min(1.0, value + half), n=len(truth)
            )
        )
        if "@" in score:
            continue
        donors = np.clip(value + rng.normal(0, 0.06, 6), 0, 1)
        units = {f"donor:D{i}": float(v) for i, v in enumerate(donors)} | {"donor_mean": float(donors.mean())}
        units |= {"heterotypic": min(1.0, value * 1.1), "homotypic": value * 0.4}
        out += [ScoreRecord(metric=score, value=v, unit=u, n=len(truth) // 6) for u, v in units.items()]
    return out


def _trial(plan: Plan, track: str, dataset: str, name: str, role: str, strength: float, seed: int) -> TrialRecord:
    spec = trial_spec(
        task="doublet",
        track=track,
        dataset=dataset,
        method=name,
        role=role,
        method_digest="m",
        environment_digest="e",
        params={"expected_rate": 0.08},
        seeds=Seeds(method=seed),
    )
    key = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:16]
    rng = np.random.default_rng(int(key, 16))
    common: dict[str, Any] = {
        "key": key,
        "spec": spec,
        "limits": Limits(threads=2),
        "n_cells": 600,
        "host": "node1",
        "started": "2025-11-22T10:00:00+00:00",
        "bench_version": "0.1.0",
        "versions": {"numpy": "2.0.1", name: "1.2"},
        "imported": {"numpy": "2.0.1", "llvmlite": "0.44.0", name: "1.2"},
        "machine": Machine(cpu="A CPU", cores=4, load=1.5, interpreter="CPython 3.11.2", blas="openblas 0.3 Zen"),
        "problem": "problems/0123",
        "problem_notes": ["12 cells without a donor were left out"] if dataset == "chcl" else [],
    }
    failure = plan.failures.get((name, track, dataset), FAILURES.get((name, track, dataset)))
    if name == "scrublet" and track == "simulated" and dataset == "agarwal" and seed == 3:
        failure = ("crash", "signal 11")
    if plan.fail_all and role == "method":
        failure = ("crash", "no module named x")
    wall = float(10 ** (0.3 + strength / 2 + 0.1 * rng.random()))
    resources = Resources(
        wall_s=wall,
        fit_s=wall * 0.8,
        predict_s=wall * 0.15,
        cpu_s=wall * 1.7,
        rss_peak_mb=400 + 900 * abs(np.sin(len(name))) * strength,
    )
    if failure:
        return TrialRecord(
            **common, status=failure[0], detail=failure[1], log_tail=LOG, resources=Resources(wall_s=1.0)
        )
    truth = rng.random(600) < 0.1
    shift = {"experimental": 0.8, "simulated": 1.0, "invivo": 1.2}.get(track, 1.0)
    score = rng.normal(size=600) + truth * strength * shift
    if role != "method":
        resources = Resources(wall_s=0.1)
    return TrialRecord(
        **common,
        status="ok",
        resources=resources,
        scores=_scores(rng, score, truth, name),
        curves=_curves(score, truth),
    )


def _rows(record: TrialRecord) -> list[dict]:
    spec = record.spec
    common: dict[str, Any] = {
        "run_id": "fake",
        "trial": record.key,
        "role": spec.role,
        "params": json.dumps(spec.params),
        **{k: getattr(spec, k) for k in ("task", "task_version", "track", "dataset", "method", "implementation")},
        "split_seed": spec.seeds.split,
        "sim_seed": spec.seeds.simulation,
        "method_seed": spec.seeds.method,
        "status": record.status,
        "threads": record.limits.threads,
        "device": record.limits.device,
        "host": record.host,
        "versions": json.dumps(record.versions),
        "problem": record.problem,
        **record.resources.model_dump(),
    }
    if not record.scores:
        return [{**common, "detail": record.detail}]
    return [{**common, **score.model_dump()} for score in record.scores]


def _write_tables(root: Path, records: list[TrialRecord]) -> None:
    rows = pd.DataFrame([row for r in records for row in _rows(r)], columns=list(ROW_COLUMNS)).astype(ROW_COLUMNS)
    curves = pd.DataFrame(
        [
            {
                "run_id": "fake",
                "trial": r.key,
                "task": "doublet",
                "track": r.spec.track,
                "dataset": r.spec.dataset,
                "method": r.spec.method,
                "split_seed": 0,
                "sim_seed": 0,
                "method_seed": r.spec.seeds.method,
                "curve": c.name,
                "x": x,
                "y": y,
            }
            for r in records
            for c in r.curves
            for x, y in zip(c.x, c.y, strict=True)
        ],
        columns=list(CURVE_COLUMNS),
    ).astype(CURVE_COLUMNS)
    for name, frame in (("results", rows), ("curves", curves)):
        frame.to_csv(root / f"{name}.csv", index=False)
        frame.to_parquet(root / f"{name}.parquet", index=False)


def write_fake_run(root: Path, plan: Plan) -> Path:
    """Write a run folder as the core does."""
    (root / "requests").mkdir(parents=True)
    records, planned = [], []
    entries = [(n, "method", s) for n, s in plan.methods.items()]
    entries += [(n, r, s) for n, (r, s) in CONTROLS.items()] if plan.controls else []
    for track in plan.tracks:
        for dataset in plan.datasets:
            if (track, dataset) == ("experimental", "agarwal"):
                continue
            for name, role, strength in entries:
                for seed in range(plan.seeds if name in SEEDED else 1):
                    record = _trial(plan, track, dataset, name, role, strength, seed)
                    planned.append(
                        PlannedTrial(key=record.key, track=track, dataset=dataset, method=name, seeds=record.spec.seeds)
                    )
                    interrupted = (name, track, dataset) == ("hybrid", "invivo", "agarwal")
                    if plan.run and not interrupted:
                        records.append(record)
    for record in records:
        folder = root / "trials" / record.key
        folder.mkdir(parents=True)
        (folder / "trial.json").write_text(record.model_dump_json())
    request = Request(
        command=["bench", "run", "--task", "doublet", "--methods", "all", "--seeds", "5"],
        created="2025-11-22T10:00:00+00:00",
        task=_task(),
        methods=_method_cards(plan),
        datasets=[_card(d) for d in plan.datasets],
        planned=planned,
        skipped=[Skipped(track="experimental", dataset="agarwal", reason="no experimental doublet truth")],
        versions={"python": "3.11.2", "numpy": "2.0.1", "scanpy": "1.11.4"},
        host={"node": "node1", "os": "Linux", "cpus": "2", "memory": "24 GiB"},
        git="abc1234",
    )
    (root / "requests" / "0001.json").write_text(request.model_dump_json())
    info = RunInfo(run_id="fake", created="2025-11-22T10:00:00+00:00", bench_version="0.1.0")
    (root / "run.json").write_text(info.model_dump_json())
    _write_tables(root, records)
    return root


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 methods, 4 controls, 3 tracks, 3 datasets, several seeds, every failure status."""
    return write_fake_run(tmp_path_factory.mktemp("full") / "run", Plan(dict(METHODS)))


@pytest.fixture(scope="session")
def full_page(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ``full_run``, without files of figures; it lies outside of the run folder."""
    return build_report(full_run, tmp_path_factory.mktemp("mail") / "attachment.html", formats=())


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of one method, and its report with figures in a folder beside it; no test may change either."""
    folder = tmp_path_factory.mktemp("drawn")
    run = write_fake_run(folder / "run", Plan({"scrublet": 1.8}))
    return run, build_report(run, folder / "elsewhere" / "report.html", formats=("png",))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run from the fields of :class:`Plan`."""

    def make(methods: dict[str, float] | None = None, **fields: Any) -> Path:
        return write_fake_run(tmp_path / "run", Plan(dict(METHODS) if methods is None else methods, **fields))

    return make


CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium that keeps a log of its console and network."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=webdriver.ChromeService(DRIVER), options=options)
    yield driver
    driver.quit()


PHONE = 390
_STICKING_OUT = """
const scrolls = (e) => e && (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
const out = [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility() && !scrolls(e.parentElement)
  && (e.getBoundingClientRect().right > arguments[0] + 1));
const name = (e) => `${e.tagName} in ${e.closest('[id]')?.id}: ${e.textContent.slice(0, 30)}`;
return [document.documentElement.scrollWidth, out.slice(0, 9).map(name)];
"""


@pytest.fixture
def on_a_phone(browser: Any) -> Iterator[Callable[[Path], tuple[int, list[str]]]]:
    """Open a page 390 px wide with all its figures: the width it takes, and elements that stick out of the window."""

    def measure(html: Path) -> tuple[int, list[str]]:
        size = {"width": PHONE, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")
        browser.get(html.as_uri())
        browser.execute_script("document.querySelector('#heatmap-metrics [value=all]').click()")  # the widest heat map
        browser.execute_script("benchReport.drawAll()")
        browser.execute_async_script("setTimeout(arguments[0], 1500)")
        width, out = browser.execute_script(_STICKING_OUT, PHONE)
        return width, out

    yield measure
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


#: Of a violation: its rule, what is wrong, and where.
_VIOLATIONS = """
const done = arguments[0], some = (v) => v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200));
const wrong = (r) => r.violations.map((v) => [v.id, v.help, ...some(v)]);
axe.run(document, { resultTypes: ['violations'] }).then((r) => done([wrong(r), r.passes.length]));
"""


@pytest.fixture
def axe(browser: Any) -> Callable[[Path], list[list[str]]]:
    """Open a page, draw its figures, and give what axe-core finds wrong with it."""
    try:
        wheel = importlib.metadata.distribution("axe-playwright-python")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs axe-playwright-python")
    script = Path(str(wheel.locate_file("axe_playwright_python/axe.min.js"))).read_text(encoding="utf-8")

    def check(html: Path) -> list[list[str]]:
        browser.set_script_timeout(300)
        browser.get("about:blank")
        browser.get(html.as_uri())
        browser.execute_script("window.benchReport?.drawAll()")
        browser.execute_async_script("setTimeout(arguments[0], 1000)")
        browser.execute_script(script)
        wrong, passed = browser.execute_async_script(_VIOLATIONS)
        assert passed > 5
        return wrong

    return check
