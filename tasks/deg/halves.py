"""The donors in two halves that share nobody, and permutations of the condition within each."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.errors import NotApplicableError
from bench.seeds import derive_seed
from bench.tasks._shared.donors import donor_column, nth_set
from bench.tasks.deg.arms import arms_of
from bench.tasks.deg.design import (
    DRAWS,
    NULL_CELLS,
    NULL_DONORS,
    by_arms,
    few_pairs,
    mirrored,
    packed,
    permuted_samples,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bench.dataset import Dataset
    from bench.problem import Notes

#: Column of inputs and solution with the half of each cell, and its values.
HALF, HALVES = "half", ("1", "2")
#: Permutations of the condition that make the floor.
N_FLOOR = 20


def donor_halves(obs: pd.DataFrame, digest: str) -> Iterator[frozenset[str]]:
    """The donors of the first half, of every way to halve them, in an order that ``digest`` decides.

    Donors of the same conditions are halved among themselves, so that a donor with two conditions stays whole; of odd
    numbers the first half gets one more, then the second, and so on. Which condition is which makes no difference.
    """
    groups = _by_conditions(obs)
    more = itertools.cycle((1, 0))
    sizes = [len(group) // 2 + (len(group) % 2 and next(more)) for group in groups]
    possible = math.prod(math.comb(len(group), k) for group, k in zip(groups, sizes, strict=True))
    if not any(len(group) % 2 for group in groups):
        possible //= 2  # the two halves may change their names
    everyone, found = frozenset(itertools.chain.from_iterable(groups)), set[frozenset[str]]()
    for draw in itertools.count():
        rng = np.random.default_rng(derive_seed("deg/halves", digest, draw))
        first = frozenset[str]().union(
            *(rng.permutation(np.array(group, dtype=object))[:k] for group, k in zip(groups, sizes, strict=True))
        )
        if first not in found and everyone - first not in found:
            yield first
            found.add(first)
        if len(found) >= possible:
            return


def _by_conditions(obs: pd.DataFrame) -> list[list[str]]:
    """Donors by the set of their conditions, in the order of their names."""
    pairs = pd.DataFrame({"donor": donor_column(obs), "condition": obs["condition"].astype(str)}).drop_duplicates()
    conditions = pairs.groupby("donor")["condition"].agg(lambda names: "\t".join(sorted(names)))
    return sorted(sorted(donors) for donors in conditions.groupby(conditions).groups.values())


def half_of(dataset: Dataset, split: int) -> pd.Series:
    """Half of every cell (:data:`HALVES`) in a split."""
    first = nth_set(donor_halves(dataset.adata.obs, dataset.card.digest), split)
    return donor_column(dataset.adata.obs).isin(first).map({True: HALVES[0], False: HALVES[1]}).rename(HALF)


def refuse(solution: pd.DataFrame) -> None:
    """Refuse donors who cannot be halved.

    Raises
    ------
    bench.errors.NotApplicableError
        If the design has too few pairs, or a half lacks an arm.
    """
    tested = solution[solution["cell_type"] != ""]
    donors = by_arms(tested["donor"].to_numpy(), (tested["arm"] == "case").to_numpy())
    if reason := few_pairs(donors):
        raise NotApplicableError(f"{reason}: each half takes two, whose arms can be exchanged")
    n = tested.groupby([HALF, "arm"])["donor"].nunique().unstack(fill_value=0)
    if n.shape != (2, 2) or (n.to_numpy() < 1).any():
        counts = f"{len(donors['case'])} case donors, {len(donors['control'])} control donors"
        both = f", {len(donors['both'])} with both" if donors["both"] else ""
        raise NotApplicableError(f"{counts}{both}: two halves that share nobody take two of each arm")


def drawn(solution: pd.DataFrame, seed: tuple[str | int, ...]) -> dict[str, list[bytes]]:
    """Columns of the solution: the halves as two draws, no permutation of cells, permutations within the halves."""
    halves = np.array([(solution[HALF] == half) & (solution["cell_type"] != "") for half in HALVES])
    null = pd.Series([b""] * len(solution), dtype=object)
    for name, rows in sorted(solution.groupby("cell_type").indices.items()):
        if name:
            part = solution.iloc[rows]
            keys = pd.MultiIndex.from_arrays([part["donor"], part["arm"] == "case"])
            sample, samples = pd.factorize(keys, sort=True)
            first = np.unique(sample, return_index=True)[1]
            labels = _floor_labels(
                samples.get_level_values(0).to_numpy(object),
                samples.get_level_values(1).to_numpy(bool),
                (part[HALF] == HALVES[0]).to_numpy()[first],
                (*seed, name),
            )
            null.iloc[rows] = packed(labels[:, sample])
    nothing = packed(np.zeros((0, len(solution)), np.uint8))
    return {DRAWS: packed(halves.astype(np.uint8)), NULL_CELLS: nothing, NULL_DONORS: null.tolist()}


def _floor_labels(
    donor: NDArray[np.object_], case: NDArray[np.bool_], first: NDArray[np.bool_], seed: tuple[str | int, ...]
) -> NDArray[np.uint8]:
    """(permutations, samples): labels permuted within each half, and which arm is the case in one exchanged or not.

    Where a half has one donor an arm its labels stay, and the other's are permuted; where both have, the arms of one
    are exchanged, after which halves agree by chance alone, too.
    """
    ways = []
    for half in (first, ~first):
        permuted = permuted_samples(case[half], (*seed, "half", int(half[0])), donor[half])
        ways.append([*permuted] if len(permuted) else [case[half].astype(np.uint8)])
    is_true = [
        len(way) == 1 and bool((way[0] == case[half]).all()) for way, half in zip(ways, (first, ~first), strict=True)
    ]
    turned = (True,) if all(is_true) else (False, True)
    combinations = list(itertools.product(*ways, turned))
    rng = np.random.default_rng(derive_seed("deg/floor", *seed))
    chosen = rng.permutation(len(combinations))[:N_FLOOR].tolist()  # in a random order: some take the first few
    labels = np.zeros((len(chosen), len(case)), np.uint8)
    for row, k in zip(labels, chosen, strict=True):
        a, b, turn = combinations[k]
        row[first], row[~first] = a, mirrored(b) if turn else b
    return labels


def exchanged(dataset: Dataset, notes: Notes) -> pd.Series:
    """The condition of every cell with the two arms exchanged: halves stay as they are."""
    arms = arms_of(dataset, notes)
    return dataset.adata.obs["condition"].astype(object).replace({arms.case: arms.control, arms.control: arms.case})
