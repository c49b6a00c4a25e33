from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from bench.dataset import Dataset, DatasetCard


def _dataset(
    cells_per_donor: dict[str, int],
    *,
    n_genes: int = 60,
    truth: str = "experimental",
    drop: tuple[str, ...] = (),
    expected: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Two cell types of Poisson counts; doublets (one cell in eight) are sums of two cells of their donor."""
    rng = np.random.default_rng(seed)
    donor = np.repeat(list(cells_per_donor), list(cells_per_donor.values()))
    n = len(donor)
    kind, other = rng.integers(2, size=n), rng.integers(2, size=n)
    rates = np.full((2, n_genes), 0.3)
    rates[0, : n_genes // 3] = rates[1, -n_genes // 3 :] = 3.0
    doublet = rng.random(n) < 0.125
    counts = rng.poisson(rates[kind]) + doublet[:, None] * rng.poisson(rates[other])
    name = np.array(["neuron", "glia"])
    obs = pd.DataFrame(
        {
            "donor": donor,
            "condition": np.where(pd.factorize(donor)[0] % 2, "AD", "CN"),
            "cell_type": np.where(doublet, "Doublet", name[kind]),
            "is_doublet": doublet,
            "exclude": rng.random(n) < 0.05,
            "parent_type_a": np.where(doublet, name[kind], None),
            "parent_type_b": np.where(doublet, name[other], None),
        },
        index=[f"c{i}" for i in range(n)],
    ).drop(columns=list(drop))
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    card = DatasetCard(
        "tiny",
        "",
        f"{seed:064x}",
        frozenset(obs.columns),
        truth,  # type: ignore[arg-type]
        n,
        n_genes,
        len(cells_per_donor),
        expected_doublet_rate=expected,
    )
    return Dataset(card, AnnData(sparse.csr_matrix(counts.astype(np.int32)), obs=obs, var=var))


@pytest.fixture
def make_dataset() -> Callable[..., Dataset]:
    return _dataset


@pytest.fixture
def dataset() -> Dataset:
    return _dataset({f"d{i}": 50 + 7 * i for i in range(6)})


def _deep_dataset(donors: dict[str, int], n_genes: int = 90, seed: int = 0, drop: tuple[str, ...] = ()) -> Dataset:
    """Cells of 1,000 to 9,000 counts of two types, the last tenth of whose genes are markers; some doublets."""
    rng = np.random.default_rng(seed)
    donor = np.repeat(list(donors), list(donors.values()))
    n, kind = len(donor), rng.integers(2, size=len(donor))
    rate = rng.gamma(0.5, 1.0, (2, n_genes))
    rate[0, -20:-10] = rate[1, -10:] = 0.0
    rate[1, -20:-10] = rate[0, -10:] = 2.0
    depth = rng.uniform(1000, 9000, n)
    X = rng.poisson(rate[kind] / rate[kind].sum(axis=1, keepdims=True) * depth[:, None])
    obs = pd.DataFrame(
        {
            "donor": donor,
            "batch": np.where(np.arange(n) % 2, "day1", "day2"),
            "cell_type": np.where(rng.random(n) < 0.03, "Unidentified", np.array(["neuron", "glia"])[kind]),
            "is_doublet": rng.random(n) < 0.05,
        },
        index=[f"c{i}" for i in range(n)],
    ).drop(columns=list(drop))
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    card = DatasetCard("deep", "", f"{seed:064x}", frozenset(obs.columns), "none", n, n_genes, len(donors))
    return Dataset(card, AnnData(sparse.csr_matrix(X.astype(np.int32)), obs=obs, var=var))


@pytest.fixture(scope="session")
def deep_dataset() -> Callable[..., Dataset]:
    return _deep_dataset
