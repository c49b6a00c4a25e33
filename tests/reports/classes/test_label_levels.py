"""Agreement of the levels of a method over splits, on a tiny made-up run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec
from scipy import sparse

from bench.problem import Cells, Inputs, Problem
from bench.reports.classes import label_levels
from bench.reports.run.load import load
from bench.results.records import (
    PlannedTrial,
    ScoreRecord,
)
from bench.results.store import Store
from bench.task import Seeds

TRUTH = {
    "celltype": {"c0": "a", "c1": "a", "c2": "b", "c3": "b"},
    "subtype": {"c0": "a1", "c1": "a2", "c2": "b1", "c3": "b1"},
}
DONOR = {"c0": "p", "c1": "p", "c2": "q", "c3": "r"}
PARENT = {"a1": "a", "a2": "a", "b1": "b"}
TESTED = {0: ["c0", "c1", "c2"], 1: ["c2", "c3"]}
#: (track, split) -> answers; c2 is tested twice, and its levels agree once.
ANSWERS = {
    ("celltype", 0): ["a", "a", "b"],
    ("subtype", 0): ["a1", "b1", "b1"],
    ("celltype", 1): ["a", "unassigned"],
    ("subtype", 1): ["b1", "b1"],
}


def _write(store: Store, level: str, split: int, folder: Path, variant: str = "") -> PlannedTrial:
    cells, seeds = TESTED[split], Seeds(split=split)
    name = level + variant
    key = f"{len(list(store.root.glob('trials/*'))):016x}"
    answers = ANSWERS[level, split]
    spec = trial_spec(task="annotation", track=name, dataset="tiny", seeds=seeds)
    scores = [ScoreRecord(metric="f1_macro", value=0.5, n=len(cells))]
    for known in set(TRUTH[level].values()):
        above = f"; cell_type {PARENT[known]}" if level == "subtype" else ""
        scores.append(
            ScoreRecord(metric="train_cells", value=5, unit=f"class:{known}", n=1, detail=f"1 training donors{above}")
        )
        scores.append(ScoreRecord(metric="f1", value=0.5, unit=f"class:{known}", n=1))
    file = folder / key / "prediction.parquet"
    file.parent.mkdir()
    pd.DataFrame({"cell": cells, "label": answers, "probability": 1.0}).to_parquet(file)
    store.save(trial_record(key, spec, n_cells=len(cells), scores=scores), [file])
    solution = pd.DataFrame(
        {"label": [TRUTH[level][c] for c in cells], "donor": [DONOR[c] for c in cells]}, index=cells
    )
    counts = Cells(sparse.csr_matrix((len(cells), 1)), pd.DataFrame(index=cells), pd.DataFrame(index=["g"]))
    store.save_problem(spec.problem, Problem(Inputs(counts), solution))
    return PlannedTrial(key=key, track=name, dataset="tiny", method="m", seeds=seeds)


@pytest.fixture
def make(tmp_path: Path):
    """A run of one method on the given (track, split, variant)."""

    def made(*trials: tuple[str, int, str]) -> Path:
        store = Store.create(tmp_path / "run")
        planned = [_write(store, level, split, tmp_path, variant) for level, split, variant in trials]
        metrics = [metric("f1_macro", headline=True), metric("f1"), metric("train_cells", high=None, neutral=True)]
        tracks = dict.fromkeys(("celltype", "subtype", "celltype-lodo", "subtype-lodo"), track())
        save_request(store, task_card("annotation", tracks, metrics), [method_card("m", tasks=["annotation"])], planned)
        return store.root

    return made


BOTH = [(track, split, "") for track in TRUTH for split in TESTED]


def test_all_splits_count_and_a_cell_tested_twice_is_one_cell_to_resample(make) -> None:
    (row,) = label_levels.consistency(load(make(*BOTH)), "annotation").to_dict("records")
    assert (row["coarse"], row["fine"], row["splits"]) == ("celltype", "subtype", 2)
    # c0 and c2 agree in split 0, c1 not; c2 not in split 1; c3 has no answer at one level
    assert row["consistent"] == 2 / 4
    assert (row["cells"], row["donors"]) == (3, 2)
    assert 0 <= row["ci_low"] < row["consistent"] < row["ci_high"] <= 1


def test_a_split_that_only_one_level_has_is_left_out(make) -> None:
    (row,) = label_levels.consistency(
        load(make(("celltype", 0, ""), ("subtype", 0, ""), ("subtype", 1, ""))), "annotation"
    ).to_dict("records")
    assert (row["consistent"], row["splits"], row["cells"]) == (pytest.approx(2 / 3), 1, 3)


def test_variants_are_compared_among_themselves(make) -> None:
    found = label_levels.consistency(load(make(*BOTH, *((t, s, "-lodo") for t, s, _ in BOTH))), "annotation")
    assert sorted(zip(found["coarse"], found["fine"], strict=True)) == [
        ("celltype", "subtype"),
        ("celltype-lodo", "subtype-lodo"),
    ]
    assert found["consistent"].tolist() == [0.5, 0.5]
