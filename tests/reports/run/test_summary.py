"""The verdict claims no more than the numbers allow, and names what it hangs on."""

import dataclasses

import pytest

from bench.reports.run.summary import NO_INTERVAL, Leader, _claim
from bench.results.records import TaskCard
from bench.task import Metric, Track

METRIC = Metric(name="nmi", summary="", low=0, high=1, higher_is_better=True, undefined="", headline=True)
TRACK = Track(summary="", truth="experimental", default=True, caveat="")
TASK = TaskCard(name="integration", version="1", summary="", purpose="", tracks={"zero": TRACK}, metrics=[METRIC])


def leader(dataset, interval="", tied=(), **more):
    plain = Leader(
        track="zero", dataset=dataset, best="magic", value="0.770", interval=interval, how="", tied=list(tied), same=[],
        below_trap=[], trap="raw 0.800", beaten=False, detail="", near_trap=False, others=4, ahead=0.02, next="dca",
    )  # fmt: skip
    return dataclasses.replace(plain, **more)


def beaten(dataset, **more):
    return leader(dataset, beaten=True, below_trap=["magic"], **more)


def near(dataset, **more):
    return leader(dataset, "[0.7, 0.9]", trap="raw 0.750", near_trap=True, **more)


ALONE = {"others": 0, "ahead": 0.0, "next": ""}


@pytest.mark.parametrize(
    ("found", "said", "unsaid"),
    [
        ([leader("a")], f"magic leads with 0.770, 0.020 ahead of dca; {NO_INTERVAL}.", "told from"),
        ([leader("a", tied=["dca"], same=["dca"])], "magic and dca share the best value, 0.770;", "ahead of"),
        ([leader("a", same=["dca"]), leader("b")], "with magic on 1 and magic = dca on 1 of 2", "on both"),
        ([leader("a", same=["b", "c", "d"]), leader("b")], "magic and 3 others alike on 1 of 2", "magic = b"),
        (
            [leader("a", "[0.7, 0.8]", ["dca"])],
            "of dca; 1 of 4 other methods cannot be told from it (dca)",
            NO_INTERVAL,
        ),
        ([leader("a", "[0.7, 0.8]", list("abcd"))], "of dca; 4 of 4 other methods cannot be told from it.", "(a"),
        ([leader("a", "[0.7, 0.8]")], "of dca; its interval stands clear of all 4 other methods.", "told from"),
        ([leader("a", "[0.7, 0.8]", others=1)], "its interval stands clear of 1 other method.", "all 1"),
        ([leader("a", "[0.7, 0.8]", how="over 3 splits")], "0.770 [0.7, 0.8] (over 3 splits), 0.020", NO_INTERVAL),
        ([leader("a", how="2 splits: 0.7 and 0.8")], "0.770 (2 splits: 0.7 and 0.8), 0.020", "stands clear"),
        ([leader("a", **ALONE)], "magic has 0.770; no other method has a value.", "leads"),
        ([beaten("a")], "no method beats the trivial baseline raw 0.800: the nearest, magic, has 0.770", "leads"),
        (
            [leader("a"), leader("b")],
            f"leads on both compared datasets, by 0.020 over the next method; {NO_INTERVAL}.",
            "stands clear",
        ),
        ([leader("a"), leader("a", track="one")], "leads on both compared tracks", "datasets"),
        (
            [leader("a"), leader("b", ahead=0.1), leader("c", track="one")],
            "leads on all 3 compared track and dataset pairs, by 0.020 to 0.100 over",
            "datasets",
        ),
        ([leader("a", "[0, 1]"), leader("b")], "; on each of the 1 pair with intervals its 95 % interval", NO_INTERVAL),
        (
            [leader("a", "[0, 1]"), leader("b", "[0, 1]")],
            "; on each its 95 % interval stands clear of all others.",
            NO_INTERVAL,
        ),
        (
            [leader("a", "[0, 1]", ["dca"]), leader("b")],
            "on none of the 1 pair with intervals does the leader's 95 % interval stand clear of all others (1 of 4",
            "elsewhere",
        ),
        ([leader("a", "[0, 1]", ["x"]), leader("b", "[0, 1]", ["x", "y"])], "(1 to 2 of 4 other methods", "elsewhere"),
        (
            [leader("a", "[0, 1]", ["x"]), leader("b", "[0, 1]", ["x", "y"], others=3)],
            "(1 of 4 to 2 of 3 other",
            "to 2 of 4",
        ),
        (
            [leader("a", "[0, 1]", ["x"]), leader("b", "[0, 1]")],
            "on 1 the leader's 95 % interval stands clear of all others (elsewhere 1 of 4 other",
            "on none",
        ),
        (
            [leader("a"), beaten("b")],
            ". On 1 of 2 compared datasets no method beats the trivial baseline (raw)",
            "magic on 2",
        ),
        ([leader("a"), beaten("b")], "the lead is with magic on 1 of 2", "magic does not"),
        (
            [leader("a", below_trap=["x"]), beaten("b")],
            "x does not beat the trivial baseline everywhere.",
            "magic does",
        ),
        ([beaten("a"), beaten("b")], "By nmi, on 2 of 2 compared datasets no method beats", "lead"),
        ([leader("a"), leader("b", **ALONE)], ". On 1 of 2 compared datasets only one method has a", "magic on 2"),
        ([near("a")], "; the trivial baseline raw 0.750 lies within it. In", "beats"),
        ([near("a", **ALONE)], "raw 0.750 lies within it; no other method has a value.", "leads"),
        (
            [near("a"), leader("b")],
            "On 1 of 2 compared datasets a trivial baseline lies within the leader's",
            "no method",
        ),
        ([leader("a"), leader("b")], "magic leads on both", "lies within"),
        ([], "No method can be called best.", "By nmi"),
    ],
)
def test_the_verdict(found, said, unsaid):
    text = " ".join(_claim(TASK, found))
    assert said in text
    assert unsaid not in text


def test_lower_is_better_is_said():
    card = TASK.model_copy(update={"metrics": [dataclasses.replace(METRIC, higher_is_better=False)]})
    assert "By nmi (lower is better), magic" in " ".join(_claim(card, [leader("a")]))
