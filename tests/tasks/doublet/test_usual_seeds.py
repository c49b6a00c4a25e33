"""Chance of a caller is seen by default where it costs little."""

from dataclasses import replace

import pytest

from bench.plan.grid import RunRequest, make_plan
from bench.plan.registry import Registry


def seeds_of(plan, name):
    return sorted(t.spec.seeds.method for t in plan.trials if t.spec.method == name)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, {"scrublet": 5, "solo": 1, "scmamba": 1, "random": 5, "library_size": 1}),
        (1, {"scrublet": 1, "solo": 1, "scmamba": 1, "random": 1, "library_size": 1}),
        (2, {"scrublet": 2, "solo": 2, "scmamba": 2, "random": 2, "library_size": 1}),
    ],
)
def test_stochastic_methods_run_five_seeds_in_small_data_unless_they_train_long(asked, expected):
    plan = make_plan(
        Registry(),
        RunRequest("doublet", ["experimental"], ["scrublet", "solo", "scmamba"], ["cohort"], method_seeds=asked),
    )
    assert {name: seeds_of(plan, name) for name in expected} == {n: list(range(k)) for n, k in expected.items()}


def test_large_data_and_other_tasks_have_one():
    registry = Registry()
    card = registry.dataset("cohort").card
    usual = {n: registry.task("doublet").usual_seeds(replace(card, n_cells=n)) for n in (10_000, 10_001)}
    assert usual == {10_000: 5, 10_001: 1}
    assert {registry.task(name).usual_seeds(card) for name in ("annotation", "imputation", "integration", "deg")} == {1}
