"""The donors that are tested: one split for every task, so that what is held out in one is held out in all."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.dataset import few_counts
from bench.errors import NotApplicableError
from bench.normalise import totals
from bench.problem import Notes
from bench.seeds import derive_seed
from bench.words import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from scipy import sparse

    from bench.dataset import Dataset

#: Donor of every cell of a dataset that does not tell donors apart.
LIBRARY = "library"

#: Smaller libraries are not tested where larger ones are there: most doublet callers refuse them, and one refusal
#: takes the whole trial.
MIN_TESTED = 50

_TEST_SHARE = 0.3
#: Named after the first task that had it; another name would change every split.
_SEED = "doublet/split"


def donors_of(dataset: Dataset) -> pd.Series:
    """Donor of every cell, as text."""
    return donor_column(dataset.adata.obs)


def donor_column(obs: pd.DataFrame) -> pd.Series:
    """Donor of every cell of a table, as text."""
    if "donor" not in obs:
        return pd.Series(LIBRARY, index=obs.index, dtype=object, name="donor")
    return obs["donor"].astype(str).astype(object)


def donors_to_test(dataset: Dataset, split: int) -> frozenset[str]:
    """Donors whose cells are tested in split 0, 1, 2, ... (:func:`held_out_sets`).

    Raises
    ------
    bench.errors.NotApplicableError
        If there are no ``split + 1`` different sets of donors.
    """
    return nth_set(held_out_sets(dataset.adata.obs, dataset.card.digest), split)


def nth_set(sets: Iterable[frozenset[str]], split: int) -> frozenset[str]:
    """The set of a split seed; a seed beyond the last would repeat one, and two of the same would count as two."""
    n = -1
    for n, tested in enumerate(sets):
        if n == split:
            return tested
    raise NotApplicableError(
        f"there {'is' if n == 0 else 'are'} {count(n + 1, 'different set')} of donors to test: split seed {split} "
        "would repeat one",
        fix=f"run with --split-seeds {n + 1}",
    )


def held_out_sets(obs: pd.DataFrame, digest: str) -> Iterator[frozenset[str]]:
    """Every set of donors that a split may test, once each, in an order that ``digest`` decides.

    About 30 % of donors, each arm with two donors or more represented on both sides. A single donor (or none told
    apart) is tested whole, with nothing to train on. The sets depend on the dataset only, so all tracks of a dataset
    test the same donors.
    """
    donor = donor_column(obs)
    names = sorted(set(donor.unique()) - too_small(donor)) or sorted(donor.unique())
    if len(names) < 2:
        yield frozenset(names)
        return
    arms = _arms(obs, donor).loc[names]
    members = [np.array(sorted(arm), dtype=object) for _, arm in sorted(arms.groupby(arms).groups.items())]
    n_tested = max(round(_TEST_SHARE * donor.nunique()), sum(len(arm) > 1 for arm in members))
    n_tested = min(max(n_tested, 1), len(names) - 1)
    given_before: set[frozenset[str]] = set()
    possible = _n_sets([len(arm) for arm in members], n_tested)
    for draw in itertools.count():
        tested = _drawn(members, n_tested, np.random.default_rng(derive_seed(_SEED, digest, draw)))
        if tested not in given_before:
            yield tested
            given_before.add(tested)
        if len(given_before) == possible:
            return


def _places(size: int) -> list[float]:
    """Positions of an arm's donors: taking the smallest over all arms stratifies the split."""
    return [(i + 0.5) / size for i in range(size)]


def _drawn(arms: list[NDArray[np.object_]], n_tested: int, rng: np.random.Generator) -> frozenset[str]:
    place: dict[str, tuple[float, float]] = {}
    for arm in arms:
        for name, position in zip(rng.permutation(arm), _places(len(arm)), strict=True):
            place[name] = (position, rng.random())
    return frozenset(sorted(sorted(place), key=lambda name: place[name])[:n_tested])


def _n_sets(sizes: list[int], n_tested: int) -> int:
    """Count the different sets that :func:`_drawn` can give, of arms with these numbers of donors."""
    last = sorted(itertools.chain.from_iterable(map(_places, sizes)))[n_tested - 1]
    sure = [sum(place < last for place in _places(size)) for size in sizes]
    tied = [i for i, size in enumerate(sizes) if last in _places(size)]
    return sum(
        math.prod(math.comb(size, n + (i in more)) for i, (size, n) in enumerate(zip(sizes, sure, strict=True)))
        for more in itertools.combinations(tied, n_tested - sum(sure))
    )


def too_small(donor: pd.Series) -> set[str]:
    """Donors with fewer than :data:`MIN_TESTED` cells."""
    size = donor.value_counts()
    return set(size.index[size < MIN_TESTED])


def _arms(obs: pd.DataFrame, donor: pd.Series) -> pd.Series:
    """Condition of every donor (conditions joined where a donor has several), indexed by donor."""
    if "condition" not in obs:
        return pd.Series("", index=sorted(donor.unique()))
    condition = obs["condition"].astype(str)
    return condition.groupby(donor.to_numpy()).agg(lambda values: "+".join(sorted(set(values))))


def usable_cells(dataset: Dataset, notes: Notes) -> NDArray[np.bool_]:
    """Cells that may be used at all; ``notes`` are told of the others, and of cells with hardly any counts."""
    obs = dataset.adata.obs
    excluded = obs["exclude"].to_numpy(dtype=bool) if "exclude" in obs else np.zeros(len(obs), dtype=bool)
    if excluded.any():
        notes.append(f"left out: {count(int(excluded.sum()), 'cell')} marked `exclude` in the dataset")
    if shallow := few_counts(totals(dataset.adata.X)[~excluded], dataset.adata.n_vars):
        notes.append(shallow)
    return ~excluded


def take_rows(X: sparse.csr_matrix, rows: NDArray[np.bool_]) -> sparse.csr_matrix:
    """Chosen rows, without a copy of the counts where all are chosen."""
    return X if rows.all() else X[rows]
