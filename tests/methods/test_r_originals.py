"""The R originals themselves, where a user has installed them from Bioconductor or GitHub."""

import shutil

import numpy as np
import pytest

from bench.environments.installed import installed_version
from bench.method import Context, r_package

pytestmark = pytest.mark.bioconductor


def needs(package):
    there = shutil.which("R") and installed_version(r_package(package, install=""))
    return pytest.mark.skipif(not there, reason=f"needs the R package {package}")


@needs("scds")
def test_scds_r_equals_the_stored_numbers(input_a, r_scds, as_inputs):
    from bench.methods.scds_r import ScdsR

    score = ScdsR(score="cxds").run(as_inputs(input_a[0]), Context(seed=7))["score"]
    np.testing.assert_allclose(score, r_scds["cxds"], rtol=1e-9)


@needs("DoubletFinder")
@pytest.mark.parametrize(("seed", "pk"), [(1, 0.01), (1, 0.05), (1, 0.2), (2, 0.05)])
def test_doubletfinder_r_equals_the_numbers_stored_with_seurat_4(seed, pk, input_a, parity, as_inputs):
    """With Seurat 5's own class of assay half of the cells have another score."""
    from bench.methods.doubletfinder_r import DoubletFinderR

    method = DoubletFinderR(pk=pk, n_features=500, homotypic=False)
    found = method.run(as_inputs(input_a[0], rate=0.1), Context(seed=seed))
    with np.load(parity / "doubletfinder" / "r_doubletfinder.npz") as stored:
        np.testing.assert_allclose(found["score"], stored[f"seed{seed}_pK{pk}_pANN"], atol=1e-8)
        np.testing.assert_array_equal(found["call"], stored[f"seed{seed}_pK{pk}_call"].astype(bool))
