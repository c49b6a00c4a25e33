import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.data.cohort import CohortSpec, simulate


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads or writes the user's cache, library or data, or registers anything in the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BENCH_DATA", raising=False)


@pytest.fixture(scope="session")
def cohort_spec():
    return CohortSpec(n_cells=1500, n_genes=1200, n_donors=6, doublet_rate=0.2, seed=3)


@pytest.fixture(scope="session")
def cohort(cohort_spec):
    return simulate(cohort_spec)


@pytest.fixture
def counts():
    """Twelve cells of two donors, six genes, every cell with counts."""
    rng = np.random.default_rng(0)
    X = rng.poisson(2.0, (12, 6)) + np.eye(12, 6, dtype=int) + np.eye(12, 6, k=-6, dtype=int)
    obs = pd.DataFrame(
        {
            "individual": ["d1"] * 6 + ["d2"] * 6,
            "cell_type": ["neuron", "glia"] * 6,
            "is_doublet": [True] + [False] * 11,
            "score": np.linspace(0, 1, 12),
        },
        index=[f"cell{i}" for i in range(12)],
    )
    var = pd.DataFrame({"ensembl_id": [f"ENSG{i:011d}" for i in range(6)]}, index=[f"GENE{i}" for i in range(6)])
    return anndata.AnnData(X=sparse.csr_matrix(X.astype(np.float32)), obs=obs, var=var)
