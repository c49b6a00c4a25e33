"""The verdict claims no more than the numbers allow."""

import dataclasses

import pytest

from bench.reports.run.summary import NO_INTERVAL, Leader, _verdict
from bench.results.records import TaskCard
from bench.task import Metric, Track

METRIC = Metric(name="nmi", summary="", low=0, high=1, higher_is_better=True, undefined="", headline=True)
TRACK = Track(summary="", truth="experimental", default=True, caveat="")
TASK = TaskCard(name="integration", version="1", summary="", purpose="", tracks={"zero": TRACK}, metrics=[METRIC])


def leader(dataset, interval="", tied=(), **more):
    plain = Leader("zero", dataset, "magic", "0.770", interval, "", list(tied), [], [], "raw 0.800", False, False, "")
    return dataclasses.replace(plain, **more)


def beaten(dataset, **more):
    return leader(dataset, beaten=True, below_trap=["magic"], **more)


def near(dataset, **more):
    return leader(dataset, "[0.7, 0.9]", trap="raw 0.750", near_trap=True, **more)


@pytest.mark.parametrize(
    ("found", "said", "unsaid"),
    [
        ([leader("a")], f"magic has the best value, 0.770; {NO_INTERVAL}.", "interval overlap"),
        ([leader("a", tied=["dca"], same=["dca"])], "magic and dca share the best value, 0.770;", "interval of"),
        ([leader("a", same=["dca"]), leader("b")], "belongs to magic on 1 and magic = dca on 1 of 2", "on 2 of 2"),
        ([leader("a", "[0.700, 0.800]", ["dca"])], "0.770 [0.700, 0.800]; the interval of dca overlaps", NO_INTERVAL),
        ([leader("a", "[0.7, 0.8]", how="over 3 splits")], "0.770 [0.7, 0.8] (over 3 splits).", NO_INTERVAL),
        ([leader("a", how="2 splits: 0.7 and 0.8")], f"0.770 (2 splits: 0.7 and 0.8); {NO_INTERVAL}", "best with"),
        ([leader("a", alone=True)], "magic has 0.770; no other method has a value.", "best"),
        ([beaten("a")], "no method beats the trap control raw 0.800: the nearest, magic, has 0.770", "best"),
        ([leader("a"), leader("b")], f"of 2 track and dataset pairs; {NO_INTERVAL}.", "stands clear"),
        ([leader("a", "[0, 1]"), leader("b")], "on 1 of the 1 pair with intervals its 95 % interval", NO_INTERVAL),
        ([leader("a", "[0, 1]"), leader("b", "[0, 1]")], "on 2 of them its 95 % interval stands clear", NO_INTERVAL),
        ([leader("a", "[0, 1]", ["dca"]), leader("b")], "on none of the 1 pair", NO_INTERVAL),
        ([leader("a"), beaten("b")], "on 1 of 2 track and dataset pairs no method beats", "magic on 2"),
        ([leader("a"), beaten("b")], "the best value belongs to magic on 1 of 2", "magic is beaten"),
        ([beaten("a"), beaten("b")], "on 2 of 2 track and dataset pairs no method beats", "best value"),
        ([leader("a"), leader("b", alone=True)], "2 track and dataset pairs only one method has a", "magic on 2"),
        ([near("a")], "[0.7, 0.9]; the trap control raw 0.750 lies within it.", "beats"),
        ([near("a", alone=True)], "raw 0.750 lies within it; no other method has a value.", "best"),
        ([near("a"), leader("b")], "On 1 of 2 pairs the best trap control lies within the interval", "no method"),
        ([leader("a"), leader("b")], "the best value belongs to magic on 2", "lies within"),
        ([], "No method can be called best.", "By nmi"),
    ],
)  # fmt: skip
def test_the_verdict(found, said, unsaid):
    text = " ".join(_verdict(TASK, found))
    assert said in text
    assert unsaid not in text


def test_lower_is_better_is_said():
    card = TASK.model_copy(update={"metrics": [dataclasses.replace(METRIC, higher_is_better=False)]})
    assert "By nmi (lower is better), magic" in " ".join(_verdict(card, [leader("a")]))
