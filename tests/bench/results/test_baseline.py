"""A table of pre-trained models says that it lacks a linear baseline."""

from types import SimpleNamespace

import pytest
from builders import method_card, task_card, trial_record, trial_spec

from bench.cli import summary as terminal
from bench.reports.run import summary as report
from bench.results.baseline import without_linear_baseline

KINDS = {"net": "foundation", "net2": "foundation", "net3": "foundation", "net4": "foundation", "line": "linear"}


def record(method, dataset="a", status="ok"):
    return trial_record(
        method + dataset, trial_spec(task="t", track="x", dataset=dataset, method=method), status=status
    )


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([record("net"), record("line"), record("other")], ""),
        ([record("line"), record("other")], ""),
        ([record("net", status="crash"), record("other")], ""),
        ([record("net"), record("other")], "beside net: whether"),
        ([record("net"), record("net2"), record("line", status="crash")], "beside net and net2: whether"),
        ([record(f"net{i or ''}") for i in (0, 2, 3, 4)], "beside 4 models of cells: whether"),
        (
            [record("net"), record("line"), record("net", "b"), record("other", "b")],
            "beside net on 1 of 2 track and dataset pairs: whether",
        ),
    ],
)
def test_the_sentence(records, text):
    found = without_linear_baseline(records, KINDS)
    assert text in found
    assert found.startswith("No linear baseline was run") == bool(text)


@pytest.mark.parametrize("asked", [True, False])
def test_report_and_terminal_say_it_where_the_task_asks_for_a_baseline(asked):
    task = task_card("t", {}, []).model_copy(update={"linear_baseline": asked})
    records = [record("net"), record("other")]
    cards = {name: method_card(name, kind=KINDS.get(name, "")) for name in ("net", "other")}
    run = SimpleNamespace(methods=cards, trials={r.key: r for r in records})
    result = SimpleNamespace(plan=SimpleNamespace(task=task, cards=cards), records=records)
    lines = [report._baseline(run, task), *(text for text, _ in terminal._baseline(result))]
    said = "No linear baseline was run beside net: whether pre-training is worth anything is not known."
    assert lines == ([said, said] if asked else [""])
