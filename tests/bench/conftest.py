import hashlib
import subprocess

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest_core import PLUGIN
from scipy import sparse

from bench.dataset import Dataset, DatasetCard, DatasetSource
from bench.plan.registry import Registry
from bench.results.records import Limits


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
    registry = Registry([PLUGIN])
    registry.__dict__["datasets"] = {s.name: s for s in (sources or (ToySource(),))}
    return registry


@pytest.fixture
def registry():
    return make_registry()


@pytest.fixture
def limits():
    return Limits(timeout_s=30, memory_mb=4000)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Folder of the environments that a test builds."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
