from conftest_core import ToySource

from bench.develop.leakage_audit import audit, audit_one
from bench.task import Seeds


def test_inputs_that_do_not_depend_on_the_truth_pass(registry):
    finding = audit_one(registry.task("guess"), ToySource().load(), "plain", Seeds())
    assert (finding.status, finding.how) == ("pass", "identical bytes")


def test_a_column_that_tells_the_truth_is_a_leak(registry):
    finding = audit_one(registry.task("guess"), ToySource().load(), "leaky", Seeds())
    assert finding.status == "leak"
    assert "cells_obs.parquet" in finding.detail


def test_without_scrambling_columns_order_and_names_are_tested(registry, monkeypatch):
    task = registry.task("guess")
    monkeypatch.setattr(type(task), "scramble", lambda *args: None)
    data = ToySource(n_cells=600).load()
    assert audit_one(task, data, "plain", Seeds()).status == "pass"
    finding = audit_one(task, data, "leaky", Seeds())
    assert finding.status == "leak"
    assert "the column 'hint' tells 'hot'" in finding.detail


def test_a_scramble_that_changes_nothing_is_not_a_pass(registry, monkeypatch):
    task = registry.task("guess")
    monkeypatch.setattr(type(task), "scramble", lambda self, dataset, *args: dataset)
    finding = audit_one(task, ToySource().load(), "plain", Seeds())
    assert finding.status == "leak"
    assert "nothing tested" in finding.detail


def test_what_cannot_be_built_is_said_and_what_is_not_served_is_left_out(registry):
    findings = list(audit(registry, registry.task("guess"), ["plain", "never", "refused"], ["toy-data"], Seeds()))
    assert [(f.track, f.status) for f in findings] == [("plain", "pass"), ("refused", "not_applicable")]
