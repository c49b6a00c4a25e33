"""What the core's tests share besides fixtures."""

import hashlib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from builders import trial_spec
from scipy import sparse

from bench.dataset import Dataset, DatasetCard, DatasetSource
from bench.plan.registry import Registry

PLUGIN = Path(__file__).with_name("toy_plugin.py")
SPEC = trial_spec(dataset_digest="0", method_digest="1", environment_digest="2", params={"k": 1})


class ToySource(DatasetSource):
    """A dataset made on the spot; `loads` counts how often."""

    def __init__(self, name="toy-data", n_cells=60, n_donors=3):
        self.name, self.n_cells, self.n_donors, self.loads = name, n_cells, n_donors, 0

    @property
    def card(self):
        return DatasetCard(
            name=self.name,
            summary="Poisson counts.",
            digest=hashlib.sha256(f"{self.name}{self.n_cells}{self.n_donors}".encode()).hexdigest(),
            fields=frozenset({"donor", "is_doublet"}),
            truth="generative",
            n_cells=self.n_cells,
            n_genes=20,
            n_donors=self.n_donors,
            builtin=True,
        )

    def load(self):
        self.loads += 1
        rng = np.random.default_rng(0)
        hot = rng.random(self.n_cells) < 0.3
        X = sparse.csr_matrix(rng.poisson(1.0 + hot[:, None], (self.n_cells, 20)).astype(np.float32))
        obs = pd.DataFrame(
            {"donor": [f"d{i % self.n_donors}" for i in range(self.n_cells)], "is_doublet": hot},
            index=[f"c{i}" for i in range(self.n_cells)],
        )
        return Dataset(self.card, ad.AnnData(X, obs, pd.DataFrame(index=[f"g{i}" for i in range(20)])))


def make_registry(*sources):
    return Registry([PLUGIN], sources or [ToySource()])
