"""The parts of the report for imputation, integration and differential expression, on a made-up run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec
from report_pages import embedded

from bench.reports import build_report
from bench.reports.deg import payload as deg_payload
from bench.reports.deg import tables as deg_tables
from bench.reports.imputation import density
from bench.reports.imputation import tables as imputation_tables
from bench.reports.integration import tables as integration_tables
from bench.reports.run import style
from bench.reports.run.load import Run, load
from bench.results.records import (
    PlannedTrial,
    Resources,
    ScoreRecord,
)
from bench.results.store import Store
from bench.task import Seeds

SHIFT = {"raw": 0.0, "magic": 0.35, "dca": 0.2, "gene_mean": 0.6}
ROLES = {"gene_mean": "trap"}
HOSTILE = "<img src=x onerror=alert(1)> $\\frac"
TYPES = ["Astrocyte", "Microglia", HOSTILE]
STUDIES = ["agarwal", "kang"]
CELLS = [f"c{i}" for i in range(120)]


def _rng(*what: Any) -> np.random.Generator:
    return np.random.default_rng([ord(c) for c in "".join(map(str, what))])


def _imputed(method: str, dataset: str) -> tuple[list[ScoreRecord], dict[str, pd.DataFrame]]:
    rng, shift = _rng(method, dataset), SHIFT[method]
    joint, groups, edges = [], [], np.linspace(0, 6, 31)
    for group in range(5):
        true = rng.gamma(4, 0.5, 3000).clip(0.05, 6)
        got = (true * (1 - shift) + rng.normal(0, 0.2 + shift / 2, 3000)).clip(0)
        counts, _, _ = np.histogram2d(true, got, bins=[edges, edges])
        for i, j in np.argwhere(counts > 0):
            joint.append([group, edges[i], edges[i + 1], edges[j], edges[j + 1], counts[i, j]])
        slope = float(np.polyfit(true, got, 1)[0])
        groups.append([group, 3000, ((true - got) ** 2).mean(), np.corrcoef(true, got)[0, 1], slope])
    frame = pd.DataFrame(groups, columns=["group", "n", "mse", "pearson", "slope"])
    low = np.arange(6)
    tables = {
        "joint": pd.DataFrame(joint, columns=["group", "x_low", "x_high", "y_low", "y_high", "n"]),
        "groups": frame,
        "expression_bins": pd.DataFrame(
            {"group": 0, "low": low, "high": low + 1, "n": 100, "mse": shift * low**2 + 0.1,
             "mean_true": low + 0.5, "mean_imputed": (low + 0.5) * (1 - shift)}
        ),
        "zeros": pd.DataFrame({"what": ["true zeros", "other types' markers"], "n": 900, "share": [shift, shift / 2]}),
    }  # fmt: skip
    scores = [
        ScoreRecord(metric=m, value=frame[m].mean(), ci_low=frame[m].min(), ci_high=frame[m].max(), n=15000)
        for m in ("mse", "pearson")
    ]
    scores += [
        ScoreRecord(metric=m, value=frame[m].mean(), unit="group_mean", ci_low=frame[m].min(), n=15000)
        for m in ("mse", "pearson")
    ]
    scores += [
        ScoreRecord(metric=m, value=row[m], unit=f"group:{int(row['group'])}", n=3000)
        for m in ("mse", "pearson")
        for _, row in frame.iterrows()
    ]
    return scores, tables


def _integrated(method: str, dataset: str) -> tuple[list[ScoreRecord], dict[str, pd.DataFrame]]:
    rng, shift = _rng(method, dataset, "map"), SHIFT[method]
    kind = np.arange(len(CELLS)) % 3
    xy = np.array([[0, 0], [6, 1], [2, 5]])[kind] + rng.normal(0, 1 - shift, (len(CELLS), 2))
    grid = np.round(np.arange(0.1, 2.01, 0.1), 1)
    nmi = 0.5 + shift / 2 - (grid - 0.8) ** 2 / 10
    tables = {
        "umap": pd.DataFrame({"cell": CELLS, "x": xy[:, 0], "y": xy[:, 1]}),
        "resolutions": pd.concat(
            pd.DataFrame({"level": level, "resolution": grid, "nmi": nmi - k / 10, "ari": nmi - 0.1,
                          "n_clusters": np.arange(len(grid)) + 2})
            for k, level in enumerate(("cell_type", "subtype"))
        ),
        "zeros": pd.DataFrame({"what": ["markers of other types"], "n": [900], "share": [shift / 2]}),
    }  # fmt: skip
    return [ScoreRecord(metric="nmi", value=float(nmi.max()), n=len(CELLS))], tables


def _differing(method: str, dataset: str) -> tuple[list[ScoreRecord], dict[str, pd.DataFrame]]:
    rng, shift = _rng(method, dataset, "deg"), SHIFT[method]
    overlap, subsets, null, qq, truth, pr, volcano, bulk = [], [], [], [], [], [], [], []
    for k, name in enumerate(TYPES):
        for direction in ("up", "down"):
            for ratio in (0.1, 0.2, 0.35, 0.5, 0.75, 0.9):
                raw = 0.3 + 0.6 * ratio - 0.1 * k
                mean = raw + (shift / 4 if k else -shift / 8)
                p = np.nan if method == "raw" or (k == 2 and direction == "down") else 10 ** (-40 * shift * ratio)
                overlap.append([name, ratio, direction, mean, 0.05, 100, raw, 0.06, p, p**0.1, 40, 300, 280])
            base = rng.uniform(0.3, 0.6, 20)
            subsets += [[name, direction, f"s{i}", b + shift / 3, b, 100 + 50 * k] for i, b in enumerate(base)]
            truth.append([name, direction, 20, 18, 0.8 - shift, 0.7 - shift, 0.2 + shift])
        null.append([name, "labels permuted within cell type", 0.05, 0.04 + shift / 3])
        expected = -np.log10((np.arange(400) + 0.5) / 400)[::-1]
        qq += [[name, x, x * (1 + shift)] for x in expected]
        pr += [[name, 1 - r * (0.4 + shift), r] for r in np.linspace(0, 1, 50)]
        p = rng.uniform(size=900) ** (1 + 8 * (rng.random(900) < 0.1))
        p[0] = 0.0
        fc = rng.normal(0, 0.7, 900)
        volcano += [
            [name, HOSTILE if i == 0 else f"G{i}", fc[i], p[i], min(1.0, p[i] * 900), 0.4, 0.3, i < 9]
            for i in range(900)
        ]
        bulk += [[name, "up", 25, 5, 4], [name, "both", 40, 12, 10]]
    tables = {
        "overlap": pd.DataFrame(overlap, columns=["cell_type", "ratio", "direction", "mean", "sd", "n", "mean_raw",
            "sd_raw", "p_paper", "p_corrected", "n_deg_full", "n_case", "n_control"]),
        "subsets": pd.DataFrame(subsets, columns=["cell_type", "direction", "subset", "overlap", "overlap_raw",
            "n_cells"]),
        "null": pd.DataFrame(null, columns=["cell_type", "kind", "alpha", "fpr"]),
        "qq": pd.DataFrame(qq, columns=["cell_type", "expected", "observed"]),
        "truth": pd.DataFrame(truth, columns=["cell_type", "direction", "n_true", "n_called", "precision",
            "recall", "fdr"]),
        "pr": pd.DataFrame(pr, columns=["cell_type", "precision", "recall"]),
        "volcano": pd.DataFrame(volcano, columns=["cell_type", "gene", "avg_log2FC", "p_val", "p_val_adj",
            "pct_1", "pct_2", "is_true"]),
        "pseudobulk": pd.DataFrame(bulk, columns=["cell_type", "direction", "n_mast", "n_pseudobulk", "n_both"]),
        "left_out": pd.DataFrame([["Pericyte", "2 cells in ctrl: 3 are needed"]], columns=["cell_type", "reason"]),
    }  # fmt: skip
    return [ScoreRecord(metric="overlap", value=0.5 + shift / 4, n=600)], tables


TASKS = {
    "imputation": ("nonzero", _imputed, {"mse": False, "pearson": True}),
    "integration": ("zero", _integrated, {"nmi": True}),
    "deg": ("subsample", _differing, {"overlap": True}),
}


def write_run(root: Path, task: str, tmp: Path) -> Path:
    """A run of one of :data:`TASKS`."""
    track_name, make, metrics = TASKS[task]
    store, planned = Store.create(root), []
    for dataset in STUDIES:
        for method in SHIFT:
            scores, tables = make(method, dataset)
            role = ROLES.get(method, "method")
            spec = trial_spec(task=task, track=track_name, dataset=dataset, method=method, role=role)
            key = f"{len(planned):016x}"
            used = Resources(wall_s=1.0, rss_peak_mb=300)
            store.save(trial_record(key, spec, n_cells=120, scores=scores, resources=used))
            store.save_tables(key, tables)
            planned.append(PlannedTrial(key=key, track=track_name, dataset=dataset, method=method, seeds=Seeds()))
            folder = root / "problems" / spec.problem
            folder.mkdir(parents=True, exist_ok=True)
            kinds = pd.Series(np.arange(len(CELLS)) % 3).map(dict(enumerate(TYPES)))
            solution = pd.DataFrame({"cell": CELLS, "cell_type": kinds, "subtype": kinds + "1", "donor": "D1"})
            solution.to_parquet(folder / "solution.parquet")
    cards = [method_card(m, role=ROLES.get(m, "method"), tasks=[task]) for m in SHIFT]
    headline = next(iter(metrics))
    metric_cards = [
        metric(m, high=1.0 if up else None, higher_is_better=up, headline=m == headline) for m, up in metrics.items()
    ]
    save_request(store, task_card(task, {track_name: track()}, metric_cards), cards, planned)
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run folder for each of :data:`TASKS`."""
    root = tmp_path_factory.mktemp("expression")
    return {task: write_run(root / task, task, root) for task in TASKS}


@pytest.fixture
def run(runs: dict[str, Path], request: pytest.FixtureRequest) -> Run:
    return load(runs[request.param])


@pytest.fixture(scope="module")
def pages(runs: dict[str, Path]) -> dict[str, Path]:
    """The page of each run."""
    return {task: build_report(run, run.parent / f"{task}.html", formats=()) for task, run in runs.items()}


def page_data(page: Path) -> tuple[str, dict[str, Any]]:
    html = page.read_text()
    return html, embedded(html)


def decoded(panel: dict[str, Any]) -> np.ndarray:
    text = re.sub(r"\d+", lambda gap: " " * int(gap.group()), panel["z"])
    level = np.array([density.LEVELS.index(c) + 1 if c != " " else 0 for c in text])
    return np.expm1(level / len(density.LEVELS) * np.log1p(panel["most"])).reshape(density.BINS, density.BINS)


@pytest.mark.parametrize("run", ["imputation"], indirect=True)
def test_joint_densities_keep_the_entries_and_their_place(run: Run) -> None:
    joint = imputation_tables.joint(run, "imputation")
    here = joint[(joint["dataset"] == "kang") & (joint["label"] == "magic")]
    grid = density.regrid(here, end=6.0)
    assert grid.sum() == pytest.approx(here["n"].sum())
    centre = (np.arange(density.BINS) + 0.5) * 6 / density.BINS
    for axis, column in ((0, "x"), (1, "y")):
        mean = np.average((here[f"{column}_low"] + here[f"{column}_high"]) / 2, weights=here["n"])
        assert (grid.sum(axis=axis) * centre).sum() / grid.sum() == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("run", ["imputation"], indirect=True)
def test_the_page_has_the_densities_to_within_15_per_cent(run: Run) -> None:
    pair = imputation_tables.of_task(run, "imputation")["pairs"][0]
    joint = imputation_tables.joint(run, "imputation")
    here = joint[(joint["dataset"] == pair["dataset"]) & (joint["label"] == "dca")]
    grid = density.regrid(here, pair["end"])
    shown = decoded(pair["panels"]["dca"][""])
    big = grid > 1
    assert np.abs(shown[big] / grid[big] - 1).max() < 0.15
    assert ((shown > 0) == (grid > 0)).all()
    assert pair["groups"] == ["0", "1", "2", "3", "4"]
    rows = run.rows[(run.rows["track"] == pair["track"]) & (run.rows["dataset"] == pair["dataset"])]
    mine = rows[(rows["label"] == "dca") & (rows["metric"] == "mse") & (rows["unit"] == "pooled")]
    assert pair["panels"]["dca"][""]["mse"] == pytest.approx(mine["value"].mean(), rel=1e-4)
    errors = imputation_tables.groups(run, "imputation")
    one = errors[(errors["dataset"] == pair["dataset"]) & (errors["label"] == "dca") & (errors["group"] == "2")]
    assert pair["panels"]["dca"]["2"]["mse"] == pytest.approx(one["mse"].item(), rel=1e-4)
    rows = run.rows.assign(value=run.rows["value"].where(run.rows["metric"] != "pearson").astype("Float64"))
    undefined = imputation_tables.of_task(replace(run, rows=rows, prepared={}), "imputation")["pairs"][0]
    assert undefined["panels"]["dca"][""]["pearson"] is None


def test_controls_of_one_kind_do_not_look_alike() -> None:
    order = [
        ("magic", "method"),
        ("truth", "perfect"),
        *((f"trap {k}", "trap") for k in range(4)),
        ("random", "random"),
    ]
    looks = [tuple(look.values()) for look in style.styles(order).values()]
    assert len(set(looks)) == len(looks)
    assert {look[1] for look in looks} <= set(style.LINES)


def test_mass_outside_the_axes_is_told() -> None:
    frame = pd.DataFrame({"x_low": [1.0], "x_high": [2.0], "y_low": [3.0], "y_high": [5.0], "n": [10.0]})
    assert density.regrid(frame, end=4.0).sum() == pytest.approx(5.0)
    point = pd.DataFrame({"x_low": [1.0], "x_high": [1.0], "y_low": [0.0], "y_high": [0.0], "n": [3.0]})
    assert density.regrid(point, end=4.0).sum() == 3.0


@pytest.mark.parametrize("run", ["integration"], indirect=True)
def test_maps_show_the_same_cells_with_their_labels(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integration_tables, "_MOST_POINTS", 50)
    pair = integration_tables.of_task(run, "integration")["pairs"][0]
    assert (pair["cells"], pair["shown"]) == (120, 50)
    assert [name for name, _ in pair["colourings"]] == ["cell_type", "subtype", "donor"]
    points = integration_tables.maps(run, "integration")
    here = points[(points["dataset"] == pair["dataset"]) & (points["label"] == "magic")]
    got = pair["maps"]["magic"]
    assert len(got["x"]) == 50
    centres = {}
    for name in TYPES:
        code = pair["labels"]["cell_type"]["words"].index(name)
        at = [i for i, c in enumerate(pair["labels"]["cell_type"]["codes"]) if c == code]
        centres[name] = np.mean([got["x"][i] for i in at])
    order = here.groupby("cell_type")["x"].mean().sort_values().index
    assert sorted(centres, key=centres.get) == list(order)


@pytest.mark.parametrize("run", ["integration"], indirect=True)
def test_the_best_resolution_is_that_of_the_highest_nmi(run: Run) -> None:
    found = integration_tables.best(integration_tables.resolutions(run, "integration"))
    row = found[(found["label"] == "magic") & (found["level"] == "cell_type")].iloc[0]
    assert row["resolution"] == pytest.approx(0.8)


@pytest.mark.parametrize("run", ["deg"], indirect=True)
def test_p_values_carry_the_sign_of_the_difference_and_are_capped(run: Run) -> None:
    found = deg_tables.overlap(run, "deg")
    one = found[(found["label"] == "gene_mean") & (found["ratio"] == 0.9) & (found["direction"] == "up")]
    one = one[one["dataset"] == "kang"].set_index("cell_type")
    assert one.loc["Microglia", "paper"] == deg_tables.CAP
    assert one.loc["Astrocyte", "paper"] == -deg_tables.CAP
    assert one.loc["Microglia", "corrected"] == pytest.approx(0.1 * 40 * 0.6 * 0.9)
    assert found.loc[found["label"] == "raw", "paper"].isna().all()


@pytest.mark.parametrize("run", ["deg"], indirect=True)
def test_boxes_of_subsets(run: Run) -> None:
    frame = deg_tables.subsets(run, "deg")
    found = deg_tables.boxes(frame)
    assert set(found["label"]) == {"raw", "magic", "dca", "gene_mean"}
    case = (frame["label"] == "dca") & (frame["dataset"] == "kang") & (frame["cell_type"] == "Microglia")
    values = frame[case & (frame["direction"] == "up")]["overlap"]
    box = found[(found["label"] == "dca") & (found["dataset"] == "kang") & (found["cell_type"] == "Microglia")]
    box = box[box["direction"] == "up"].iloc[0]
    assert box["median"] == pytest.approx(values.median())
    assert box["q1"] == pytest.approx(values.quantile(0.25))
    assert (box["n"], box["cells"]) == (20, 150)


@pytest.mark.parametrize("run", ["deg"], indirect=True)
def test_pooled_truth_adds_counts(run: Run) -> None:
    frame = pd.DataFrame(
        {"track": "t", "dataset": "d", "label": "m", "role": "method", "n_true": [10, 0, 30], "n_called": [5, 3, 0],
         "precision": [0.8, 0.0, np.nan], "recall": [0.4, np.nan, 0.0]}
    )  # fmt: skip
    found = deg_tables.truth_pooled(frame).iloc[0]
    assert found["precision"] == pytest.approx(4 / 8)
    assert found["recall"] == pytest.approx(4 / 40)
    assert found["fdr"] == pytest.approx(0.5)


@pytest.mark.parametrize("run", ["deg"], indirect=True)
def test_volcano_keeps_the_strongest_genes_and_counts_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deg_payload, "_MOST_GENES", 60)
    entry = deg_payload.volcanoes(run, "deg")[0]
    whole = deg_tables.volcano(run, "deg")
    here = whole[(whole["dataset"] == entry["dataset"]) & (whole["label"] == "dca")]
    here = here[here["cell_type"] == "Microglia"]
    plot = entry["plots"]["dca"]["Microglia"]
    assert len(plot["gene"]) == 60
    assert plot["tested"] == 900
    assert plot["up"] + plot["down"] == int(here["called"].sum())
    names = {entry["genes"][g] for g in plot["gene"]}
    assert set(here.nsmallest(40, "p_val")["gene"]) <= names
    assert plot["p"][plot["gene"].index(entry["genes"].index(HOSTILE))] == 31000


def test_curves_keep_both_ends_when_thinned() -> None:
    frame = pd.DataFrame(
        {"track": "t", "dataset": "d", "label": "m", "cell_type": "c", "expected": np.arange(99_999.0)}
    )
    got = deg_payload.thinned(frame, ["cell_type"], "expected")["expected"]
    assert len(got) <= deg_payload.CURVE_BUDGET + 1
    assert (got.iloc[0], got.iloc[-1]) == (0.0, 99_998.0)


@pytest.mark.parametrize("task", TASKS)
def test_the_page_is_escaped_and_sections_follow_the_tables(pages: dict[str, Path], task: str) -> None:
    html, data = page_data(pages[task])
    assert "<img src=x" not in html
    sections = set(re.findall(r'<section id="(imputation|integration|deg)"', html))
    assert sections == {task}
    assert data["tasks"][task]["deg"].keys() if task == "deg" else not data["tasks"][task]["deg"]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_figures_and_tables_lie_beside_the_page(runs: dict[str, Path], task: str) -> None:
    folder = runs[task].parent / f"{task}_page" / "figures"
    build_report(runs[task], folder.parent / "report.html", formats=("png",))
    track = TASKS[task][0]
    per_pair = {
        "imputation": ["joint", "group_bars", "zeros"],
        "integration": ["umaps", "zeros"],
        "deg": ["deg_ratios", "deg_subsets", "deg_qq", "deg_pr", "volcano"],
    }
    others = {
        "imputation": ["expression_bins"],
        "integration": ["resolutions"],
        "deg": ["deg_overlap", "deg_null"],
    }
    wanted = {f"{name}_{track}_{dataset}" for name in per_pair[task] for dataset in STUDIES} | {*others[task]}
    assert wanted <= {file.stem for file in folder.glob("*.png")}
    assert wanted <= {file.stem for file in folder.glob("*.csv")}
    tables = {"imputation": ["groups"], "deg": ["truth", "pseudobulk", "left_out"]}
    for name in tables.get(task, []):
        assert set(pd.read_csv(folder / f"{name}.csv")["dataset"]) == set(STUDIES)


def test_a_table_without_its_columns_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    from bench.errors import BenchError

    run = write_run(tmp_path / "run", "imputation", tmp_path)
    Store(run).save_tables(f"{0:016x}", {"groups": pd.DataFrame({"group": [1]})})
    with pytest.raises(BenchError, match="columns missing in the table groups: n, mse"):
        build_report(run, formats=())


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_sections_in_a_browser(pages: dict[str, Path], task: str, browser: Any) -> None:
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(pages[task].as_uri())
    browser.execute_script("benchReport.drawAll()")
    captions = browser.execute_script(
        "return [...document.querySelectorAll('#imputation figcaption, #integration figcaption, #deg figcaption')]"
        ".filter(e => e.checkVisibility()).map(e => e.textContent)"
    )
    wanted = {
        "imputation": ["True and imputed expression", "mse with 95 %", "Error by level"],
        "integration": ["magicNMI", "NMI over resolutions", "ARI over resolutions"],
        "deg": [
            "Overlap over the share",
            "Overlap over subsets",
            "False-positive",
            "P values on null",
            "Precision and",
        ],
    }
    for words in wanted[task]:
        assert any(c.startswith(words) for c in captions), (words, captions)
    if task == "deg":
        tiles = browser.find_elements("css selector", "#deg-heat td button")
        assert len(tiles) == 3 * 2 * 3  # methods that impute x studies x cell types
        browser.execute_script("arguments[0].dispatchEvent(new Event('pointerenter'))", tiles[0])
        assert "without imputation" in browser.find_element("id", "volcano-hover").text
        browser.execute_script("arguments[0].click()", tiles[4])
        assert browser.execute_script("return document.getElementById('volcano-type').value") == "Microglia"
        sums = [
            cell.text
            for cell in browser.find_elements("css selector", "#deg-pseudobulk > .scroll tbody tr:first-child td")
        ]
        assert sums[2:] == ["3 together", "both", "120", "36", "30"]
        left_out = [
            c.text for c in browser.find_elements("css selector", "#deg-left-out > .scroll tbody tr:first-child td")
        ]
        assert left_out[2:] == ["Pericyte", "2 cells in ctrl: 3 are needed", "–", "all"]
    log = [entry for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    assert log == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_wider_than_a_phone(pages: dict[str, Path], task: str, on_a_phone: Any) -> None:
    assert on_a_phone(pages[task]) == (390, [])


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_axe_finds_nothing(pages: dict[str, Path], task: str, axe: Any) -> None:
    assert axe(pages[task]) == []
