"""How annotation methods grow with the number of cells: seconds and peak memory of a trial of their own.

Counts are Poisson with log-normal gene rates in 20 classes, 20,000 genes, about 6 % of entries not zero, no cell twice;
four fifths of the cells are for training. Inputs are written to disk once a size, as for any trial; each method then
runs in the sandbox, in a process of its own that reads them. The peak is that of the process tree: interpreter,
libraries, counts, and for methods that read log1p CP10K the moment of normalising them.

    python benchmarks/scibet_scale.py 40000 300000
    python benchmarks/scibet_scale.py 40000 --methods knn,celltypist,seurat-py --threads 2
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from bench.exchange.files import read_inputs, write_inputs
from bench.exchange.gate import receive
from bench.plan.registry import Registry
from bench.problem import Cells, Inputs
from bench.sandbox import Job, Sandbox

GENES, CLASSES, BLOCK = 20_000, 20, 1_000
#: What the issue asks 300,000 cells to fit in.
LIMIT_GB = 12
HEAD = "method                      cells  stored entries   fit s  predict s  wall s  s/100k cells  counts GB  peak GB"


def simulate(n: int, rates: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> csr_matrix:
    """Counts of ``n`` cells, a block at a time."""
    parts = []
    for start in range(0, n, BLOCK):
        own = classes[start : start + BLOCK]
        depth = rng.lognormal(0, 0.4, (len(own), 1)).astype(np.float32)
        parts.append(csr_matrix(rng.poisson(depth * rates[own]).astype(np.int32)))
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    return csr_matrix((data, indices, np.append(0, np.cumsum(lengths))), shape=(n, GENES))


def write(n: int, folder: Path) -> tuple[np.ndarray, int]:
    """Inputs of ``n`` cells under ``folder/inputs``; the classes of the tested ones, and how many counts are stored."""
    rng = np.random.default_rng(0)
    changed = rng.random((CLASSES, GENES)) < 0.02
    rates = rng.lognormal(-4.4, 2.0, GENES) * np.exp(rng.normal(0, 1.0, (CLASSES, GENES)) * changed)
    names = np.array([f"class {k:02d}" for k in range(CLASSES)])
    var = pd.DataFrame(index=pd.RangeIndex(GENES).astype(str))

    def draw(size: int) -> tuple[Cells, np.ndarray]:
        classes = rng.integers(CLASSES, size=size)
        obs = pd.DataFrame({"donor": "d0"}, index=pd.RangeIndex(size).astype(str))
        return Cells(simulate(size, rates.astype(np.float32), classes, rng), obs, var), names[classes]

    (train, known), (cells, truth) = draw(n * 4 // 5), draw(n - n * 4 // 5)
    train.obs["label"] = known
    info = {"classes": list(names), "unassigned": "unassigned", "split": "donor", "validation_donors": []}
    write_inputs(Inputs(cells, train, info), folder / "inputs", "scale")
    return truth, train.X.nnz + cells.X.nnz


def measure(name: str, sandbox: Sandbox, folder: Path, truth: np.ndarray, n: int, stored: int) -> str:
    """One method at one size, as a line of the table."""
    entry = Registry().method(name)
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
        timeout_s=7200,
        memory_mb=None,
        outputs=Registry().task("annotation").outputs,
    )
    outcome = sandbox.run(job)
    if outcome.status != "ok":
        return f"{name:24s} {n:8,d}  {outcome.status}: {outcome.detail}"
    assert outcome.wall_s is not None
    assert outcome.rss_peak_mb is not None
    shown = read_inputs(folder / "inputs")
    right = np.mean(receive(trial, folder / "inputs", "scale", shown, job.outputs)["label"] == truth)
    fit, predict = (outcome.phases.get(phase, np.nan) for phase in ("fit", "predict"))
    peak, counts = outcome.rss_peak_mb * 2**20 / 1e9, stored * 8 / 1e9
    return (
        f"{name:24s} {n:8,d} {stored:15,d} {fit:7.1f} {predict:10.1f} {outcome.wall_s:7.1f} "
        f"{outcome.wall_s / n * 1e5:13.1f} {counts:10.2f} {peak:8.2f} = {peak / counts:.1f} x counts, "
        f"{peak / LIMIT_GB:.2f} of {LIMIT_GB} GB; accuracy {right:.3f}" + "".join(f"; {x}" for x in outcome.notes)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", type=int, default=[40_000, 300_000])
    parser.add_argument("--methods", default="scibet,logistic_regression", help="annotation methods, comma-separated")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    print(f"{GENES:,} genes, {CLASSES} classes, {asked.threads} threads, load of the machine {os.getloadavg()[0]:.1f}")
    print(HEAD)
    for n in asked.cells:
        with tempfile.TemporaryDirectory() as scratch, Sandbox(asked.threads) as sandbox:
            start = time.perf_counter()
            truth, stored = write(n, Path(scratch))
            print(f"# {n:,} cells written in {time.perf_counter() - start:.0f} s, {stored / n / GENES:.1%} not zero")
            for name in asked.methods.split(","):
                print(measure(name, sandbox, Path(scratch), truth, n, stored), flush=True)


if __name__ == "__main__":
    main()
