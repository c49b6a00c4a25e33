"""Two tracks of one question side by side."""

import pytest
from builders import method_card, metric, save_request, task_card, track, trial_record, trial_spec

from bench.reports.run import gaps
from bench.reports.run.load import load
from bench.results.records import PlannedTrial, ScoreRecord
from bench.results.store import Store
from bench.task import Seeds

#: (track, dataset, method, split) -> value.
VALUES = {
    ("types", "d", "a", 0): 0.6,
    ("types", "d", "a", 1): 0.7,
    ("types-cells", "d", "a", 0): 0.9,
    ("types", "d", "b", 0): 0.5,
    ("types-cells", "d", "b", 0): 0.4,
    ("types", "e", "a", 0): 0.3,
}


@pytest.fixture
def run(tmp_path):
    store, planned = Store.create(tmp_path / "run"), []
    for i, ((name, dataset, method, split), value) in enumerate(VALUES.items()):
        spec = trial_spec(track=name, dataset=dataset, method=method, seeds=Seeds(split=split))
        score = ScoreRecord(metric="f1", value=value, ci_low=value - 0.1, ci_high=value + 0.1, n=5)
        store.save(trial_record(f"{i:016x}", spec, scores=[score]), [])
        planned.append(PlannedTrial(key=f"{i:016x}", track=name, dataset=dataset, method=method, seeds=spec.seeds))
    tracks = {"types": track(), "types-cells": track(beside="types")}
    card = task_card("t", tracks, [metric("f1", headline=True)])
    save_request(store, card, [method_card("a"), method_card("b")], planned)
    return load(store.root)


def test_a_gap_is_the_easier_split_less_the_harder_one(run):
    table = gaps.of_task(run, run.tasks["t"]).set_index("label")
    assert table[["dataset", "track", "other"]].to_numpy().tolist() == [["d", "types", "types-cells"]] * 2
    assert table["gap"].to_dict() == pytest.approx({"a": 0.9 - 0.65, "b": -0.1})
    assert table.loc["a", ["value", "other_value", "other_ci_low"]].tolist() == pytest.approx([0.65, 0.9, 0.8])


def test_without_two_tracks_there_is_none(run):
    card = run.tasks["t"].model_copy(update={"tracks": {"types": track()}})
    table = gaps.of_task(run, card)
    assert table.empty
    assert "gap" in table
