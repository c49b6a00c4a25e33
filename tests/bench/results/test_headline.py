"""The table of the terminal: a place where the perfect control is not ahead of the random one orders no methods."""

import pytest
from builders import trial_record, trial_spec

from bench.results.headline import headline
from bench.results.records import ScoreRecord
from bench.results.scale import Anchor, why_untold
from bench.task import Metric

NMI = Metric("nmi", "Agreement.", headline=True)


def record(method, value, role="method", dataset="d", reach=None):
    low, high = (None, None) if reach is None else (value - reach, value + reach)
    spec = trial_spec(method=method, role=role, dataset=dataset)
    scores = [ScoreRecord(metric="nmi", value=value, ci_low=low, ci_high=high)]
    return trial_record(f"{method}{dataset}", spec, scores=scores)


def records(perfect, reach=None):
    """Method a wins where something can be told, b where it may not be."""
    return [
        record("a", 0.8), record("b", 0.7), record("truth", 0.9, "perfect"), record("coin", 0.1, "random"),
        record("a", 0.1, dataset="flat"), record("b", 0.9, dataset="flat"),
        record("truth", perfect, "perfect", "flat", reach), record("coin", 0.5, "random", "flat", reach),
    ]  # fmt: skip


@pytest.mark.parametrize(("perfect", "reach"), [(0.5, None), (0.4, None), (0.6, 0.1)])
def test_a_flat_place_orders_no_methods_and_says_so(perfect, reach):
    told = headline(records(perfect, reach), [NMI])
    assert [row.method for row in told.rows[:2]] == ["a", "b"]
    [(place, why)] = told.untold.items()
    assert place[0] == "flat"
    assert why.startswith("nothing can be told: truth, the perfect control (0.")


@pytest.mark.parametrize(("perfect", "reach"), [(0.6, None), (0.9, 0.1)])
def test_a_place_with_a_scale_counts(perfect, reach):
    told = headline(records(perfect, reach), [NMI])
    assert not told.untold
    assert [row.method for row in told.rows[:2]] == ["b", "a"]


def test_another_metric_only_may_not_be_the_same():
    other = Metric("ilisi", "Mixing.")
    assert not why_untold(Anchor("truth", 0.4), Anchor("coin", 0.5), other)
    assert why_untold(Anchor("truth", 0.5), Anchor("coin", 0.5), other)
    lower = Metric("mse", "Error.", higher_is_better=False, headline=True)
    assert not why_untold(Anchor("truth", 0.1), Anchor("coin", 0.5), lower)
