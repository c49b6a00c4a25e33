from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from bench.tasks.doublet.simulate import integerise, simulate_doublets

DONOR = np.array(["a"] * 57 + ["b"] * 9 + ["c"] * 120, dtype=object)


def _counts(rate: float = 1.5, seed: int = 0) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.random.default_rng(seed).poisson(rate, size=(len(DONOR), 40)).astype(np.int32))


@pytest.mark.parametrize("mode", ["unrounded", "mean", "sum", "depth"])
def test_one_in_ten_per_donor_from_two_cells_of_the_donor(mode: str) -> None:
    X = _counts()
    made = simulate_doublets(X, DONOR, mode, digest="d", seed=0)  # type: ignore[arg-type]
    assert dict(zip(*np.unique(made.donor.astype(str), return_counts=True), strict=True)) == {"a": 5, "c": 12}
    assert np.all(made.parents[:, 0] != made.parents[:, 1])
    assert np.all(DONOR[made.parents] == made.donor[:, None])
    assert made.X.dtype == (np.float32 if mode == "unrounded" else X.dtype)
    assert isinstance(made.X, sparse.csr_matrix)
    assert made.X.data.min() > 0


@pytest.mark.parametrize("n", [9, 10, 19, 20, 29, 30, 69, 70, 999, 1000])
def test_number_of_doublets_is_the_papers(n: int) -> None:
    X, donor = sparse.csr_matrix(np.ones((n, 2), dtype=np.int32)), np.full(n, "a", dtype=object)
    assert len(simulate_doublets(X, donor, "mean", digest="d", seed=0).donor) == int(0.1 * n)


def test_modes_share_parents_and_obey_their_arithmetic() -> None:
    X = _counts()
    modes = ("unrounded", "mean", "sum", "depth")
    made = {mode: simulate_doublets(X, DONOR, mode, digest="d", seed=3) for mode in modes}
    for mode in ("unrounded", "mean", "depth"):
        np.testing.assert_array_equal(made[mode].parents, made["sum"].parents)
    total = (X[made["sum"].parents[:, 0]] + X[made["sum"].parents[:, 1]]).toarray()
    np.testing.assert_array_equal(made["sum"].X.toarray(), total)
    np.testing.assert_array_equal(made["unrounded"].X.toarray(), total / 2)
    assert np.all(np.isin(made["mean"].X.toarray() - total // 2, [0, 1]))
    even = total % 2 == 0
    np.testing.assert_array_equal(made["mean"].X.toarray()[even], total[even] // 2)
    assert np.all(made["depth"].X.toarray() <= total)


def test_depth_matches_singlets() -> None:
    rng = np.random.default_rng(0)
    donor = np.array(["a"] * 2000, dtype=object)
    X = sparse.csr_matrix(rng.poisson(rng.lognormal(0, 0.3, size=(2000, 1)), size=(2000, 300)))
    depths = {
        mode: np.asarray(simulate_doublets(X, donor, mode, digest="d", seed=0).X.sum(axis=1)).ravel()
        for mode in ("sum", "depth")
    }
    single = np.asarray(X.sum(axis=1)).ravel()
    assert np.median(depths["depth"]) == pytest.approx(np.median(single), rel=0.05)
    assert np.median(depths["sum"]) == pytest.approx(2 * np.median(single), rel=0.1)


def test_random_rounding_is_unbiased_and_leaves_integers_alone() -> None:
    rng = np.random.default_rng(0)
    halves = sparse.csr_matrix(np.full((200, 200), 0.5))
    assert integerise(halves, rng, np.dtype(np.int32)).nnz / 40_000 == pytest.approx(0.5, abs=0.01)
    X = _counts()
    assert (integerise(X, rng, X.dtype) != X).nnz == 0


def test_seed_and_digest_matter_and_zero_is_a_seed() -> None:
    X = _counts()
    parents = [
        simulate_doublets(X, DONOR, "mean", digest=digest, seed=seed).parents.tolist()
        for digest, seed in (("d", 0), ("d", 0), ("d", 1), ("e", 0))
    ]
    assert parents[0] == parents[1]
    assert parents[0] != parents[2]
    assert parents[0] != parents[3]


def test_empty_cells_and_tiny_donors() -> None:
    X = sparse.csr_matrix((30, 5), dtype=np.int32)
    made = simulate_doublets(X, np.array(["a"] * 30, dtype=object), "depth", digest="d", seed=0)
    assert (made.X.shape, made.X.nnz) == ((3, 5), 0)
    made = simulate_doublets(X[:3], np.array(["a"] * 3, dtype=object), "mean", digest="d", seed=0)
    assert made.X.shape == (0, 5)
