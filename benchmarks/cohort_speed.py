"""Time and memory of the cohort simulator, beside a plain dense negative binomial sampler.

    python benchmarks/cohort_speed.py [--cells 10000 30000 100000] [--genes 20000] [--threads 2]

Every size runs in a process of its own, so that peak memory is its own. The dense sampler draws a few hundred cells
(``Generator.negative_binomial`` on cells x genes, then made sparse) and is compared per cell.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

_DENSE_CELLS = 300


def measure(n_cells: int, n_genes: int, threads: int) -> dict[str, float]:
    """Simulate once, compiled code warm; seconds and peak memory of this process."""
    from bench.data.cohort import CohortSpec, simulate

    simulate(CohortSpec(n_cells=50, n_genes=100, n_donors=2))
    start = time.perf_counter()
    adata = simulate(CohortSpec(n_cells=n_cells, n_genes=n_genes, n_donors=24), threads=threads)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"seconds": seconds, "peak_gb": peak, "nnz": float(adata.X.nnz)}


def measure_dense(n_genes: int) -> float:
    """Seconds per cell of the dense sampler."""
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.data.cohort import CohortSpec, expectation, simulate

    adata = simulate(CohortSpec(n_cells=_DENSE_CELLS, n_genes=n_genes, n_donors=2))
    mean = expectation(adata).astype(float)
    r = 1.0 / adata.var["overdispersion"].to_numpy()
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    csr_matrix(rng.negative_binomial(r, r / (r + mean)).astype(np.int32))
    return (time.perf_counter() - start) / _DENSE_CELLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(args.one, args.genes, args.threads)))
        return
    dense = measure_dense(args.genes)
    print(f"dense numpy sampler: {1e3 * dense:.2f} ms a cell ({_DENSE_CELLS} cells x {args.genes:,} genes)")
    print(f"{'cells':>9} {'seconds':>8} {'peak GB':>8} {'non-zeros':>12} {'ms a cell':>10} {'dense / ours':>13}")
    for n in args.cells:
        command = [
            sys.executable,
            __file__,
            "--one",
            str(n),
            "--genes",
            str(args.genes),
            "--threads",
            str(args.threads),
        ]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        per_cell = found["seconds"] / n
        print(
            f"{n:9,} {found['seconds']:8.1f} {found['peak_gb']:8.2f} {int(found['nnz']):12,} {1e3 * per_cell:10.3f} "
            f"{dense / per_cell:13.1f}"
        )


if __name__ == "__main__":
    main()
