from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.problem import Cells, Inputs

if TYPE_CHECKING:
    from collections.abc import Callable

PARITY = Path(__file__).parent / "parity"


@pytest.fixture
def as_inputs() -> Callable[..., Inputs]:
    """Inputs of one library from counts (cells x genes)."""

    def build(counts: object, rate: float = 0.1) -> Inputs:
        X = csr_matrix(counts, dtype=np.float32)
        obs = pd.DataFrame({"donor": "d0", "expected_doublet_rate": rate}, index=[f"c{i}" for i in range(X.shape[0])])
        return Inputs(Cells(X, obs, pd.DataFrame(index=[f"g{i}" for i in range(X.shape[1])])))

    return build


@pytest.fixture(scope="session")
def input_a() -> tuple[csr_matrix, np.ndarray]:
    """Synthetic library: 540 singlets of 5 types and 60 doublets, 1500 genes, with the truth."""
    with np.load(PARITY / "input_a.npz") as stored:
        return csr_matrix(stored["counts"].astype(np.float32)), stored["is_doublet"]


@pytest.fixture(scope="session")
def r_scds() -> dict[str, np.ndarray]:
    """What the R package scds 1.22.0 returns on ``input_a`` (README beside it)."""
    with np.load(PARITY / "scds" / "r_scds.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def parity() -> Path:
    """Folder of the reference numbers."""
    return PARITY
