"""The part of the report for tasks that are scored by class, on a tiny made-up run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec
from report_pages import embedded
from scipy import sparse

from bench.errors import BenchError
from bench.problem import Cells, Inputs, Problem
from bench.reports import build_report
from bench.reports.classes import label_levels, same_cells, supplementary
from bench.reports.classes import payload as class_payload
from bench.reports.classes import tables as class_tables
from bench.reports.classes.figures import confusion
from bench.reports.page import payload
from bench.reports.run import tables
from bench.reports.run.load import load
from bench.results.records import (
    PlannedTrial,
    ScoreRecord,
)
from bench.results.store import Store
from bench.task import Seeds

TRUTH = ["a1", "a1", "a2", "<b>", "<b>", "<b>"]
ANSWERS = {"good": TRUTH, "poor": ["a1", "a2", "a1", "unassigned", "<b>", "<b>"]}
TRAIN = {"a1": 9, "a2": 1, "<b>": 5, "gone": 2}  # nobody tested is `gone`
PARENT = {"a1": "a", "a2": "a", "<b>": "b / c; d", "gone": "a"}


def _f1(name: str, answers: list[str]) -> float | None:
    hits = sum(t == a == name for t, a in zip(TRUTH, answers, strict=True))
    return 2 * hits / (TRUTH.count(name) + answers.count(name)) if name in TRUTH else None


def _scores(answers: list[str]) -> list[ScoreRecord]:
    scores = [ScoreRecord(metric="f1_macro", value=sum(_f1(n, answers) or 0 for n in set(TRUTH)) / 3, n=6)]
    for name, cells in TRAIN.items():
        unit, n = f"class:{name}", TRUTH.count(name)
        scores += [ScoreRecord(metric=m, value=_f1(name, answers), unit=unit, n=n) for m in ("f1", "recall")]
        detail = f"1 training donors; cell_type {PARENT[name]}"
        scores.append(ScoreRecord(metric="train_cells", value=cells, unit=unit, n=n, detail=detail))
    return scores


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two methods on one level of one dataset."""
    store = Store.create(tmp_path / "run")
    metrics = [metric("f1_macro", headline=True), metric("f1"), metric("recall")]
    metrics.append(metric("train_cells", high=None, neutral=True))
    planned = []
    for method, answers in ANSWERS.items():
        spec = trial_spec(task="annotation", track="subtype", dataset="tiny", method=method)
        prediction = tmp_path / method / "prediction.parquet"  # the store links to it
        prediction.parent.mkdir()
        table = pd.DataFrame({"cell": [f"c{i}" for i in range(6)], "label": answers, "probability": 1.0})
        table[::-1].to_parquet(prediction)
        key = f"{len(planned):016x}"
        store.save(trial_record(key, spec, n_cells=6, scores=_scores(answers)), [prediction])
        solution = pd.DataFrame({"label": TRUTH}, index=[f"c{i}" for i in range(6)])
        store.save_problem(spec.problem, _problem(solution))
        planned.append(PlannedTrial(key=key, track="subtype", dataset="tiny", method=method, seeds=Seeds()))
    cards = [method_card(m, tasks=["annotation"]) for m in ANSWERS]
    save_request(store, task_card("annotation", {"subtype": track()}, metrics), cards, planned)
    return store.root


def _problem(solution: pd.DataFrame) -> Problem:
    cells = Cells(sparse.csr_matrix((len(solution), 1)), pd.DataFrame(index=solution.index), pd.DataFrame(index=["g"]))
    return Problem(Inputs(cells), solution)


def test_classes_carry_their_scores_cells_and_relatives(run: Path) -> None:
    frame = class_tables.table(load(run), "annotation").set_index(["label", "class"])
    assert frame.loc[("poor", "a1"), ["f1", "n", "train_cells", "train_donors"]].tolist() == [0.5, 2, 9, 1]
    assert frame.loc[("poor", "a2"), "f1"] == 0
    assert frame["lineage"].xs("good").to_dict() == PARENT
    assert class_tables.order(frame.reset_index()) == ["a1", "a2", "gone", "<b>"]


def test_confusions_are_counted_from_the_kept_files_whatever_their_order(run: Path) -> None:
    pair = class_payload.of_task(load(run), "annotation")["pairs"][0]
    assert (pair["names"], pair["extra"]) == (["a1", "a2", "gone", "<b>"], ["unassigned"])
    for method, answers in ANSWERS.items():
        found = pair["confusion"][method]
        columns = [*pair["names"], *pair["extra"]]
        cells = {(pair["names"][at // 5], columns[at % 5]): n for at, n in zip(found["at"], found["n"], strict=True)}
        assert cells == pd.Series(list(zip(TRUTH, answers, strict=True))).value_counts().to_dict()
        assert found["of"] == [2, 1, 0, 3]
        assert pair["scores"][method]["f1"] == pytest.approx([_f1(n, answers) for n in pair["names"]], abs=1e-4)


def test_too_many_entries_lose_the_smallest_shares_and_say_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_payload, "ENTRIES_BUDGET", 2)
    monkeypatch.setattr(class_payload, "_SHARES", (0.0, 0.4))
    found = class_payload.of_task(load(run), "annotation")
    assert "below 40 %" in found["leftOut"]
    poor = found["pairs"][0]["confusion"]["poor"]
    assert poor["n"] == [2, 1, 1, 1]  # one of three <b> is unassigned: left out, and still counted in the row's cells
    assert poor["of"] == [2, 1, 0, 3]


def test_metrics_of_classes_are_no_columns_of_pooled_tables(run: Path) -> None:
    loaded = load(run)
    assert tables.part_metrics(loaded, "annotation") == {"f1", "recall", "train_cells"}
    task = payload.payload(loaded, [])["tasks"]["annotation"]
    assert [m["name"] for m in task["metrics"]] == task["main"] == ["f1_macro"]


def test_the_page_has_the_section_and_the_figures_and_no_markup_from_a_class(run: Path) -> None:
    page = build_report(run, formats=("svg",)).read_text(encoding="utf-8")
    assert 'id="classes"' in page
    start = page.index('id="report-data"')
    assert "<b>" not in page[start : page.index("</script>", start)]
    assert embedded(page)["tasks"]["annotation"]["published"][0]["remark"]
    shares = pd.read_csv(run / "figures" / "confusion.csv").set_index(["label", "truth", "answer"])["share"]
    assert shares["poor", "<b>", "unassigned"] == pytest.approx(1 / 3)
    assert len(pd.read_csv(run / "figures" / "classes.csv")) == 6
    cells = pd.read_csv(run / "figures" / "hierarchy.csv").set_index("class")["train_cells"]
    assert cells.to_dict() == TRAIN
    lost = pd.read_csv(run / "figures" / "lost.csv").set_index("label")
    assert lost.loc["poor", ["classes", "lost", "lost_entirely", "cells", "cells_lost"]].tolist() == [3, 1, 1, 6, 1]
    assert lost.loc["poor", "lost_classes"] == "a2"
    theirs = pd.read_parquet(run / "figures" / "supplementary_table_4.parquet")["source"].value_counts()
    assert theirs["this run"] == 2
    assert {"classes.svg", "confusion.svg", "hierarchy.svg", "lost.svg"} <= {
        file.name for file in (run / "figures").iterdir()
    }


def test_without_kept_files_the_scores_remain(run: Path) -> None:
    for file in run.glob("trials/*/prediction.parquet"):
        file.unlink()
    pair = class_payload.of_task(load(run), "annotation")["pairs"][0]
    assert pair["confusion"] == {}
    assert pair["scores"]["good"]["f1"] == [1, 1, None, 1]
    assert 'id="classes"' in build_report(run, formats=("svg",)).read_text(encoding="utf-8")


def test_a_figure_names_ancestors_where_classes_have_no_room(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion, "MOST_NAMES", 2)
    loaded = load(run)
    panel = confusion.draw(loaded, "annotation", confusion.prepare(loaded, "annotation")).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b / c; d"]
    assert panel.get_yticks().tolist() == [0.5, 2.0]


def test_a_prediction_of_other_cells_is_refused(run: Path) -> None:
    file = next(run.glob("trials/*/prediction.parquet"))
    pd.read_parquet(file).assign(cell="x").to_parquet(file)
    with pytest.raises(BenchError, match="same cells"):
        build_report(run)


def test_a_run_without_classes_has_no_such_section(full_run: Path) -> None:
    page = build_report(full_run, full_run.parent / "none.html", formats=()).read_text(encoding="utf-8")
    assert 'id="classes"' not in page
    assert embedded(page)["tasks"]["doublet"]["classes"]["pairs"] == []


def test_the_map_tells_truth_and_answer_of_each_cell_where_the_run_has_one(run: Path) -> None:
    assert class_payload.of_task(load(run), "annotation")["pairs"][0]["map"] is None
    (folder,) = (run / "problems").iterdir()
    cells = [f"c{i}" for i in (5, 0, 3)]
    pd.DataFrame({"cell": cells, "x": [0.0, 1.0, 4.0], "y": [2.0, 2.0, 2.0]}).to_parquet(folder / "table_map.parquet")
    pair = class_payload.of_task(load(run), "annotation")["pairs"][0]
    columns = [*pair["names"], *pair["extra"]]
    found = pair["map"]
    assert (found["cells"], found["x"], found["y"]) == (6, [0, 250, 999], [0, 0, 0])
    assert [columns[i] for i in found["truth"]] == [TRUTH[i] for i in (5, 0, 3)]
    for method, answers in ANSWERS.items():
        assert [columns[i] for i in found["answers"][method]] == [answers[i] for i in (5, 0, 3)]
    build_report(run, formats=("svg",))
    whole = pd.read_csv(run / "figures" / "cell_map_subtype_tiny.csv").set_index("cell")
    assert whole.loc[cells, "answer_poor"].tolist() == [ANSWERS["poor"][i] for i in (5, 0, 3)]
    assert (run / "figures" / "cell_map_subtype_tiny.svg").is_file()


def test_methods_are_compared_on_the_same_cells_and_few_donors_give_no_star(run: Path) -> None:
    assert same_cells.comparisons(load(run), "annotation").empty  # this solution tells no donors
    (file,) = run.glob("problems/*/solution.parquet")
    pd.read_parquet(file).assign(donor=list("pqpqpq")).to_parquet(file)
    (row,) = same_cells.comparisons(load(run), "annotation").to_dict("records")
    assert (row["method_a"], row["method_b"], row["only_a"], row["only_b"]) == ("good", "poor", 3, 0)
    f1 = {m: sum(_f1(n, a) or 0 for n in ("a1", "a2", "<b>")) / 3 for m, a in ANSWERS.items()}
    assert row["difference"] == pytest.approx(f1["good"] - f1["poor"])
    assert (row["cells"], row["donors"], row["testable"]) == (6, 2, False)
    build_report(run, formats=("svg",))
    assert {f"same_cells.{kind}" for kind in ("svg", "csv", "parquet")} <= {f.name for f in (run / "figures").iterdir()}


def test_supplementary_table_4_has_ties_failures_notes_and_the_papers_rows(run: Path) -> None:
    (file,) = run.glob("problems/*/solution.parquet")
    pd.read_parquet(file).assign(donor=list("pqpqpq")).to_parquet(file)
    loaded = load(run)
    pooled = (loaded.rows["unit"] == "pooled") & (loaded.rows["metric"] == "f1_macro")
    loaded.rows.loc[pooled, ["ci_low", "ci_high"]] = [0.2, 1.0]
    loaded.rows.loc[pooled, "detail"] = "derived labels (weak); interval rests on 2 donors"
    frame = supplementary.table(loaded, "annotation")
    ours = frame[frame["source"] == "this run"].set_index("label")
    assert ours.index.tolist() == ["good", "poor"]
    assert ours["f1_macro_tie_group"].tolist() == [1, 1]
    assert ours[["splits", "trials", "cells", "donors"]].to_numpy(float).tolist() == [[1, 1, 6, 2]] * 2
    assert ours.loc["poor", "difference"] == pytest.approx(ours.loc["poor", "f1_macro"] - ours.loc["good", "f1_macro"])
    assert pd.isna(ours.loc["good", "difference"])
    assert (ours.loc["poor", "best"], ours.loc["poor", "testable"]) == ("good", False)
    assert ours.loc["good", "note"] == "derived labels (weak); interval rests on 2 donors"
    theirs = frame[frame["source"] != "this run"]
    assert set(theirs["track"]) == {"subtype"}
    assert theirs["source"].str.startswith("reported, not run").all()
    lau = theirs[theirs["dataset"] == "Lau"].set_index("label")
    assert lau.loc["scmamba", ["f1_macro", "f1_micro", "f1_weighted"]].tolist() == [0.6916, 0.8168, 0.8137]


def test_an_unfinished_level_has_no_tie_groups_and_shows_what_is_missing(run: Path) -> None:
    loaded = load(run)
    lacking = PlannedTrial(key="f" * 16, track="subtype", dataset="tiny", method="lost", seeds=Seeds())
    loaded.requests[0].planned.append(lacking)
    frame = supplementary.table(loaded, "annotation")
    ours = frame[frame["source"] == "this run"].set_index("label")
    assert ours["status"].to_dict() == {"good": "ok", "poor": "ok", "lost": "missing"}
    assert "f1_macro_tie_group" not in ours
    assert ours["difference"].isna().all()


def test_the_papers_macro_f1_of_cell_types_is_the_one_over_all_classes(run: Path) -> None:
    loaded = load(run)
    ours = pd.DataFrame({"track": ["celltype"]})
    (theirs,) = supplementary._reported("annotation", ours)
    assert theirs.set_index(["dataset", "label"]).loc[("Lau", "seurat"), "f1_macro_union"] == 0.9938
    assert "f1_macro" not in theirs
    assert supplementary.table(loaded, "doublet").empty


def test_one_level_has_nothing_to_agree_with(run: Path) -> None:
    assert label_levels.consistency(load(run), "annotation").empty
