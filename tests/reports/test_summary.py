"""The verdict claims no more than the intervals allow."""

import pytest

from bench.record import MetricCard, TaskCard, TrackCard
from bench.reports._summary import NO_INTERVALS, Leader, _verdict

METRIC = MetricCard(name="nmi", summary="", low=0, high=1, higher_is_better=True, undefined="", headline=True)
TRACK = TrackCard(summary="", truth="experimental", default=True, caveat="")
TASK = TaskCard(name="integration", version="1", summary="", purpose="", tracks={"zero": TRACK}, metrics=[METRIC])


def leader(dataset, interval="", tied=()):
    return Leader("zero", dataset, "magic", "0.770", interval, list(tied), [], "", "")


@pytest.mark.parametrize(
    ("found", "said", "unsaid"),
    [
        ([leader("a")], f"magic is best with 0.770 ({NO_INTERVALS}).", "95 %"),
        ([leader("a", "0.7–0.8", ["dca"])], "(95 % CI 0.7–0.8); the intervals of dca overlap", NO_INTERVALS),
        ([leader("a"), leader("b")], f"of 2 track and dataset pairs; {NO_INTERVALS}.", "stands clear"),
        ([leader("a", "0.7–0.8"), leader("b")], "on 1 of them its confidence interval stands clear", NO_INTERVALS),
        ([leader("a", "0.7–0.8"), leader("b", "0.7–0.8")], "on all of them its confidence interval", NO_INTERVALS),
        ([leader("a", "0.7–0.8", ["dca"]), leader("b")], "on none of them", NO_INTERVALS),
    ],
)
def test_a_best_method_stands_clear_only_where_there_are_intervals(found, said, unsaid):
    text = " ".join(_verdict(TASK, found))
    assert said in text
    assert unsaid not in text
