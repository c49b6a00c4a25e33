"""Which donors are tested: one split for every task, so that what is held out in one is held out in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.seeds import derive_seed

if TYPE_CHECKING:
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
    obs = dataset.adata.obs
    if "donor" not in obs:
        return pd.Series(LIBRARY, index=obs.index, dtype=object, name="donor")
    return obs["donor"].astype(str).astype(object)


def donors_to_test(dataset: Dataset, split: int) -> frozenset[str]:
    """Donors whose cells are tested: about 30 %, every arm with two donors or more represented on both sides.

    A single donor (or none told apart) is tested whole, with nothing to train on. The split depends on the dataset and
    the replicate only, so all tracks of a dataset test the same donors.
    """
    donor = donors_of(dataset)
    n_donors = donor.nunique()
    names = sorted(set(donor.unique()) - too_small(donor)) or sorted(donor.unique())
    if len(names) < 2:
        return frozenset(names)
    rng = np.random.default_rng(derive_seed(_SEED, dataset.card.digest, split))
    arm = _arms(dataset, donor).loc[names]
    place: dict[str, tuple[float, float]] = {}
    sizes = []
    for _, members in sorted(arm.groupby(arm).groups.items()):
        shuffled = rng.permutation(np.array(sorted(members), dtype=object))
        sizes.append(len(shuffled))
        # Position within the arm: taking the smallest over all arms stratifies the split.
        place.update({name: ((i + 0.5) / len(shuffled), rng.random()) for i, name in enumerate(shuffled)})
    wanted = max(round(_TEST_SHARE * n_donors), sum(size > 1 for size in sizes))
    wanted = min(max(wanted, 1), len(names) - 1)
    return frozenset(sorted(names, key=lambda name: place[name])[:wanted])


def too_small(donor: pd.Series) -> set[str]:
    """Donors with fewer than :data:`MIN_TESTED` cells."""
    size = donor.value_counts()
    return set(size.index[size < MIN_TESTED])


def _arms(dataset: Dataset, donor: pd.Series) -> pd.Series:
    """Condition of every donor (conditions joined where a donor has several), indexed by donor."""
    if "condition" not in dataset.adata.obs:
        return pd.Series("", index=sorted(donor.unique()))
    condition = dataset.adata.obs["condition"].astype(str)
    return condition.groupby(donor.to_numpy()).agg(lambda values: "+".join(sorted(set(values))))


def kept(dataset: Dataset, notes: list[str]) -> NDArray[np.bool_]:
    """Cells that may be used at all."""
    obs = dataset.adata.obs
    if "exclude" not in obs:
        return np.ones(len(obs), dtype=bool)
    excluded = obs["exclude"].to_numpy(dtype=bool)
    if excluded.any():
        notes.append(f"{excluded.sum()} cells marked `exclude` in the dataset are left out")
    return ~excluded


def take_rows(X: sparse.csr_matrix, rows: NDArray[np.bool_]) -> sparse.csr_matrix:
    """Chosen rows, without a copy of the counts where all are chosen."""
    return X if rows.all() else X[rows]
