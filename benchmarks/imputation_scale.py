"""How imputers grow with the number of cells: seconds and peak memory of a trial of their own, nothing hidden.

Counts are those of ``benchmarks/scibet_scale.py`` with the paper's 19,306 genes; no training cells, every entry is
asked for. Each method runs in the sandbox and writes its result by blocks to disk, as in a benchmark. The peak is that
of the process tree as a trial reports it, with the pages of the result that the process has touched; *own* is without
pages of mapped files.

    python benchmarks/imputation_scale.py 5000 10000 40000 --methods magic,knn_smoothing --memory 16gb
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from memory_watch import MemoryWatch
from scipy.sparse import csr_matrix

from bench.cli.options import megabytes
from bench.environments.declaration import environment_of
from bench.exchange.files import write_inputs
from bench.execution.job import environment_of_job
from bench.plan.registry import Registry
from bench.problem import Cells, Inputs, Output
from bench.sandbox import Job, Sandbox

GENES, CLASSES, BLOCK = 19_306, 20, 1_000


def simulate(n: int, depth: float = 1.0) -> tuple[csr_matrix, np.ndarray]:
    """Counts of ``n`` cells of 20 classes, a block at a time, and the classes."""
    rng = np.random.default_rng(0)
    changed = rng.random((CLASSES, GENES)) < 0.02
    rates = rng.lognormal(-4.4, 2.0, GENES) * np.exp(rng.normal(0, 1.0, (CLASSES, GENES)) * changed)
    parts, classes = [], []
    for start in range(0, n, BLOCK):
        own = rng.integers(CLASSES, size=min(BLOCK, n - start))
        size = depth * rng.lognormal(0, 0.4, (len(own), 1))
        parts.append(csr_matrix(rng.poisson(size * rates[own]).astype(np.int32)))
        classes.append(own)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    return csr_matrix((data, indices, np.append(0, np.cumsum(lengths))), shape=(n, GENES)), np.concatenate(classes)


def measure(name: str, sandbox: Sandbox, folder: Path, n: int, timeout_s: float, memory_mb: float | None) -> str:
    """One method at one size, as a line of the table."""
    entry = Registry().method(name)
    environment = environment_of(entry.value)
    trial = folder / name
    trial.mkdir()
    job = Job(
        folder=str(trial),
        inputs=str(folder / "inputs"),
        locator=entry.locator,
        params=entry.value.resolve({}),
        seed=0,
        threads=sandbox.threads,
        device="cpu",
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        outputs=(Output("expression", "expression", "logs"),),
        environment=environment_of_job(environment, entry.value) if environment else None,
    )
    with MemoryWatch() as watch:
        outcome = sandbox.run(job)
    peak, own = (outcome.rss_peak_mb or np.nan) * 2**20 / 1e9, watch.own / 1e9
    for file in trial.rglob("*.npy"):
        file.unlink()
    if outcome.status != "ok":
        return f"{name:16s} {n:8,d}  {outcome.status}: {outcome.detail} (peak {peak:.2f} GB, own {own:.2f})"
    fit, predict = (outcome.phases.get(phase, np.nan) for phase in ("fit", "predict"))
    notes = "".join(f"; {note}" for note in outcome.notes)
    return (
        f"{name:16s} {n:8,d} {fit:7.1f} {predict:10.1f} {outcome.wall_s or np.nan:7.1f} {peak:8.2f} {own:7.2f}{notes}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", type=int, default=[5_000, 10_000, 40_000])
    parser.add_argument("--methods", default="magic,knn_smoothing,dca-torch,scvi", help="imputers, comma-separated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds a method may take")
    parser.add_argument("--memory", type=megabytes, help="memory a method may take, such as 16gb")
    asked = parser.parse_args()
    print(f"{GENES:,} genes, {asked.threads} threads, load of the machine {os.getloadavg()[0]:.1f}")
    print("method              cells   fit s  predict s  wall s  peak GB     own")
    for n in asked.cells:
        with tempfile.TemporaryDirectory() as scratch, Sandbox(asked.threads) as sandbox:
            start = time.perf_counter()
            X, _ = simulate(n)
            obs = pd.DataFrame({"donor": "d0"}, index=pd.RangeIndex(n).astype(str))
            var = pd.DataFrame(index=pd.RangeIndex(GENES).astype(str))
            write_inputs(Inputs(Cells(X, obs, var)), Path(scratch) / "inputs", "scale")
            written = time.perf_counter() - start
            print(f"# {n:,} cells written in {written:.0f} s, {X.nnz / n / GENES:.1%} not zero", flush=True)
            for name in asked.methods.split(","):
                print(measure(name, sandbox, Path(scratch), n, asked.timeout, asked.memory), flush=True)


if __name__ == "__main__":
    main()
