"""How cxds grows with the number of cells: seconds, peak memory, and the exponent of growth.

Counts are Poisson with log-normal gene rates in five cell types, 20,000 genes, about 5 % non-zero. 10,000 different
cells are drawn and then repeated at random up to the size asked for, which changes nothing in the work to be done.

    OMP_NUM_THREADS=2 python benchmarks/scds_scale.py 10000 50000 100000 450000
"""

from __future__ import annotations

import os
import resource
import sys
import time

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from bench.method import Context
from bench.methods.cxds import Cxds
from bench.problem import Cells, Inputs

GENES, TYPES, POOL = 20_000, 5, 10_000


def pool(rng: np.random.Generator) -> csr_matrix:
    """10,000 different cells."""
    base = rng.lognormal(-4.6, 2.0, GENES)
    rates = base * np.exp(rng.normal(0, 1.0, (TYPES, GENES)) * (rng.random((TYPES, GENES)) < 0.1))
    parts = []
    for _ in range(POOL // 500):
        depth = rng.lognormal(0, 0.4, (500, 1))
        parts.append(csr_matrix(rng.poisson(depth * rates[rng.integers(TYPES, size=500)]).astype(np.float32)))
    return csr_matrix(vstack(parts))


def inputs_of(cells: csr_matrix, n: int, rng: np.random.Generator) -> Inputs:
    """``n`` cells drawn from the pool."""
    X = cells[rng.integers(cells.shape[0], size=n)]
    obs = pd.DataFrame({"donor": "d0", "expected_doublet_rate": 0.1}, index=pd.RangeIndex(n).astype(str))
    return Inputs(Cells(X, obs, pd.DataFrame(index=pd.RangeIndex(GENES).astype(str))))


def main(sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    cells = pool(rng)
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    density, load = cells.nnz / np.prod(cells.shape), os.getloadavg()[0]
    print(f"cxds, {GENES} genes, {density:.1%} non-zero, {threads} threads, load of the machine {load:.1f}")
    print("   cells   non-zero  wall s   cpu s  counts GB  peak GB  growth")
    before: tuple[int, float] | None = None
    for n in sizes:
        inputs = inputs_of(cells, n, rng)
        X = inputs.cells.X
        wall, cpu = time.perf_counter(), time.process_time()
        Cxds().run(inputs, Context(seed=0))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        held = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 1e9
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        growth = f"{np.log(cpu / before[1]) / np.log(n / before[0]):.2f}" if before else ""
        print(f"{n:8d} {X.nnz:10d} {wall:7.1f} {cpu:7.1f} {held:10.2f} {peak:8.2f}  {growth}", flush=True)
        before = (n, cpu)


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [10_000, 50_000, 100_000, 450_000])
