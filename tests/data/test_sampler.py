"""The burst sampler against the textbook negative binomial."""

import numpy as np
import pytest
from scipy import stats

from bench.data._sampler import alias_table, sample_droplets


def _draw(means, phi, n, dropout=0.0, seed=0):
    """``n`` droplets with one nucleus of size 1 and the given means; dense counts."""
    rng = np.random.default_rng(seed)
    rate = np.atleast_2d(np.asarray(means, dtype=float))
    probability, alias = alias_table(rate)
    groups = np.tile(np.array([[0, -1]], dtype=np.int32), (n, 1))
    sizes = np.tile([1.0, 0.0], (n, 1))
    n_draws = rng.poisson(sizes * rate.sum())
    none = np.zeros(n, dtype=np.int64)
    data, indices, indptr = sample_droplets(
        groups,
        sizes,
        n_draws,
        none,
        rate,
        np.asarray(phi, dtype=float),
        probability,
        alias,
        probability[0],
        alias[0],
        dropout,
        rng,
    )
    dense = np.zeros((n, rate.shape[1]), dtype=int)
    dense[np.repeat(np.arange(n), np.diff(indptr)), indices] = data
    return dense


def test_counts_follow_the_negative_binomial():
    means, phi = np.array([0.05, 0.7, 3.0, 20.0]), np.array([2.0, 0.5, 1.0, 0.2])
    counts = _draw(means, phi, 20_000)
    for gene, (m, p) in enumerate(zip(means, phi, strict=True)):
        law = stats.nbinom(1 / p, 1 / (1 + p * m))
        top = int(law.ppf(0.99))
        observed = np.bincount(np.minimum(counts[:, gene], top + 1), minlength=top + 2)
        expected = np.append(law.pmf(np.arange(top + 1)), law.sf(top)) * len(counts)
        keep = expected > 5
        observed, expected = observed[keep], expected[keep]
        assert len(observed) >= 3
        assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-4


def test_genes_are_independent():
    counts = _draw([1.0, 2.0, 4.0], [0.5, 0.5, 0.5], 20_000)
    correlation = np.corrcoef(counts.T)
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.03


def test_no_overdispersion_is_poisson():
    counts = _draw([3.0], [0.0], 20_000)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.05)


def test_dropout_falls_with_the_mean():
    means, dropout = np.array([0.1, 5.0]), 0.6
    lost = 1 - (_draw(means, [0.3, 0.3], 40_000, dropout) > 0).mean(0) / (_draw(means, [0.3, 0.3], 40_000) > 0).mean(0)
    np.testing.assert_allclose(lost, dropout / (1 + means), atol=0.04)


def test_alias_table_reproduces_its_weights():
    weights = np.array([[0.0, 1.0, 2.0, 5.0], [1.0, 1.0, 1.0, 1.0]])
    probability, alias = alias_table(weights)
    implied = probability.astype(float)
    for row in range(2):
        for i in range(4):
            implied[row, alias[row, i]] += 1 - probability[row, i] if alias[row, i] != i else 0.0
    np.testing.assert_allclose(implied / 4, weights / weights.sum(axis=1, keepdims=True), atol=1e-6)
