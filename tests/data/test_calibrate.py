import os
from pathlib import Path

import numpy as np
import pytest

from bench.data.calibrate import calibrate, summarise
from bench.data.cohort import CohortSpec, simulate
from bench.data.ingest import read

_REAL = Path(os.environ.get("BENCH_DATA", "")) / "agarwal_GSE140231_sn_cortex.h5ad"


def test_a_cohort_compared_with_itself(cohort, cohort_spec):
    table = calibrate(cohort, cohort_spec).set_index("quantity")
    assert {"zero fraction", "counts per cell, 50% quantile", "variance in PC 1"} <= set(table.index)
    np.testing.assert_allclose(table["ratio"], 1.0)


def test_numbers_are_what_they_say(cohort):
    facts = summarise(cohort, cohort.var["symbol"])
    dense = cohort.X.toarray()
    assert facts["zero fraction"] == pytest.approx((dense == 0).mean())
    assert facts["counts per cell, 50% quantile"] == np.median(dense.sum(axis=1))
    assert facts["genes per cell, 95% quantile"] == np.quantile((dense > 0).sum(axis=1), 0.95)
    assert facts["counts in the top 10 genes"] == pytest.approx(np.sort(dense.sum(axis=0))[-10:].sum() / dense.sum())
    assert 0 < facts["variance in PC 1"] < 1


def test_overdispersion_is_recovered():
    adata = simulate(CohortSpec(n_cells=1500, n_genes=800, n_donors=1, ambient=0.0, dropout=0.0, doublet_rate=0.0))
    adata = adata[(adata.obs["subcluster"] == "OPC").to_numpy()]
    found = summarise(adata, adata.var["symbol"])["overdispersion in a type, mean 1-5"]
    assert found == pytest.approx(adata.var["overdispersion"].median(), abs=0.15)


@pytest.mark.slow
@pytest.mark.skipif(not _REAL.exists(), reason="needs BENCH_DATA with agarwal_GSE140231_sn_cortex.h5ad")
def test_close_to_real_nuclei():
    """Within these ranges; mitochondrial share is left out: the real file holds damaged nuclei."""
    ratio = calibrate(read(_REAL)).set_index("quantity")["ratio"]
    assert ratio["zero fraction"] == pytest.approx(1.0, abs=0.01)
    for name in ratio.index:
        if name.startswith(("counts", "log10 variance on")):
            assert ratio[name] == pytest.approx(1.0, abs=0.2), name
        if name.startswith(("genes per cell", "variance in", "overdispersion")):
            assert 0.5 < ratio[name] < 2.0, name
