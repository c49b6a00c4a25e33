"""Each metric of mixing, computed again with numpy alone; small batches and rare types are set aside and named."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaincc

from bench.tasks.integration import mixing

pytest.importorskip("scib_metrics")
pytestmark = pytest.mark.slow  # scib-metrics loads jax, which compiles for every number of cells


@pytest.fixture(scope="module")
def cells():
    """Two types in two batches that lie a little apart, one twice as large; x, type and batch."""
    rng = np.random.default_rng(0)
    kind, batch = np.repeat([0, 1], [100, 140]), rng.random(240) < 0.45
    X = rng.normal(size=(240, 4)) + 3 * kind[:, None] + 0.8 * batch[:, None]
    return X.astype(np.float32), np.array(["a", "b"], object)[kind], np.where(batch, "one", "two").astype(object)


@pytest.fixture(scope="module")
def rows(cells):
    X, kind, batch = cells
    return {s.metric: s for s in mixing.mixing(X, pd.Series(kind), pd.Series(batch, name="donor"))}


def neighbours(X, k):
    distance = np.sqrt(((X[:, None].astype(float) - X[None]) ** 2).sum(axis=2))
    index = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distance, index, axis=1), index


def lisi(X, labels, k):
    """Inverse Simpson index of the labels, neighbours weighted as in t-SNE (Korsunsky et al. 2019)."""
    found = []
    for cell, (distance, index) in enumerate(zip(*neighbours(X, k), strict=True)):
        others = index != cell
        low, high = 0.0, 1e4
        for _ in range(200):
            beta = (low + high) / 2
            p = np.exp(-(distance[others] - distance[others].min()) * beta)
            p /= p.sum()
            entropy = -(p * np.log(np.maximum(p, 1e-300))).sum()
            low, high = (beta, high) if entropy > np.log(k // 3) else (low, beta)
        near = labels[index[others]]
        found.append(1 / sum(p[near == name].sum() ** 2 for name in set(labels)))
    return np.array(found)


def test_ilisi_and_clisi_again(cells, rows):
    X, kind, batch = cells
    assert rows["ilisi"].value == pytest.approx(np.median(lisi(X, batch, 90)) - 1, abs=2e-3)
    assert rows["clisi"].value == pytest.approx(2 - np.median(lisi(X, kind, 90)), abs=2e-3)


def test_cilisi_again(cells, rows):
    X, kind, batch = cells
    by_cell = np.concatenate([lisi(X[kind == name], batch[kind == name], 90) - 1 for name in "ab"])
    assert rows["cilisi"].value == pytest.approx(by_cell.mean(), abs=2e-3)


def test_kbet_per_label_again(cells, rows):
    X, kind, batch = cells
    accepted = []
    for name in "ab":
        mine = kind == name
        share = (batch[mine] == "one").mean()
        k = max(10, mine.sum() // 2 // 4) + 1
        ones = (batch[mine][neighbours(X[mine], k)[1]] == "one").sum(axis=1)
        chi2 = (ones - k * share) ** 2 / (k * share) + (k - ones - k * (1 - share)) ** 2 / (k * (1 - share))
        accepted.append((gammaincc(0.5, chi2 / 2) >= 0.05).mean())
    assert rows["kbet_per_label"].value == pytest.approx(np.mean(accepted), abs=1e-6)
    assert 0 < rows["kbet_per_label"].value < 1


def test_bras_again(cells, rows):
    X, kind, batch = cells
    by_type = []
    for name in "ab":
        points, of = X[kind == name].astype(float), batch[kind == name]
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        distance, same = 1 - points @ points.T, of[:, None] == of
        own = (distance * same).sum(axis=1) / (same.sum(axis=1) - 1)
        other = (distance * ~same).sum(axis=1) / (~same).sum(axis=1)
        by_type.append((1 - np.abs((other - own) / np.maximum(own, other))).mean())
    assert rows["bras"].value == pytest.approx(np.mean(by_type), abs=1e-4)


def test_graph_connectivity_again(cells, rows):
    X, kind, _ = cells
    graph = np.zeros((len(X), len(X)))
    np.put_along_axis(graph, neighbours(X, 90)[1], 1, axis=1)
    shares = []
    for name in "ab":
        _, part = connected_components(graph[np.ix_(kind == name, kind == name)], connection="strong")
        shares.append(np.bincount(part).max() / len(part))
    assert rows["graph_connectivity"].value == pytest.approx(np.mean(shares))


def test_one_cell_of_a_third_batch_halves_ilisi_and_is_set_aside(cells, rows):
    """The fact that the minimum is there for, and the minimum: nothing but the cell itself is missing."""
    X, kind, batch = cells
    third = batch.copy()
    third[0] = "three"
    near = mixing.neighbours(X)
    assert mixing.ilisi(near, third) == pytest.approx(mixing.ilisi(near, batch) / 2, rel=0.05)
    found = {s.metric: s for s in mixing.mixing(X, pd.Series(kind), pd.Series(third, name="donor"))}
    for name in ("ilisi", "cilisi", "kbet_per_label", "bras"):
        assert found[name].value == pytest.approx(rows[name].value, abs=0.05)
        assert found[name].n == 239
        assert "2 levels of donor; set aside as too small: three (1 cell)" in found[name].detail
    assert found["ilisi"].detail.endswith("; 90 neighbours")


def test_ilisi_moves_with_the_number_of_neighbours(cells):
    X, _, batch = cells
    few, many = (mixing.ilisi(mixing.neighbours(X, k), batch) for k in (15, 90))
    assert many > few + 0.1


def test_types_without_two_batches_are_named(cells):
    X, kind, batch = cells
    alone = np.where(kind == "b", "two", batch).astype(object)
    found = {s.metric: s for s in mixing.mixing(X, pd.Series(kind), pd.Series(alone, name="batch"))}
    assert "types without 10 cells in two batches: b" in found["cilisi"].detail
    assert found["cilisi"].n == 100
    one = {s.metric: s for s in mixing.mixing(X, pd.Series(kind), pd.Series("x", index=range(240), name="batch"))}
    assert np.isnan(one["ilisi"].value)
    assert one["ilisi"].detail == "all cells are of one batch"
    assert one["graph_connectivity"].value == found["graph_connectivity"].value
