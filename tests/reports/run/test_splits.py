"""Means over splits and seeds: splits of the same donors are one, and the interval is that of the mean."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import method_card, metric, save_request, task_card, trial_record, trial_spec
from builders import track as of_task
from scipy import sparse, stats

from bench.problem import Cells, Inputs, Problem
from bench.reports.page import html
from bench.reports.run import caveats, standing, summary, tables
from bench.reports.run.leaders import leaders
from bench.reports.run.load import Run, load
from bench.reports.run.ranks import ranking
from bench.results.records import (
    DataCard,
    PlannedTrial,
    ScoreRecord,
)
from bench.results.store import Store
from bench.task import Seeds

ROLES = {"truth": "perfect", "coin": "random", "depth": "trap"}
METRICS = [metric("auprc", headline=True), metric("other")]
TRACKS = {
    "plain": of_task(truth="simulated"),
    "other": of_task(truth="simulated"),
    "round": of_task(caveat="Circular.", circular=True),
}

#: A trial: method, split seed, method seed, value and half the width of its interval (None: none); a track of its own.
Trial = tuple[str, int, int, float, float | None] | tuple[str, int, int, float, float | None, str]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Run]:
    """A run of trials on one dataset of ten donors, of which each split seed tests those named in ``donors``."""

    def made(
        trials: list[Trial],
        donors: dict[int, str],
        *,
        track: str = "plain",
        lacking: int = 0,
        n_donors: int | None = 10,
        weak: str = "",
        truth: str = "none",
    ) -> Run:
        store = Store.create(tmp_path / str(len(list(tmp_path.iterdir()))))
        planned = []
        for method, split, seed, value, half, *own in trials:
            seeds, on = Seeds(split=split, method=seed), own[0] if own else track
            spec = trial_spec(track=on, method=method, role=ROLES.get(method, "method"), seeds=seeds)
            bounds = {} if half is None else {"ci_low": value - half, "ci_high": value + half}
            scores = [ScoreRecord(metric=m.name, value=value, n=6, **bounds) for m in METRICS]
            key = f"{len(planned):016x}"
            notes = [f"WARNING {weak}"] if weak else []
            store.save(trial_record(key, spec, n_cells=6, scores=scores, problem_notes=notes), [])
            solution = pd.DataFrame({"donor": list(donors[split])}, index=[f"c{i}" for i in range(len(donors[split]))])
            cells = Cells(sparse.csr_matrix((len(solution), 1)), solution, pd.DataFrame(index=["g"]))
            store.save_problem(spec.problem, Problem(Inputs(cells), solution))
            planned.append(PlannedTrial(key=key, track=on, dataset="d", method=method, seeds=seeds))
        for i in range(lacking):
            planned.append(
                PlannedTrial(key=f"f{i:015x}", track=track, dataset="d", method="late", seeds=Seeds(split=i))
            )
        names = {t[0] for t in trials} | ({"late"} if lacking else set())
        cards = [method_card(n, role=ROLES.get(n, "method")) for n in names]
        data = DataCard(
            name="d", summary="", digest="d", fields=["donor"] if n_donors else [], truth=truth, n_cells=60, n_genes=1,
            n_donors=n_donors, source="", accession="", licence="", organism="", tissue="", caveat="",
            expected_doublet_rate=None, weak_labels=weak,
        )  # fmt: skip
        save_request(store, task_card("t", TRACKS, METRICS), cards, planned, datasets=[data])
        return load(store.root)

    return made


def cell(run: Run, label: str = "m") -> pd.Series:
    frame = tables.cells(run)
    return frame[(frame["label"] == label) & (frame["metric"] == "auprc")].iloc[0]


def test_one_trial_keeps_its_own_interval(make: Callable[..., Run]) -> None:
    found = cell(make([("m", 0, 0, 0.6, 0.1)], {0: "abc"}))
    assert found[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([0.6, 0.5, 0.7])
    assert found[["interval", "trials", "splits"]].tolist() == ["one", 1, 1]


def test_splits_that_test_the_same_donors_are_one(make: Callable[..., Run]) -> None:
    trials = [("m", 0, 0, 0.2, 0.1), ("m", 1, 0, 0.8, 0.1), ("m", 2, 0, 0.4, 0.1)]
    found = cell(make(trials, {0: "abc", 1: "xyz", 2: "cba"}))
    assert found["value"] == pytest.approx((np.mean([0.2, 0.4]) + 0.8) / 2)
    assert found[["splits", "trials"]].tolist() == [2, 3]
    # of two splits there is no interval, and both values are told
    assert found["interval"] == ""
    assert found[["ci_low", "ci_high"]].isna().all()
    assert found[["low", "high"]].tolist() == pytest.approx([0.3, 0.8])


def test_the_interval_over_splits_is_students_with_the_correction(make: Callable[..., Run]) -> None:
    values = [0.50, 0.62, 0.55, 0.71]
    trials = [("m", k, s, v + d, 0.01) for k, v in enumerate(values) for s, d in ((0, -0.02), (1, 0.02))]
    found = cell(make(trials, {0: "abc", 1: "bcd", 2: "efg", 3: "ghi"}))
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) * np.sqrt(1 / 4 + 3 / 7)
    assert found["value"] == pytest.approx(np.mean(values))
    assert found[["ci_low", "ci_high"]].tolist() == pytest.approx([np.mean(values) - half, np.mean(values) + half])
    assert found[["interval", "splits", "trials"]].tolist() == ["splits", 4, 8]
    # the mean of the trials' intervals would be 0.02 wide
    assert found["ci_high"] - found["ci_low"] > 0.3


def test_an_interval_stays_in_the_range_of_the_metric(make: Callable[..., Run]) -> None:
    trials = [("m", k, 0, v, 0.01) for k, v in enumerate([0.9, 1.0, 0.7])]
    assert cell(make(trials, {0: "a", 1: "b", 2: "c"}))["ci_high"] == 1.0


def test_seeds_on_the_same_donors_add_their_own_chance(make: Callable[..., Run]) -> None:
    seeds = [0.50, 0.56, 0.62, 0.58]
    found = cell(make([("m", 0, i, v, 0.1) for i, v in enumerate(seeds)], {0: "abc"}))
    assert (found["interval"], found["splits"]) == ("trials", 1)
    assert found["ci_high"] - found["value"] > np.hypot(0.1, 1.96 * np.std(seeds, ddof=1) / 2)
    same = cell(make([("m", 0, i, 0.5, 0.1) for i in range(4)], {0: "abc"}))
    assert same[["ci_low", "ci_high"]].tolist() == pytest.approx([0.4, 0.6])


def test_cells_without_known_donors_are_one_split(make: Callable[..., Run]) -> None:
    run = make([("m", k, 0, 0.5 + k / 10, 0.1) for k in range(3)], {0: "lll", 1: "lll", 2: "lll"}, n_donors=None)
    assert cell(run)[["splits", "trials", "interval"]].tolist() == [1, 3, "trials"]
    assert caveats.rests_on(run, "t", "plain", "d") == "cells whose donors are not told apart"


def test_donors_that_the_run_folder_lost_are_not_said_to_be_untold_by_the_data(make: Callable[..., Run]) -> None:
    folder = make([("m", 0, 0, 0.6, 0.1), ("n", 0, 0, 0.5, 0.1)], {0: "abc"}).folder
    shutil.rmtree(folder / "problems")
    run = load(folder)
    assert caveats.rests_on(run, "t", "plain", "d") == "donors that the run folder does not tell"
    words = "It rests on donors that the run folder does not tell."
    assert words in summary.verdict(run, run.tasks["t"], leaders(run, run.tasks["t"]))


def test_a_pair_without_a_finished_trial_rests_on_nothing_yet(make: Callable[..., Run]) -> None:
    assert caveats.rests_on(make([], {}, lacking=2), "t", "plain", "d") == ""


def test_a_method_that_lacks_a_split_neither_leads_nor_is_ranked_before_one_that_has_all(
    make: Callable[..., Run],
) -> None:
    trials = [("m", k, 0, v, 0.01) for k, v in enumerate([0.5, 0.5, 0.4])] + [("lucky", 0, 0, 0.9, 0.01)]
    run = make(trials, {0: "abc", 1: "bcd", 2: "efg"})
    [leader] = leaders(run, run.tasks["t"])
    assert (leader.best, leader.alone, leader.how) == ("m", True, "over 3 splits")
    policies = ranking(run, run.tasks["t"]).policies
    worst = policies[(policies["policy"] == "worst") & (policies["metric"] == "auprc")].set_index("method")
    assert worst["mean_rank"].to_dict() == {"m": 1, "lucky": 2}


TWO = [("m", 0, 0, 0.6, 0.1), ("n", 0, 0, 0.5, 0.1), ("depth", 0, 0, 0.2, None)]


@pytest.mark.parametrize(
    ("trials", "fields", "why"),
    [
        (TWO, {}, None),
        (TWO, {"lacking": 2}, "unfinished: 2 of 5 planned trials have no record yet"),
        (TWO, {"lacking": 1}, "unfinished: 1 of 4 planned trials has no record yet"),
        (TWO, {"track": "round"}, "its truth is circular"),
        (
            [*TWO, ("truth", 0, 0, 0.5, None), ("coin", 0, 0, 0.5, None)],
            {},
            "nothing can be told: truth, the perfect control (0.500), does no better than coin, the random one (0.500)",
        ),
        ([*TWO, ("truth", 0, 0, 0.9, None), ("coin", 0, 0, 0.5, None)], {}, None),
        ([*TWO, ("truth", 0, 0, 0.9, 0.1), ("coin", 0, 0, 0.5, 0.1)], {}, None),
        (
            [*TWO, ("truth", 0, 0, 0.6, 0.1), ("coin", 0, 0, 0.5, 0.1)],
            {},
            "nothing can be told: truth, the perfect control (0.600 [0.500, 0.700]), cannot be told from coin, the "
            "random one (0.500 [0.400, 0.600])",
        ),
    ],
)
def test_what_may_not_be_compared_is_in_no_verdict_and_no_rank(
    make: Callable[..., Run], trials: list[Trial], fields: dict, why: str | None
) -> None:
    run = make(trials, {0: "abc"}, **fields)
    card, track = run.tasks["t"], fields.get("track", "plain")
    found = leaders(run, card)
    text = summary.verdict(run, card, found)
    ranks = ranking(run, card)
    if why is None:
        assert standing.not_compared(run, card) == {}
        assert [leader.best for leader in found] == ["m"]
        assert "Not compared" not in text
        assert set(ranks.policies["method"]) == {"m", "n"}
    else:
        assert standing.not_compared(run, card) == {(track, "d"): why}
        assert not found
        assert f"Not compared: {track} on d ({why})." in text
        assert "No method can be called best." in text
        assert ranks.policies.empty
        assert ranks.within.empty


@pytest.mark.parametrize(("n_there", "counts"), [(1, False), (2, True), (4, True)])
def test_a_track_on_which_few_of_the_methods_were_run_is_unfinished(
    make: Callable[..., Run], n_there: int, counts: bool
) -> None:
    everywhere = [(f"m{i}", 0, 0, 0.5 + i / 100, 0.1) for i in range(4)]
    there = [(f"m{i}", 0, 0, 0.9, 0.1, "other") for i in range(n_there)] + [("depth", 0, 0, 0.2, None, "other")]
    run = make([*everywhere, *there], {0: "abc"})
    card = run.tasks["t"]
    found = leaders(run, card)
    assert {leader.track for leader in found} == ({"plain", "other"} if counts else {"plain"})
    assert set(ranking(run, card).policies["track"]) == {leader.track for leader in found}
    text = summary.verdict(run, card, found)
    assert ("Not compared: other on d (unfinished: 1 of 4 methods was run)." in text) is not counts
    if not counts:
        assert text.startswith("By AUPRC, m3 leads with 0.530 [0.430, 0.630], 0.010 ahead of m2; 3 of 3 other methods")


@pytest.mark.parametrize(("trap", "near"), [(0.45, False), (0.5, True), (0.55, True), (0.6, False)])
def test_a_trap_within_the_interval_of_the_best_is_told(make: Callable[..., Run], trap: float, near: bool) -> None:
    run = make([("m", 0, 0, 0.6, 0.1), ("depth", 0, 0, trap, None)], {0: "abc"})
    [leader] = leaders(run, run.tasks["t"])
    assert leader.interval == "[0.500, 0.700]"
    assert leader.near_trap is near
    assert leader.beaten == (trap == 0.6)


def test_a_trap_above_the_lower_is_better_interval(make: Callable[..., Run]) -> None:
    run = make([("m", 0, 0, 0.4, 0.1), ("depth", 0, 0, 0.45, None)], {0: "abc"})
    card = run.tasks["t"]
    metrics = [replace(metric, higher_is_better=False) for metric in card.metrics]
    [leader] = leaders(run, card.model_copy(update={"metrics": metrics}))
    assert leader.near_trap


def test_notes_on_a_problem_keep_their_order(make: Callable[..., Run]) -> None:
    run = make([("m", 1, 0, 0.6, 0.1), ("m", 0, 0, 0.6, 0.1)], {0: "abc", 1: "def"})
    told = {0: ["tested: a", "of these, for validation: b"], 1: ["tested: d", "of these, for validation: b"]}
    records = [r.model_copy(update={"problem_notes": told[r.spec.seeds.split]}) for r in run.trials.values()]
    notes = [note for _, _, note in html._problem_notes(records)]
    assert notes == ["tested: a", "of these, for validation: b", "tested: d"]


def test_no_method_is_best_where_a_trap_is_better(make: Callable[..., Run]) -> None:
    run = make([*TWO, ("depth", 0, 1, 1.0, None)], {0: "abc"})  # the mean of the trap's trials is 0.6
    [leader] = leaders(run, run.tasks["t"])
    assert leader.beaten
    text = summary.verdict(run, run.tasks["t"], [leader])
    assert "no method beats the trivial baseline depth 0.600: the nearest, m, has 0.600 [0.500, 0.700]." in text
    assert "best" not in text
    assert "leads" not in text


def test_without_intervals_nothing_is_told_apart(make: Callable[..., Run]) -> None:
    run = make([("m", 0, 0, 0.6, None), ("n", 0, 0, 0.5, None)], {0: "abc"})
    within = ranking(run, run.tasks["t"]).within
    assert within["tie_group"].isna().all()
    assert within[within["metric"] == "auprc"].set_index("method")["place"].to_dict() == {"m": 1, "n": 2}


@pytest.mark.parametrize(
    ("donors", "words"),
    [
        ({0: "aaa"}, "1 tested donor"),
        ({0: "aab"}, "2 tested donors"),
        ({0: "ab", 1: "bc"}, "3 tested donors in 2 splits"),
        ({0: "abcdefghij"}, "10 donors"),
    ],
)
def test_the_headline_says_how_many_donors_it_rests_on(make: Callable[..., Run], donors: dict, words: str) -> None:
    run = make([(m, k, 0, v, 0.1) for k in donors for m, v in (("m", 0.6), ("n", 0.5))], donors)
    assert caveats.rests_on(run, "t", "plain", "d") == words
    found = leaders(run, run.tasks["t"])
    assert f"It rests on {words}." in summary.verdict(run, run.tasks["t"], found)


def test_weak_labels_stand_in_the_headline_and_in_a_box(make: Callable[..., Run]) -> None:
    run = make(TWO, {0: "abc"}, weak="derived labels (weak): derived_type")
    found = leaders(run, run.tasks["t"])
    text = summary.verdict(run, run.tasks["t"], found)
    assert "The labels of d are weak: not the authors' own." in text
    why = "the labels are not the authors': derived labels (weak): derived_type"
    assert caveats.flags(run, run.tasks["t"], "plain", "d") == [("3 tested donors", ""), ("weak labels", why)]
    assert ("d", "the labels are not the authors': derived labels (weak): derived_type") in caveats.caveats(
        run, run.tasks["t"]
    )


@pytest.mark.parametrize(("truth", "said"), [("generative", "of a simulator"), ("experimental", "of a hashing")])
def test_a_caveat_is_told_where_it_holds(make: Callable[..., Run], truth: str, said: str) -> None:
    run = make(TWO, {0: "abc"}, truth=truth)
    card = run.tasks["t"]
    track = replace(
        card.tracks["plain"], caveat="always", caveat_measured="of a hashing", caveat_simulated="of a simulator"
    )
    card = card.model_copy(update={"tracks": {"plain": track}})
    assert caveats.caveats(run, card) == [("plain", "always"), ("plain", said)]
