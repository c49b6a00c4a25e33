"""``bench deg --engine r``: Seurat itself, whichever version is installed, against the native tables of both."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.cli.seurat_markers import find_markers_r
from bench.environments.installed import installed_version
from bench.method import r_package
from bench.tasks.deg.by_cell_type import log_normalised
from bench.tasks.deg.find_markers import find_markers

pytestmark = pytest.mark.r


@pytest.fixture(scope="module", autouse=True)
def _seurat():
    if importlib.util.find_spec("rpy2") is None or shutil.which("R") is None:
        pytest.skip("needs R and rpy2")
    if not installed_version(r_package("Seurat", install="")):
        pytest.skip("needs Seurat")


@pytest.fixture(scope="module")
def few():
    """Two groups of 9 and 8 cells, so that a rank-sum test could be exact; many genes with equal p; some rare ones."""
    rng = np.random.default_rng(3)
    rate = np.where(np.arange(300) < 40, 200.0, 0.3) * np.ones((17, 1))
    rate[:9, 20:60] *= 1.6
    rate[:, 200:] = 0.04
    counts = csr_matrix(rng.poisson(rate).astype(float))
    return log_normalised(counts), [f"g{i}" for i in range(300)], np.arange(9), np.arange(9, 17)


@pytest.mark.parametrize("seurat", [4, 5])
@pytest.mark.parametrize("filters", [{}, {"min_pct": 0.001, "logfc_threshold": 0.0}])
def test_either_versions_table_comes_from_the_version_installed(few, seurat, filters):
    native, r = (find(*few, test="wilcox", seurat=seurat, **filters) for find in (find_markers, find_markers_r))
    assert native["p_val"].duplicated().any()
    pd.testing.assert_frame_equal(r, native, rtol=1e-8)
    assert r.attrs["engine"].startswith(f"Seurat {installed_version(r_package('Seurat', install=''))} on R ")


def test_no_gene_that_passes_the_filters_is_an_empty_table(few):
    native, r = (find(*few, test="wilcox", logfc_threshold=50) for find in (find_markers, find_markers_r))
    assert len(r) == len(native) == 0
    assert list(r) == list(native)
