"""Agreement of the levels of a method over splits, on a tiny made-up run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scipy import sparse

from bench.problem import Cells, Inputs, Problem
from bench.reports.classes import label_levels
from bench.reports.run.load import load
from bench.results.records import (
    Limits,
    MethodCard,
    PlannedTrial,
    Request,
    ScoreRecord,
    TaskCard,
    TrialRecord,
    TrialSpec,
)
from bench.results.store import Store
from bench.task import Metric, Seeds, Track

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


def _write(store: Store, track: str, split: int, folder: Path, variant: str = "") -> PlannedTrial:
    cells, seeds = TESTED[split], Seeds(split=split)
    name = track + variant
    key = f"{len(list(store.root.glob('trials/*'))):016x}"
    answers = ANSWERS[track, split]
    spec = TrialSpec(
        task="annotation", task_version="1", track=name, dataset="tiny", dataset_digest="d", method="m", role="method",
        implementation="port", method_digest="m", environment_digest="", seeds=seeds,
    )  # fmt: skip
    scores = [ScoreRecord(metric="f1_macro", value=0.5, n=len(cells))]
    for known in set(TRUTH[track].values()):
        above = f"; cell_type {PARENT[known]}" if track == "subtype" else ""
        scores.append(
            ScoreRecord(metric="train_cells", value=5, unit=f"class:{known}", n=1, detail=f"1 training donors{above}")
        )
        scores.append(ScoreRecord(metric="f1", value=0.5, unit=f"class:{known}", n=1))
    record = TrialRecord(
        key=key, spec=spec, limits=Limits(), status="ok", n_cells=len(cells), scores=scores, host="h", started="2025",
        bench_version="0",
    )  # fmt: skip
    file = folder / key / "prediction.parquet"
    file.parent.mkdir()
    pd.DataFrame({"cell": cells, "label": answers, "probability": 1.0}).to_parquet(file)
    store.save(record, [file])
    solution = pd.DataFrame(
        {"label": [TRUTH[track][c] for c in cells], "donor": [DONOR[c] for c in cells]}, index=cells
    )
    counts = Cells(sparse.csr_matrix((len(cells), 1)), pd.DataFrame(index=cells), pd.DataFrame(index=["g"]))
    store.save_problem(spec.problem, Problem(Inputs(counts), solution), {})
    return PlannedTrial(key=key, track=name, dataset="tiny", method="m", seeds=seeds)


@pytest.fixture
def make(tmp_path: Path):
    """A run of one method on the given (track, split, variant)."""

    def made(*trials: tuple[str, int, str]) -> Path:
        store = Store.create(tmp_path / "run")
        planned = [_write(store, track, split, tmp_path, variant) for track, split, variant in trials]
        metrics = [
            Metric(name=n, summary=n, low=0.0, high=None if n == "train_cells" else 1.0, higher_is_better=True,
                       neutral=n == "train_cells", headline=n == "f1_macro", undefined="")
            for n in ("f1_macro", "f1", "train_cells")
        ]  # fmt: skip
        card = Track(summary="s", truth="computational", default=True, caveat="")
        tracks = dict.fromkeys(("celltype", "subtype", "celltype-lodo", "subtype-lodo"), card)
        task = TaskCard(name="annotation", version="1", summary="", purpose="", tracks=tracks, metrics=metrics)
        methods = [MethodCard(name="m", summary="m", role="method", tasks=["annotation"], implementation="port")]
        store.save_request(
            Request(command=["b"], created="2025", task=task, methods=methods, datasets=[], planned=planned)
        )
        store.write_tables()
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
