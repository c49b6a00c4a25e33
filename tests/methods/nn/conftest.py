"""A small world for training: 120 cells of two kinds, 40 genes, 4 donors, and models that learn it in seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.methods.nn.genes import Genes
from bench.methods.nn.models.architectures import architecture
from bench.methods.nn.models.scmamba import ScMambaConfig
from bench.methods.nn.training.batches import CellBatches
from bench.methods.nn.training.fitting import make_fabric
from bench.methods.nn.training.training_config import TrainingConfig
from bench.problem import Cells

N_CELLS, N_GENES = 120, 40


class MemoryStore:
    """Cells in memory as a CountStore."""

    name, digest, accession = "toy", "0" * 64, "GSE0"

    def __init__(self, cells):
        self.cells = cells
        self.obs, self.var = cells.obs, cells.var
        self.n_entries = np.diff(cells.X.indptr).astype(np.int64)

    def __len__(self):
        return self.cells.X.shape[0]

    def rows(self, index):
        return self.cells.X[index]


@pytest.fixture
def two_kinds():
    """Cells of two kinds: each has 20 genes that are ten times as frequent as in the other."""
    rng = np.random.default_rng(0)
    kind = np.arange(N_CELLS) % 2
    rate = np.where((np.arange(N_GENES) < N_GENES // 2) == (kind[:, None] == 0), 3.0, 0.3)
    obs = pd.DataFrame(
        {"donor": [f"d{i // 2 % 4}" for i in range(N_CELLS)], "is_doublet": kind == 1},
        index=[f"c{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(index=[f"g{i:02d}" for i in range(N_GENES)])
    return Cells(csr_matrix(rng.poisson(rate).astype(np.float32)), obs, var)


@pytest.fixture
def config():
    return ScMambaConfig(N_GENES, d_model=8, n_layers=1, d_state=2, vocabulary="tight")


@pytest.fixture
def kind():
    return architecture("scmamba")


@pytest.fixture
def genes(two_kinds):
    return Genes.of(two_kinds.var)


@pytest.fixture
def store(two_kinds):
    return MemoryStore(two_kinds)


@pytest.fixture
def training():
    return TrainingConfig(epochs=3, batch_size=16, micro_batch=16, lr=3e-3)


@pytest.fixture
def batches(store, genes, training):
    return CellBatches([store], genes, training.batch_size, 0)


@pytest.fixture
def fabric(training):
    return make_fabric(training)
