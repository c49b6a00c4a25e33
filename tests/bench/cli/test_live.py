"""The terminal while trials run, and the table when they are done."""

import dataclasses
import io
from collections import Counter

import pytest
from builders import metric, task_card, trial_record, trial_spec
from rich.console import Console

from bench.cli import live as live_module
from bench.cli.summary import _headline
from bench.execution.run import Result
from bench.plan.grid import Plan, Planned
from bench.results.headline import headline
from bench.results.records import ScoreRecord
from bench.sandbox.progress import Progress
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
        result = Result(None, Plan(task, [], [], [], {}), records, Counter(), 0, False, None)
        Console(width=200, file=out).print(_headline(result, headline(records, task.metrics, {"round"}), {"round"}))
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


class Clock:
    """A time that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def live(monkeypatch):
    """The live table of some trials, its clock, and what it says and draws at 80 columns."""
    clock, said = Clock(), io.StringIO()
    monkeypatch.setattr(live_module.time, "monotonic", clock)
    monkeypatch.setattr(live_module, "Console", lambda stderr: Console(file=said, width=80))

    def make(*specs):
        todo = [Planned(f"key{i}", spec) for i, spec in enumerate(specs)]
        task = task_card("guess", {}, [metric("f1"), metric("accuracy", headline=True)])
        return live_module.LiveTable(Plan(task, todo, [], [], {}), todo, 0), todo, clock, said

    return make


def drawn(table, progress=Progress()):
    """Lines of the table at 80 columns."""
    out = io.StringIO()
    Console(file=out, width=80).print(table._draw(lambda planned: progress))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_preparing_a_problem_is_a_line_of_its_own_and_no_trials_time(live):
    truth, toy = trial_spec(method="truth", role="perfect"), trial_spec(method="toy")
    table, (first, second), clock, said = live(truth, toy)
    table.preparing(first)
    table.preparing(second)
    clock.now += 7
    assert [line.split("  ")[0] for line in drawn(table)[1:]] == [f"preparing {truth.dataset}/{truth.track} [0.0]"]
    assert "7 s" in drawn(table)[1]
    table.started(first)
    table.started(second)
    clock.now += 2
    scores = [ScoreRecord(metric="accuracy", value=0.1, unit="donor:d1"), ScoreRecord(metric="accuracy", value=0.75)]
    table.finished(first, trial_record("a", truth, scores=scores))
    lines = said.getvalue().splitlines()
    assert lines[0] == "2 trials to run"
    assert lines[1].split() == ["prepared", f"{truth.dataset}/{truth.track}", "[0.0]", "7.0", "s"]
    assert lines[2].split()[:2] == ["ok", "truth"]
    assert lines[2].endswith("  2.0 s  accuracy 0.750")
    assert len(lines) == 3


def test_one_line_tells_how_many_of_how_many_and_what_is_left(live):
    specs = [trial_spec(method=name, role=role) for name, role in (("truth", "perfect"), ("a", "method"))]
    specs += [trial_spec(method=name) for name in ("a", "a", "b", "b")]
    table, todo, clock, _ = live(*specs)
    for planned, seconds in zip(todo[:1], (1,), strict=True):
        table.started(planned)
        clock.now += seconds
        table.finished(planned, trial_record("x", planned.spec))
    assert "1 of 6" in drawn(table)[0]
    assert "left" not in drawn(table)[0]  # controls tell nothing of methods
    table.started(todo[1])
    clock.now += 9
    table.finished(todo[1], trial_record("x", todo[1].spec))
    assert drawn(table)[0].endswith("2 of 6 10 s, about 36 s left 2 ok")  # four more, one at a time
    table.started(todo[2])
    table.started(todo[3])
    clock.now += 3
    # 12 s of work to do and two methods unknown, on what was one core for 10 s and two for 3 s
    assert drawn(table)[0].endswith("2 of 6 13 s, about 24 s left 2 ok")


def test_a_running_trial_is_one_line_however_much_there_is_to_say(live):
    spec = trial_spec(method="m" * 60, dataset="d" * 60)
    table, (planned,), clock, _ = live(spec)
    table.started(planned)
    clock.now += 5
    lines = drawn(table, Progress(0.5, "epoch 3 of 30, loss 0.123456789 and more\nand more"))
    assert len(lines) == 2
    assert lines[1].startswith("mmm")
    assert "5 s" in lines[1]
    assert "epoch 3" in lines[1]
