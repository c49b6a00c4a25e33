"""The R originals themselves, where a user has installed them from Bioconductor."""

import shutil

import numpy as np
import pytest

from bench.availability import installed_version
from bench.method import Context, r_package

pytestmark = pytest.mark.bioconductor


@pytest.mark.skipif(
    not (shutil.which("R") and installed_version(r_package("scds", install=""))), reason="needs the R package scds"
)
def test_scds_r_equals_the_stored_numbers(input_a, r_scds, as_inputs):
    from bench.methods.scds_r import ScdsR

    score = ScdsR(score="cxds").run(as_inputs(input_a[0]), Context(seed=7))["score"]
    np.testing.assert_allclose(score, r_scds["cxds"], rtol=1e-9)
