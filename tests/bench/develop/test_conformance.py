import pytest
from conftest_core import ToySource

from bench.develop.conformance import Check, Conformance, conformance
from bench.errors import BenchError, UnknownNameError


def results(registry, name, **kwargs):
    task = registry.task("guess")
    suite = Conformance(registry.method(name), task, ToySource(**kwargs).load(), "plain", timeout_s=30)
    return {check.name.split(":")[0]: check for check in suite.run()}


@pytest.mark.parametrize("name", ["toy", "noisy", "per-donor", "supervised"])
def test_a_good_method_passes(registry, name):
    found = results(registry, name)
    assert {c.status for c in found.values()} <= {"pass", "skip"}, found
    assert ("equivariance" in found) is (name != "noisy")


def test_a_method_that_ignores_its_seed_is_caught(registry):
    determinism = results(registry, "unseeded")["determinism"]
    assert (determinism.status, determinism.fix) == ("fail", "draw all random numbers from ctx.seed")


def test_a_method_that_looks_at_positions_is_caught(registry):
    found = results(registry, "by-position")
    assert found["equivariance"].status == "fail"
    assert found["determinism"].status == "pass"


@pytest.mark.parametrize(
    ("mode", "told"),
    [("nan", "NaN"), ("mutate", "changed its inputs"), ("exit", "exit code 3"), ("raise", "ValueError")],
)
def test_a_broken_output_fails_the_schema_with_the_reason(registry, monkeypatch, mode, told):
    monkeypatch.setattr(registry.method("toy").value.__init__, "__defaults__", (mode, 1.0))
    found = results(registry, "toy")
    assert found["schema"].status == "fail"
    assert told in found["schema"].detail


def test_a_supervised_method_needs_a_dataset_with_training_donors(registry):
    assert results(registry, "supervised", n_donors=1)["problem"].status == "fail"


def test_what_cannot_be_checked_is_said_before_data_are_loaded(registry, monkeypatch):
    entry = registry.method("toy")
    with pytest.raises(UnknownNameError, match="unknown task of toy 'gues'"):
        list(conformance(entry, registry.tasks, None, task="gues"))
    monkeypatch.setattr(entry.value, "tasks", ("lost", "guess"))
    with pytest.raises(UnknownNameError, match="unknown task 'lost'"):
        list(conformance(entry, {}, None))
    first = next(conformance(entry, registry.tasks, ToySource().load))
    assert first == ("lost", Check("task", "skip", "not installed here"))
    monkeypatch.setattr(type(registry.task("guess")), "why_not", lambda self, card, track: "no reason")
    with pytest.raises(BenchError, match="'toy-data' serves no track of guess\n  where: plain: no reason"):
        list(conformance(entry, registry.tasks, ToySource().load, task="guess"))


def test_every_check_tells_what_it_took(registry):
    found = results(registry, "toy")
    assert all(check.wall_s > 0 for check in found.values())
    assert found["schema"].cpu_s > 0
