"""The donors each trial was tested on: splits that test the same donors are one, whatever their seeds."""

from __future__ import annotations

from collections.abc import Iterable

from bench.results.records import DataCard, TrialRecord
from bench.results.store import Store

#: Task, track and dataset.
Pair = tuple[str, str, str]
#: Number of the split (0, 1, ...) -> its tested donors; empty where the run folder does not tell them.
Splits = dict[int, frozenset[str]]


def of_records(store: Store, records: Iterable[TrialRecord]) -> tuple[dict[Pair, Splits], dict[str, int]]:
    """The different splits of each pair, and the split of each finished trial by key.

    Donors are those of the kept solutions. Trials of one split seed are of one split; where a solution is not kept, or
    has no donors, every split seed counts as a split.
    """
    problems: dict[Pair, dict[int, str]] = {}
    finished = sorted(
        (r for r in records if r.status == "ok"), key=lambda r: (r.spec.seeds.split, r.spec.seeds.simulation)
    )
    for record in finished:
        spec = record.spec
        problems.setdefault((spec.task, spec.track, spec.dataset), {}).setdefault(spec.seeds.split, spec.problem)
    splits: dict[Pair, Splits] = {}
    numbers: dict[tuple[Pair, int], int] = {}
    for pair, by_seed in problems.items():
        number_of: dict[object, int] = {}
        for seed, problem in by_seed.items():
            donors = store.tested_donors(problem)
            number = number_of.setdefault(donors or seed, len(number_of))
            splits.setdefault(pair, {}).setdefault(number, donors)
            numbers[pair, seed] = number
    of_trial = {r.key: numbers[(r.spec.task, r.spec.track, r.spec.dataset), r.spec.seeds.split] for r in finished}
    return splits, of_trial


def tested(splits: Splits) -> frozenset[str]:
    """All donors that some split tests."""
    return frozenset().union(*splits.values())


def tested_to_trained(splits: Splits, card: DataCard | None) -> float | None:
    """Tested donors of a split divided by the others, mean over splits; None where donors are not known."""
    if card is None or card.n_donors is None or not all(splits.values()):
        return None
    n = sum(map(len, splits.values())) / len(splits)
    return n / (card.n_donors - n) if n < card.n_donors else None
