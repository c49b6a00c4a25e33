"""The neighbour kernels against sorting every distance."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from bench.methods._ports import pann


def artificial_by_sorting(points, n_real, k):
    counts = []
    for i in range(n_real):
        squared = ((points[i] - points) ** 2).sum(axis=1)
        counts.append((np.argsort(squared, kind="stable")[1 : k + 1] >= n_real).sum())
    return np.array(counts)


def cloud(n, dims, kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "grid":  # many equal distances and duplicates, exact in floating point
        return rng.integers(-1, 2, size=(n, dims)).astype(float) * (np.arange(dims) < 4)
    if kind == "one point":
        return np.ones((n, dims))
    centres = rng.normal(scale=6, size=(4, dims))
    return centres[rng.integers(4, size=n)] + rng.normal(size=(n, dims))


@pytest.fixture
def small_brackets(monkeypatch):
    """Make the bracketed kernel run on clouds of a few hundred points."""
    monkeypatch.setattr(pann, "_SELECT_UP_TO", 100)


@pytest.mark.parametrize("kind", ["clusters", "grid", "one point"])
@pytest.mark.parametrize(("n", "n_real", "dims"), [(2, 1, 1), (7, 5, 2), (301, 301, 5), (400, 299, 10), (1500, 1, 11)])
def test_counts_equal_sorting(kind, n, n_real, dims):
    points = cloud(n, dims, kind)
    ks = np.unique([1, 2, n // 20, n // 3, n - 1])
    ks = ks[(ks >= 1) & (ks < n)]
    each = pann.count_artificial_each(points, n_real, ks)
    for column, k in enumerate(ks):
        expected = artificial_by_sorting(points, n_real, k)
        np.testing.assert_array_equal(pann.count_artificial(points, n_real, k), expected)
        np.testing.assert_array_equal(each[:, column], expected)


@pytest.mark.parametrize("kind", ["clusters", "grid", "one point"])
@pytest.mark.parametrize(("n", "n_real", "dims"), [(301, 301, 5), (900, 700, 10), (2600, 1030, 12), (2049, 1, 3)])
def test_bracketed_counts_equal_sorting(kind, n, n_real, dims, small_brackets):
    points = cloud(n, dims, kind)
    for k in (1, 3, n // 20, n // 3, n - 2, n - 1):
        expected = artificial_by_sorting(points, n_real, k)
        np.testing.assert_array_equal(pann.count_artificial(points, n_real, k), expected)


def test_a_bracket_that_always_misses_gives_the_same_counts(small_brackets, monkeypatch):
    points = cloud(800, 10, "clusters")
    monkeypatch.setattr(pann, "_bracket", lambda n, n_sample, rank: (0, 1, 5))
    np.testing.assert_array_equal(pann.count_artificial(points, 500, 300), artificial_by_sorting(points, 500, 300))


def test_progress_reaches_the_end(small_brackets):
    seen = []
    pann.count_artificial(cloud(600, 4, "clusters"), 400, 20, seen.append)
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


def test_nothing_of_cells_by_cells_is_allocated():
    n = 20_000
    points = cloud(n, 3, "clusters")
    pann.count_artificial(points, 10, 100)
    tracemalloc.start()
    pann.count_artificial(points, n // 8, 500)
    pann.count_artificial_each(points, n // 64, np.array([5, 500]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # n * n bytes would be 400 MB
