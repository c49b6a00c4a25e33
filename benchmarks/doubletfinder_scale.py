"""Time and memory of DoubletFinder as cells grow: our port, and the port on PyPI, on the same simulated counts.

Usage::

    python benchmarks/doubletfinder_scale.py --cells 5000 10000 20000 50000 100000 --rival-up-to 10000
    python benchmarks/doubletfinder_scale.py --cells 450000 --rival-up-to 0

Each measurement runs in a process of its own, which first simulates the counts (20,000 genes). Seconds and
CPU seconds are of the method alone, compiled code warm as in any run but the first; the peak is of the process,
counts included. ``doubletfinder-py`` installs the same import package as ``pydoubletfinder``, so it is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numba
import numpy as np
from scipy.sparse import csr_matrix

N_GENES = 20_000
N_TYPES = 8
DOUBLETS = 0.08
_TABLE = 1 << 20


@numba.njit(parallel=True, cache=True)
def _draw(tables, kinds, depths, indptr, indices, data):
    """Fill the cells' genes and counts, or only count their genes (into ``indptr[1:]``) while ``indices`` is empty."""
    for chunk in numba.prange(256):
        counts = np.zeros(N_GENES, np.int32)
        for cell in range(chunk * len(depths) // 256, (chunk + 1) * len(depths) // 256):
            np.random.seed(cell)  # noqa: NPY002  # the only generator numba can seed inside a parallel loop
            counts[:] = 0
            for parent in range(2):
                for _ in range(depths[cell, parent]):
                    counts[tables[kinds[cell, parent], np.random.randint(_TABLE)]] += 1  # noqa: NPY002
            at = indptr[cell]
            for gene in range(N_GENES):
                if counts[gene]:
                    if len(indices):
                        indices[at] = gene
                        data[at] = counts[gene]
                    at += 1
            if not len(indices):
                indptr[cell + 1] = at - indptr[cell]


def simulate(n_cells: int, seed: int = 0) -> tuple[csr_matrix, np.ndarray]:
    """Counts of ``n_cells`` from 8 types with doublets planted, float32 CSR, and which cells are doublets."""
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0, 1.9, N_GENES)
    tables = np.empty((N_TYPES, _TABLE), np.int32)
    for kind in range(N_TYPES):
        level = base * np.where(rng.random(N_GENES) < 0.05, rng.lognormal(1.5, 1, N_GENES), 1)
        tables[kind] = np.searchsorted(np.cumsum(level / level.sum()), (np.arange(_TABLE) + 0.5) / _TABLE)
    is_doublet = rng.random(n_cells) < DOUBLETS
    kinds = rng.choice(N_TYPES, size=(n_cells, 2), p=np.arange(N_TYPES, 0, -1) / (N_TYPES * (N_TYPES + 1) / 2))
    depths = rng.lognormal(np.log(2600), 0.45, (n_cells, 2)).astype(np.int64)
    depths[~is_doublet, 1] = 0
    sizes = np.zeros(n_cells + 1, np.int64)
    _draw(tables, kinds, depths, sizes, np.empty(0, np.int32), np.empty(0, np.float32))
    indptr = np.cumsum(sizes)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    _draw(tables, kinds, depths, indptr, indices, data)
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)
    return csr_matrix((data, indices, indptr), shape=(n_cells, N_GENES)), is_doublet


def run_ours(X: csr_matrix, pk: float | None, threads: int) -> np.ndarray:
    """Score (pANN) with our port."""
    import pandas as pd

    from bench.method import Context
    from bench.methods.doubletfinder import DoubletFinder
    from bench.problem import Cells, Inputs

    obs = pd.DataFrame({"expected_doublet_rate": DOUBLETS}, index=pd.RangeIndex(X.shape[0]).astype(str))
    inputs = Inputs(Cells(X, obs, pd.DataFrame(index=pd.RangeIndex(X.shape[1]).astype(str))))
    start = time.perf_counter()

    def show(fraction: float, message: str) -> None:
        print(f"  {time.perf_counter() - start:8.1f} s {fraction:6.1%} {message}", file=sys.stderr, flush=True)

    context = Context(seed=0, threads=threads, report_progress=show)
    return np.asarray(DoubletFinder(pk=pk).run(inputs, context)["score"])


def run_rival(X: csr_matrix, pk: float | None, threads: int) -> np.ndarray:
    """Score (pANN) with pydoubletfinder (PyPI); its threads follow the environment."""
    import anndata
    import pydoubletfinder

    tool = pydoubletfinder.DoubletFinder(anndata.AnnData(X.copy()))
    if pk is None:
        tool.param_sweep(PCs=10).summarize_sweep().find_pK()
    tool.run(pN=0.25, pK=pk, nExp=round(DOUBLETS * X.shape[0]))
    return tool.adata.obs.filter(like="pANN").iloc[:, 0].to_numpy()


TOOLS = {"ours": run_ours, "pydoubletfinder": run_rival}


def measure_here(tool: str, n_cells: int, pk: float | None, threads: int) -> dict[str, float]:
    """Simulate, warm up, run and measure in this process."""
    from sklearn.metrics import roc_auc_score

    X, is_doublet = simulate(n_cells)
    TOOLS[tool](X[:2000], pk, threads)  # compile
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    score = TOOLS[tool](X, pk, threads)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "before_gb": before / 2**20,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "auroc": float(roc_auc_score(is_doublet, score)),
        "per_cell": X.nnz / n_cells,
    }


def measure(tool: str, n_cells: int, pk: float | None, threads: int, memory_gb: float) -> dict[str, float] | None:
    """As :func:`measure_here` in a fresh process; None if that fails (mostly: out of the memory allowed)."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    command = [sys.executable, __file__, "--measure", tool, "--cells", str(n_cells), "--threads", str(threads)]
    command += ["--pk", str(pk)] if pk else ["--sweep"]
    done = subprocess.run(
        command,
        env={**os.environ, **dict.fromkeys(names, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (int(memory_gb * 2**30),) * 2),
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[5_000, 10_000, 20_000, 50_000, 100_000])
    parser.add_argument("--rival-up-to", type=int, default=10_000, help="cells up to which pydoubletfinder runs too")
    parser.add_argument("--pk", type=float, default=0.05)
    parser.add_argument("--sweep", action="store_true", help="choose pK by the sweep instead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=float, default=18, help="GB a process may allocate")
    parser.add_argument("--measure", choices=TOOLS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    pk = None if args.sweep else args.pk
    if args.measure:
        print(json.dumps(measure_here(args.measure, args.cells[0], pk, args.threads)))
        return
    print(f"{'cells':>8} {'tool':>16} {'s':>9} {'CPU s':>9} {'peak GB':>8} {'AUROC':>6}  growth / ratio", flush=True)
    last: tuple[int, float] | None = None
    for n_cells in args.cells:
        found: dict[str, float] = {}
        for tool in TOOLS if n_cells <= args.rival_up_to else ["ours"]:
            result = measure(tool, n_cells, pk, args.threads, args.memory)
            if result is None:
                print(f"{n_cells:8} {tool:>16}    failed (limit {args.memory:g} GB)", flush=True)
                continue
            found[tool] = result["seconds"]
            note = ""
            if tool == "ours":
                if last:
                    power = np.log(result["seconds"] / last[1]) / np.log(n_cells / last[0])
                    note = f"time ~ cells^{power:.2f}"
                last = (n_cells, result["seconds"])
            elif "ours" in found:
                note = f"{result['seconds'] / found['ours']:.1f} x our time"
            print(
                f"{n_cells:8} {tool:>16} {result['seconds']:9.1f} {result['cpu_seconds']:9.1f} "
                f"{result['peak_gb']:8.2f} {result['auroc']:6.3f}  {note}",
                flush=True,
            )


if __name__ == "__main__":
    main()
