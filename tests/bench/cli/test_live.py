"""The table that the terminal shows when a run is done."""

import dataclasses
import io
from collections import Counter

import pytest
from builders import trial_record, trial_spec
from rich.console import Console

from bench.cli.live import _headline
from bench.execution.run import Result
from bench.plan.grid import Plan
from bench.results.records import ScoreRecord
from bench.task import Seeds


def _record(method, track, split, seed, value):
    spec = trial_spec(task="guess", track=track, method=method, seeds=Seeds(split=split, method=seed))
    scores = [ScoreRecord(metric="accuracy", value=value)]
    return trial_record(f"{method}{track}{split}{seed}", spec, scores=scores)


@pytest.fixture
def shown(registry, monkeypatch):
    """Lines of the table of some records, by the name in front."""

    def show(records, *, higher_is_better=True):
        task = registry.task("guess")
        plain = task.tracks["plain"]
        monkeypatch.setattr(type(task), "tracks", {"plain": plain, "round": dataclasses.replace(plain, circular=True)})
        metric = dataclasses.replace(task.metrics[0], higher_is_better=higher_is_better)
        monkeypatch.setattr(type(task), "metrics", (metric,))
        out = io.StringIO()
        Console(width=200, file=out).print(
            _headline(Result(None, Plan(task, [], [], [], {}), records, Counter(), 0, False))
        )
        return [line.split() for line in out.getvalue().splitlines() if "0." in line]

    return show


def test_a_value_is_the_mean_over_splits_of_each_ones_mean(shown):
    records = [_record("a", "plain", 0, 0, 0.2), _record("a", "plain", 0, 1, 0.4), _record("a", "plain", 1, 0, 0.9)]
    [[_, value]] = [[w for w in line if w[0].isalnum()] for line in shown(records)]
    assert value == "0.600"


@pytest.mark.parametrize(("higher_is_better", "order"), [(True, ["a", "b"]), (False, ["b", "a"])])
def test_rows_are_ordered_by_what_is_compared_best_first(shown, higher_is_better, order):
    records = [
        _record("a", "plain", 0, 0, 0.5), _record("a", "round", 0, 0, 0.1),
        _record("b", "plain", 0, 0, 0.4), _record("b", "round", 0, 0, 0.9),
    ]  # fmt: skip
    lines = [[w for w in line if w[0].isalnum()] for line in shown(records, higher_is_better=higher_is_better)]
    assert [line[0] for line in lines] == order
