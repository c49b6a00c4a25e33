"""An error has one status, whoever raises it and in whatever process."""

import pytest
from conftest_core import PLUGIN, ToySource
from raising_plugin import ERRORS

from bench.errors import BenchError, status_of
from bench.execution.trial import TrialRunner
from bench.plan.grid import RunRequest, make_plan
from bench.plan.registry import Registry
from bench.results.store import Store


def test_an_error_of_ours_has_the_status_of_its_class_and_any_other_is_a_crash():
    statuses = {name: status_of(error("")) for name, error in ERRORS.items()}
    assert statuses == {
        "BenchError": "crash",
        "DataError": "crash",
        "InvalidOutputError": "invalid_output",
        "UnavailableError": "unavailable",
        "NotApplicableError": "not_applicable",
        "OwnRefusalError": "invalid_output",
        "ValueError": "crash",
        "SystemExit": "crash",
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    from bench.results.records import Limits

    registry = Registry([PLUGIN.with_name("raising_plugin.py")], [ToySource()])
    store = Store.create(tmp_path_factory.mktemp("statuses") / "run")
    plan = make_plan(registry, RunRequest("refuse", list(ERRORS), ["refusing"]))
    with TrialRunner(registry, store, Limits(timeout_s=30, memory_mb=4000)) as runner:
        return {(t.spec.track, t.spec.method): runner.execute(t) for t in plan.trials}


@pytest.mark.parametrize("name", ERRORS)
def test_a_method_and_a_control_that_raise_end_alike_and_no_run(records, name):
    method, control = records[name, "refusing"], records[name, "control"]
    assert method.status == control.status == status_of(ERRORS[name]("on purpose"))
    assert "on purpose" in method.detail
    if method.status != "crash":
        assert method.detail == control.detail == "on purpose"
    elif not issubclass(ERRORS[name], BenchError):
        assert control.detail == f"the control failed: {name}: on purpose"
