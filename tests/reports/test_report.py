from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from report_pages import embedded

from bench.errors import BenchError
from bench.reports import build_report
from bench.reports.page import payload
from bench.reports.page.html import MOST_LOST, SCRIPTS, VENDORED

METHODS = {"scrublet": 1.8, "cxds": 1.5, "doubletfinder": 1.1, "solo": 1.9}
CONTROLS = ("truth", "library_size", "n_genes", "random")


class Loads(HTMLParser):
    """Collects everything a browser would fetch, and the text outside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open = tag
        for name, value in attrs:
            if name in {"src", "srcset", "data", "poster", "background"} or (name == "href" and tag != "a"):
                self.loaded.append((tag, value or ""))

    def handle_data(self, data: str) -> None:
        if self._open not in {"script", "style"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def page(full_page: Path) -> str:
    return full_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(page: str) -> Loads:
    parser = Loads()
    parser.feed(page)
    return parser


def column(frame: dict, name: str) -> list:
    values = frame[name]
    return values if isinstance(values, list) else [None if i < 0 else values["words"][i] for i in values["codes"]]


def test_embedded_numbers_are_those_of_the_csv(page: str, full_run: Path) -> None:
    data = embedded(page)
    csv = pd.read_csv(full_run / "results.csv", float_precision="round_trip")
    csv = csv[csv["metric"].notna()]
    ids = column(data["trials"], "trial")
    shown = pd.DataFrame(
        {name: column(data["rows"], name) for name in ("unit", "metric", "value", "ci_low", "ci_high", "n")}
    )
    shown["trial"] = [ids[i] for i in data["rows"]["trial"]]
    keys = ["trial", "unit", "metric"]
    both = shown.merge(csv, on=keys, suffixes=("", "_csv"), how="outer", validate="one_to_one")
    assert len(both) == len(csv) == len(shown)
    for name in ("value", "ci_low", "ci_high", "n"):
        pd.testing.assert_series_equal(
            both[name].astype(float), both[f"{name}_csv"].astype(float), check_names=False, check_exact=True
        )
    for name in ("track", "dataset", "method", "status", "wall_s", "params"):
        by_trial = dict(zip(ids, column(data["trials"], name), strict=True))
        expected = csv.drop_duplicates("trial").set_index("trial")[name]
        assert {key: by_trial[key] for key in expected.index} == expected.to_dict()


def test_what_cannot_be_written_leaves_the_earlier_report_and_nothing_beside_it(
    drawn: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, page = drawn
    before = page.read_text(encoding="utf-8")
    files = sorted(run.parent.rglob("*"))

    def full(self: object, file: Path, **_: object) -> None:
        Path(file).write_text("half a fig")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("matplotlib.figure.Figure.savefig", full)
        with pytest.raises(OSError, match="No space left"):
            build_report(run, page, formats=("png",))
    monkeypatch.setattr("bench.reports.page.html.render", lambda run, embeddings: "half a page \udcff")
    with pytest.raises(UnicodeEncodeError):
        build_report(run, page, formats=())
    assert sorted(run.parent.rglob("*")) == files
    assert page.read_text(encoding="utf-8") == before


def test_figures_lie_beside_the_report(drawn: tuple[Path, Path]) -> None:
    run, page = drawn
    assert not (run / "figures").exists()
    assert list((page.parent / "figures").glob("*.png"))


def test_nothing_is_loaded_from_outside(parsed: Loads) -> None:
    assert all(value.startswith("data:") for _, value in parsed.loaded), parsed.loaded
    assert "iframe" not in parsed.tags


def test_style_sheet_loads_nothing(page: str) -> None:
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_strings_from_a_run_are_never_markup(page: str, parsed: Loads) -> None:
    # the made-up run has <script>alert('pwned')</script> in details, logs, cards and summaries
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert parsed.tags.count("script") == len(VENDORED) + len(SCRIPTS) + 1  # the data


def test_a_mail_attachment_stays_small(page: str) -> None:
    assert len(page.encode()) < 2_500_000


def test_same_run_gives_the_same_bytes(page: str, full_run: Path, tmp_path: Path) -> None:
    assert build_report(full_run, tmp_path / "again.html", formats=()).read_text(encoding="utf-8") == page


def test_a_reader_finds_parameters_seeds_versions_device_and_folders_of_a_trial_in_the_page(
    page: str, full_run: Path
) -> None:
    """What the table of trials is made of (the browser's test looks at the table), and the text below it."""
    rows, shown = pd.read_parquet(full_run / "results.parquet").drop_duplicates("trial"), embedded(page)["trials"]
    assert set(column(shown, "trial")) == set(rows["trial"])
    rows = rows.set_index("trial").loc[column(shown, "trial")]
    for name in ("params", "split_seed", "sim_seed", "method_seed", "versions", "problem", "device", "status"):
        assert column(shown, name) == [None if pd.isna(v) else v for v in rows[name]], name
    text = page[page.index('<section id="provenance"') : page.index('id="report-data"')]
    for words in ("openblas 0.3 Zen", "CPython 3.11.2", "A CPU"):
        assert words in text
    assert "<dt>llvmlite</dt><dd>0.44.0</dd>" in text


def test_summary_counts_every_planned_trial(page: str, full_run: Path) -> None:
    planned = len(json.loads((full_run / "requests" / "0001.json").read_text())["planned"])
    status = pd.read_csv(full_run / "results.csv").drop_duplicates("trial")["status"].value_counts()
    missing = planned - status.sum()
    assert missing == 1
    lost = status.drop(["ok", "unavailable", "not_applicable"]).sum() + missing
    text = re.sub(r"\s+", " ", page)
    assert f"<b>{lost} of {planned} planned trials failed or are missing</b><span>: " in text
    assert "11 methods and 4 controls were run on 3 datasets" in text
    assert "1 more (scds-r) could not or did not run." in text
    assert f"{status['unavailable']} not installed" in text
    assert f"{status['timeout']} ran out of time" in text
    assert f"{missing} no record yet" in text
    assert f"; {status['ok']} finished. <a" in text


def test_failures_stand_first_by_method_and_reason(page: str) -> None:
    first = page[page.index('<div class="lost">') : page.index('class="verdict"')]
    assert page.index('<div class="lost">') > page.index("<h1>")
    text = re.sub(r"<[^>]+>|\s+", " ", first)
    assert "solo crashed: 5 of 40 trials, simulated on chcl: log2 of &lt;script&gt;" in re.sub(" +", " ", text)
    assert first.count("<li>") == MOST_LOST + 1
    assert "and 3 more lines of this kind below" in text


def test_where_all_is_well_coverage_is_one_line(make_run: Callable[..., Path]) -> None:
    run = make_run({"cxds": 1.5, "solo": 1.9}, datasets=("cohort",), tracks=("simulated",), seeds=1)
    page = build_report(run, formats=()).read_text(encoding="utf-8")
    assert page.count("All 6 planned trials finished.") == 2  # in the summary and under its heading
    assert '<table class="coverage">' not in page
    assert 'class="lost"' not in page


def test_the_grid_of_trials_shows_who_lost_some(page: str) -> None:
    grid = page[page.index('<table class="coverage">') :]
    grid = grid[: grid.index("</table>")]
    shown = set(re.findall(r'<tr data-method="([^"]+)"', grid))
    whole = {"schyena", "pyscdblfinder", "doubletdetection", "cxds", *CONTROLS}
    assert shown == {"solo", "scrublet", "scmamba", "bcds", "hybrid", "scds-r", "doubletfinder", "doubletfinder-r"}
    assert f"All trials of {len(whole)} other methods and controls finished." in page


def test_every_failure_has_its_log(page: str, full_run: Path) -> None:
    results = pd.read_csv(full_run / "results.csv")
    for key in results.loc[results["status"] != "ok", "trial"]:
        assert f"trials/{key}/log.txt" in page
    assert page.count("Traceback (most recent call last)") == (results["status"] != "ok").sum()


def test_paper_numbers_are_marked_as_reported_and_doubtful_ones_noted(page: str) -> None:
    table = pd.DataFrame(embedded(page)["tasks"]["doublet"]["published"][0]["rows"])
    noted = table[table["note"] != ""]
    assert noted[["track", "dataset", "method", "metric", "value"]].to_numpy().tolist() == [
        ["invivo", "Lau", "solo", "auprc", 0.9372],
        ["simulated-paper", "Zhu", "solo", "auprc", 0.7251],
    ]
    missing = table[table["value"].isna()]
    assert set(zip(missing["method"], missing["dataset"], strict=True)) == {("doubletfinder", "Jung")}
    assert "Reported, not run" in page


def test_few_datasets_withhold_the_stars(page: str) -> None:
    ranks = embedded(page)["tasks"]["doublet"]["ranks"]
    assert "0.25" in ranks["notes"]["simulated"]
    assert "withheld" in ranks["notes"]["simulated"]
    assert not any(test["testable"] for test in ranks["tests"])
    assert ranks["unranked"] == ["scds-r"]


@pytest.mark.parametrize(
    "fields",
    [
        {"run": False},
        {"fail_all": True},
        {"fail_all": True, "controls": False},
        {"methods": {"scrublet": 1.8}, "controls": False, "seeds": 1},
        {"datasets": ("cohort",), "tracks": ("simulated",), "seeds": 2},
        {"methods": {f"method_{i:02d}": 1 + i / 20 for i in range(45)}, "seeds": 1, "tracks": ("simulated",)},
    ],
    ids=["nothing finished", "all failed", "no controls", "one method", "one dataset", "many methods"],
)
def test_unusual_runs_have_a_report(make_run: Callable[..., Path], fields: dict) -> None:
    run = make_run(**{"methods": METHODS, "datasets": ("cohort", "chcl"), **fields})
    text = build_report(run, formats=()).read_text(encoding="utf-8")
    embedded(text)
    assert "planned trial" in text


def test_a_run_that_nothing_can_be_tried_on_has_a_report(make_run: Callable[..., Path]) -> None:
    impossible = {(name, "simulated", "x"): ("not_applicable", "too shallow") for name in (*METHODS, *CONTROLS)}
    run = make_run(METHODS, datasets=("x",), tracks=("simulated",), seeds=1, failures=impossible)
    assert "too shallow" in build_report(run).read_text(encoding="utf-8")


def test_empty_run_folder_has_a_report(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    run = make_run(run=False)
    (run / "requests" / "0001.json").unlink()
    text = build_report(run).read_text(encoding="utf-8")
    assert "no request yet, so there is nothing to show" in text


def test_a_run_folder_without_its_requests_says_what_is_missing(make_run: Callable[..., Path]) -> None:
    run = make_run({"solo": 1.0}, datasets=("chcl",), tracks=("simulated",), seeds=1)
    (run / "requests" / "0001.json").unlink()
    text = build_report(run, formats=()).read_text(encoding="utf-8")
    n = len(list((run / "trials").iterdir()))
    assert f"{n} trials of doublet cannot be shown: the request" in text
    assert "no request yet" not in text


def test_not_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"run\.json"):
        build_report(tmp_path)


@pytest.mark.slow
def test_figures_in_each_format_beside_their_numbers(make_run: Callable[..., Path]) -> None:
    run = make_run({"cxds": 1.5, "solo": 1.9}, datasets=("cohort",), tracks=("simulated",), seeds=1)
    build_report(run, formats=("png", "pdf", "svg"))
    names = {"summary_simulated_cohort", "coverage", "heatmap", "curves", "resources", "donors", "ranks"}
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "csv": b""}
    written = {path.name: path.read_bytes() for path in (run / "figures").iterdir()}
    tables = {f"summary_table.{kind}" for kind in ("csv", "parquet")}
    assert set(written) == {f"{name}.{kind}" for name in names for kind in starts} | tables
    assert all(content.startswith(starts.get(name.split(".")[1], b"PAR1")) for name, content in written.items())
    heat = pd.read_csv(run / "figures" / "heatmap.csv").set_index(["label", "metric"])["value"]
    rows = pd.read_csv(run / "results.csv").query("unit == 'pooled'").set_index(["method", "metric"])["value"]
    assert heat["cxds", "auprc"] == pytest.approx(rows["cxds", "auprc"])

    build_report(run, formats=("svg",))
    assert all((run / "figures" / f"{name}.svg").read_bytes() == written[f"{name}.svg"] for name in names)


def test_too_many_rows_leave_out_donors_of_minor_metrics_first_and_say_so(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1)
    rows = pd.read_csv(run / "results.csv")
    donors = rows["unit"].str.startswith("donor:", na=False)
    kept = (~donors | (rows["metric"] == "auprc")) & rows["metric"].notna()
    monkeypatch.setattr(payload, "ROWS_BUDGET", int(kept.sum()) * payload._ROW_BYTES)
    data = embedded(build_report(run, formats=()).read_text(encoding="utf-8"))
    assert len(data["rows"]["trial"]) == kept.sum()
    assert f"{(~kept).sum():,} rows, all of them in results.csv" in data["rowsLeftOut"]


def test_long_logs_are_cut_from_the_front(make_run: Callable[..., Path]) -> None:
    run = make_run({"cxds": 1.5}, datasets=("cohort",), tracks=("simulated",), seeds=1, fail_all=True, controls=False)
    (file,) = run.glob("trials/*/trial.json")
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "log_tail": "first line" + "x" * 20_000 + "last line"}))
    text = build_report(run, formats=()).read_text(encoding="utf-8")
    assert "last line</pre>" in text
    assert "first line" not in text


def test_neutral_metrics_are_shown_but_not_ranked(make_run: Callable[..., Path]) -> None:
    run = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1)
    file = run / "requests" / "0001.json"
    request = json.loads(file.read_text())
    request["task"]["metrics"] = [m | {"neutral": m["name"] == "recall"} for m in request["task"]["metrics"]]
    file.write_text(json.dumps(request))
    task = embedded(build_report(run, formats=()).read_text(encoding="utf-8"))["tasks"]["doublet"]
    assert "recall" in {m["name"] for m in task["metrics"]}
    assert "recall" not in {rank["metric"] for rank in task["ranks"]["policies"]}
    assert "f1" in {rank["metric"] for rank in task["ranks"]["policies"]}


def test_a_method_that_fails_on_a_tracks_only_dataset_is_ranked_last_there(make_run: Callable[..., Path]) -> None:
    run = make_run(
        METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1,
        failures={("cxds", "simulated", "cohort"): ("timeout", "killed after 60 s")},
    )  # fmt: skip
    ranks = embedded(build_report(run, formats=()).read_text(encoding="utf-8"))["tasks"]["doublet"]["ranks"]
    found = {r["policy"]: r for r in ranks["policies"] if r["method"] == "cxds" and r["metric"] == "auprc"}
    assert {name: r["mean_rank"] for name, r in found.items()} == {"exclude": None, "worst": 4, "zero": 4}
    assert found["worst"]["n_failed"] == 1
    assert ranks["unranked"] == []


def test_a_pair_nothing_can_be_tried_on_is_told_with_its_reason_and_counts_for_no_rank(
    make_run: Callable[..., Path],
) -> None:
    reason = "no cluster's mean Scrublet score exceeds 0.1"
    impossible = {(name, "invivo", "chcl"): ("not_applicable", reason) for name in (*METHODS, *CONTROLS)}
    run = make_run(METHODS, datasets=("cohort", "chcl"), tracks=("simulated", "invivo"), seeds=1, failures=impossible)
    page = build_report(run, formats=()).read_text(encoding="utf-8")
    escaped = reason.replace("'", "&#39;")
    assert f"No method has a result in track invivo on chcl: {escaped}." in page
    assert f"no result: {escaped}" in page
    assert page.count("<b>all methods and controls</b>") == 1
    ranks = embedded(page)["tasks"]["doublet"]["ranks"]
    number = {r["track"]: (r["n_datasets"], r["n_failed"]) for r in ranks["policies"] if r["policy"] == "worst"}
    assert number["invivo"] == (1, 0)
    assert number["simulated"][0] == 2
    assert "With 1 dataset " in ranks["notes"]["invivo"]


def test_what_qualifies_the_best_value_stands_beside_it(make_run: Callable[..., Path]) -> None:
    run = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1)
    frame = pd.read_parquet(run / "results.parquet")
    told = "cell-level split; interval rests on 3 donors"
    frame.loc[(frame["unit"] == "pooled") & (frame["metric"] == "auprc"), "detail"] = told
    frame.to_parquet(run / "results.parquet")
    page = build_report(run, formats=()).read_text(encoding="utf-8")
    assert page.count('<small class="why">cell-level split</small>') == 1  # donors have a column of their own


def test_lower_is_better_turns_the_order_round(make_run: Callable[..., Path]) -> None:
    run = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=1)
    best = embedded(build_report(run, formats=()).read_text(encoding="utf-8"))["tasks"]["doublet"]["labels"][0]
    file = run / "requests" / "0001.json"
    request = json.loads(file.read_text())
    request["task"]["metrics"] = [m | {"higher_is_better": False} for m in request["task"]["metrics"]]
    file.write_text(json.dumps(request))
    turned = embedded(build_report(run, formats=()).read_text(encoding="utf-8"))["tasks"]["doublet"]["labels"]
    assert [entry for entry in turned if entry["role"] == "method"][-1] == best


def test_parameter_sets_of_one_method_are_told_apart(make_run: Callable[..., Path]) -> None:
    run = make_run(METHODS, datasets=("cohort",), tracks=("simulated",), seeds=2)
    for name in ("results",):
        frame = pd.read_parquet(run / f"{name}.parquet")
        second = (frame["method"] == "solo") & (frame["method_seed"] == 1)
        frame["params"] = frame["params"].mask(second, '{"expected_rate": 0.2}')
        frame.to_parquet(run / f"{name}.parquet")
    labels = embedded(build_report(run, formats=()).read_text(encoding="utf-8"))["trials"]["label"]["words"]
    assert {"solo (expected_rate=0.08)", "solo (expected_rate=0.2)"} <= set(labels)
    assert "cxds" in labels
