"""Kernels of the hurdle model on disk: processes that compile them at the same moment must not spoil the cache."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from bench.tasks.deg import wilcoxon
from bench.tasks.deg.mast import irls, logistic, ols, prior, sums

KERNELS = {
    f"{module.__name__}.{name}": value
    for module in (irls, logistic, ols, prior, sums, wilcoxon)
    for name, value in vars(module).items()
    if isinstance(value, Dispatcher) and value.targetoptions.get("parallel")
}

#: The kernels that compile fastest; prints the deviances and how often the cache was used.
CODE = """
import numpy as np
from bench.tasks.deg.mast.logistic import fit_one_group, fit_two_groups

n0, n1, d0, d1 = np.array([30.0, 30, 30]), np.array([20.0, 20, 20]), np.array([1.0, 15, 30]), np.array([0.0, 4, 20])
two, one = np.empty((3, 6)), np.empty(3)
fit_two_groups(n0, d0, n1, d1, two)
fit_one_group(n0 + n1, d0 + d1, one)
print(*two[:, 2], *one, sum(sum(kernel.stats.cache_hits.values()) for kernel in (fit_one_group, fit_two_groups)))
"""


def test_every_kernel_has_one_signature():
    assert len(KERNELS) == 7
    assert all(len(kernel.signatures) == 1 for kernel in KERNELS.values())
    with pytest.raises(TypeError, match="No matching definition"):
        logistic.fit_one_group(np.ones(4)[::2], np.ones(2), np.ones(2))


def test_processes_that_compile_at_once_leave_a_cache_that_is_right(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def start():
        return subprocess.Popen([sys.executable, "-c", CODE], env=environment, stdout=subprocess.PIPE, text=True)

    def printed(process):
        out = process.communicate()[0]
        assert process.returncode == 0
        *deviances, hits = map(float, out.split())
        return deviances, hits

    at_once = [printed(process) for process in [start(), start()]]
    later, hits = printed(start())
    assert hits == 2
    assert all(deviances == later for deviances, _ in at_once)
    cells = np.array([30.0, 20.0]), np.array([15.0, 4.0])
    one = (cells[1] * np.log(cells[1].sum() / cells[0].sum())).sum()
    one += ((cells[0] - cells[1]) * np.log(1 - cells[1].sum() / cells[0].sum())).sum()
    assert np.isclose(later[4], -2 * one, rtol=1e-4)
