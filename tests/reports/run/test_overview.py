"""The summary figure's numbers, against a computation of their own on a made-up run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.problem import SEEN
from bench.reports.figures import summary
from bench.reports.page import figure_files
from bench.reports.run import caveats, overview, tables
from bench.reports.run.load import Run, load

METHODS = {"scrublet": 1.8, "cxds": 1.5, "doubletfinder": 1.1, "solo": 1.9, "weak": 0.9}


@pytest.fixture(scope="module")
def loaded(full_run: Path) -> Run:
    return load(full_run)


@pytest.fixture(scope="module")
def rows(loaded: Run) -> pd.DataFrame:
    return overview.rows(loaded, loaded.tasks["doublet"])


def panel(rows: pd.DataFrame, track: str, dataset: str) -> pd.DataFrame:
    return rows[(rows["track"] == track) & (rows["dataset"] == dataset)].set_index("label")


def test_each_value_is_the_mean_of_its_trials_and_each_cost_their_median(rows: pd.DataFrame, full_run: Path) -> None:
    csv = pd.read_csv(full_run / "results.csv").query("unit == 'pooled' and status == 'ok'")
    keys = ["track", "dataset", "method"]
    for metric, column in (("auprc", "value"), ("auroc", "auroc"), ("recall", "recall")):
        expected = csv[csv["metric"] == metric].groupby(keys)["value"].mean().sort_index()
        found = rows[rows[column].notna()].set_index(["track", "dataset", "label"])[column].astype(float).sort_index()
        np.testing.assert_allclose(found, expected)
        assert list(found.index) == list(expected.index)
    trials = csv.drop_duplicates("trial").groupby(keys)[["cpu_s", "rss_peak_mb"]].median().dropna()
    found = rows.set_index(["track", "dataset", "label"])[["cpu_s", "rss_peak_mb"]].dropna().astype(float)
    found = found.sort_index()
    assert list(found.index) == list(trials.sort_index().index)
    np.testing.assert_allclose(found, trials.sort_index())


def test_methods_come_best_first_then_those_without_a_value_then_controls(rows: pd.DataFrame) -> None:
    for _, part in rows.groupby(["track", "dataset"]):
        methods = part[part["role"] == "method"]
        known = methods["value"].notna().to_numpy()
        assert not known[np.argmin(known) :].any() or known.all()
        assert methods["value"].dropna().is_monotonic_decreasing
        assert part["role"].ne("method").is_monotonic_increasing
        assert set(part["label"]) == set(rows["label"])


def test_what_cannot_be_told_from_the_best_and_what_no_baseline_reaches(rows: pd.DataFrame) -> None:
    part = panel(rows, "simulated", "cohort")
    methods, traps = part[part["role"] == "method"].dropna(subset=["value"]), part[part["role"] == "trap"]
    best = methods.loc[methods["value"].idxmax()]
    assert methods["tied"].tolist() == (methods["ci_high"] >= best["ci_low"]).tolist()
    assert 0 < methods["tied"].sum() < len(methods)
    assert methods["below_trap"].tolist() == (methods["value"] <= traps["value"].max()).tolist()
    # an unfinished pair is shown, and nothing on it is said to lead
    assert panel(rows, "invivo", "agarwal")["tied"].isna().all()


def test_flags_say_what_a_row_lacks(rows: pd.DataFrame) -> None:
    assert panel(rows, "simulated", "agarwal").loc["scrublet", "flags"] == "4 of 5 trials"
    failed = panel(rows, "simulated", "chcl").loc["solo"]
    assert (failed["status"], pd.isna(failed["value"])) == ("crash", True)
    assert failed["flags"].startswith("crashed: log2 of ")
    assert panel(rows, "invivo", "agarwal").loc["hybrid", ["status", "flags"]].tolist() == ["missing", "no record yet"]
    assert panel(rows, "simulated", "cohort").loc["cxds", "flags"] == ""


def test_a_method_that_saw_the_data_before_is_flagged(make_run: Callable[..., Path]) -> None:
    root = make_run(METHODS, datasets=("cohort", "chcl"), tracks=("simulated",), seeds=1)
    for file in root.glob("trials/*/trial.json"):
        record = json.loads(file.read_text())
        if (record["spec"]["method"], record["spec"]["dataset"]) == ("cxds", "chcl"):
            file.write_text(json.dumps({**record, "notes": [str(SEEN)]}))
    run = load(root)
    frame = overview.rows(run, run.tasks["doublet"])
    flagged = frame[frame["flags"].str.startswith("saw this data before")]
    assert flagged[["dataset", "label"]].to_numpy().tolist() == [["chcl", "cxds"]]


def test_the_axis_holds_methods_the_best_baseline_and_the_perfect_control(rows: pd.DataFrame) -> None:
    part = panel(rows, "simulated", "cohort")
    low, high = overview.span(part)
    methods = part[part["role"] == "method"]
    assert low < min(methods["ci_low"].min(), part.loc[["library_size", "n_genes"], "value"].max())
    assert high > max(methods["ci_high"].max(), part.loc["truth", "value"])
    assert low > part.loc["random", "value"]
    assert overview.span(part.iloc[:0]) == (0.0, 1.0)
    assert overview.span(part.loc[["cxds"]].assign(ci_low=None, ci_high=None, value=0.0)) == (-0.1, 0.1)


def test_without_intervals_nothing_is_clearly_behind(make_run: Callable[..., Path]) -> None:
    root = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1)
    frame = pd.read_parquet(root / "results.parquet")
    frame[["ci_low", "ci_high"]] = pd.NA
    frame.astype({"ci_low": "Float64", "ci_high": "Float64"}).to_parquet(root / "results.parquet")
    run = load(root)
    methods = overview.rows(run, run.tasks["doublet"]).query("role == 'method'")
    assert methods["tied"].tolist() == [True, *[pd.NA] * 4]


def test_pairs_are_flagged_by_what_weakens_all_their_numbers(loaded: Run, make_run: Callable[..., Path]) -> None:
    card = loaded.tasks["doublet"]
    assert caveats.flags(loaded, card, "simulated", "cohort") == [("donors that the run folder does not tell", "")]
    [_, (words, why)] = caveats.flags(loaded, card, "invivo", "agarwal")
    assert (words, why[:12]) == ("not compared", "unfinished: ")
    run = load(make_run(METHODS, datasets=("cohort",), tracks=("invivo",), seeds=1))
    circular = run.tasks["doublet"].model_copy(deep=True)
    object.__setattr__(circular.tracks["invivo"], "circular", True)
    assert caveats.flags(run, circular, "invivo", "cohort")[1:] == [
        ("circular truth", "The truth is circular: Scrublet made it.")
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"methods": {"scrublet": 1.8}, "controls": False},
        {"methods": {f"method_{i:03d}": i / 60 for i in range(200)}},
        {"methods": {"x" * 300: 1.8, "y" * 300: 1.2}},
        {"methods": {"神経": 1.8, "a\tb": 1.2}},
        {"fail_all": True},
        {"fail_all": True, "controls": False},
        {"run": False},
    ],
    ids=[
        "one method",
        "200 methods",
        "long names",
        "no glyph",
        "all failed",
        "all failed, no controls",
        "nothing finished",
    ],
)
@pytest.mark.filterwarnings("error:Glyph")
def test_unusual_runs_have_a_figure_or_none(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict
) -> None:
    monkeypatch.setattr(figure_files, "FIGURES", {"summary": summary})
    run = load(make_run(**{"methods": METHODS, "datasets": ("cohort",), "tracks": ("simulated",), "seeds": 1} | fields))
    folder = tmp_path / "figures"
    figure_files.write_figures(run, [], folder, ("svg",))
    drawn = folder / "summary_simulated_cohort.svg"
    frame = overview.rows(run, run.tasks["doublet"])
    assert drawn.is_file() == bool(len(frame) and frame["value"].notna().any())
    if drawn.is_file():
        text = drawn.read_text(encoding="utf-8")
        assert ("160 more methods" in text) == (len(frame) > 200)
        assert len(pd.read_csv(folder / "summary_simulated_cohort.csv")) == len(frame)
        assert "x" * 50 not in text
    assert (folder / "summary_table.csv").is_file() == bool(len(frame))


def test_a_dataset_whose_card_is_gone_is_shown(make_run: Callable[..., Path]) -> None:
    root = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1)
    file = root / "requests" / "0001.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"datasets": []}))
    run = load(root)
    assert overview.rows(run, run.tasks["doublet"])["value"].notna().any()
    assert caveats.flags(run, run.tasks["doublet"], "simulated", "cohort")
    assert tables.pairs(run, "doublet") == [("simulated", "cohort")]
