"""Time and memory of scoring imputed expression; 40,000 cells x 19,306 genes are to score in less than 8 GB.

Counts are those of ``benchmarks/imputation_scale.py``, four times as deep, so that cells have the 4,000 counts of the
``nonzero`` track; all but 400 of them are tested. Each line is a process of its own that makes the problem, then scores
an answer: the truth with noise at the hidden entries, or a dense matrix in a mapped file.

    python benchmarks/expression_scoring.py 10000 40000
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from imputation_scale import CLASSES, GENES, simulate
from memory_watch import MemoryWatch
from scipy.sparse import csr_matrix

from bench.blocks import Rows
from bench.dataset import Dataset, DatasetCard
from bench.normalise import log1p_cp10k
from bench.plan.registry import Registry
from bench.task import Seeds

TRACKS = (("integration", "zero"), ("imputation", "nonzero"), ("imputation", "dropout"))
TRAINING, BLOCK = 400, 1_000


def study(n: int) -> Dataset:
    """Cells of 20 classes from five donors."""
    X, classes = simulate(n, depth=4.0)
    obs = pd.DataFrame(
        {
            "donor": np.where(np.arange(n) < TRAINING, "d0", np.resize(["d1", "d2", "d3", "d4"], n)),
            "cell_type": [f"class {k}" for k in classes],
            "split": np.where(np.arange(n) < TRAINING, "train", "test"),
        },
        index=[f"c{i}" for i in range(n)],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(GENES)])
    card = DatasetCard("scale", "", "0" * 64, frozenset(obs.columns), "", n, GENES, 5)
    return Dataset(card, AnnData(X, obs=obs, var=var))


def answer(problem: Any, folder: str) -> Any:
    """The truth with noise where entries are asked for; else a third of what was shown, and noise, on disk."""
    rng = np.random.default_rng(1)
    if problem.asked is not None:
        known = problem.truth["expression"]
        values = rng.standard_normal(known.nnz, dtype=np.float32)
        values += known.data
        return csr_matrix((np.maximum(values, 0, out=values), known.indices, known.indptr), known.shape)
    shown = problem.inputs.cells.X
    out = np.lib.format.open_memmap(Path(folder) / "answer.npy", mode="w+", dtype=np.float32, shape=shown.shape)
    for start in range(0, shown.shape[0], BLOCK):
        block = log1p_cp10k(shown[start : start + BLOCK]).toarray() / 3
        out[start : start + BLOCK] = block + rng.random(block.shape, dtype=np.float32)
    out.flush()
    del out
    return Rows(np.load(Path(folder) / "answer.npy", mmap_mode="r"), np.arange(shown.shape[0]))  # as read in a trial


def run(task_name: str, track: str, n: int, folder: str, told: Any) -> None:
    """In a process of its own: make, answer, score."""
    task, start = Registry().task(task_name), time.perf_counter()
    dataset = study(n)
    problem = task.make_problem(dataset, track, Seeds())
    prediction = {"expression": answer(problem, folder)}
    made = time.perf_counter() - start
    start = time.perf_counter()
    scored = task.score(problem, prediction)
    cells = problem.inputs.cells.X.shape[0]
    told.send((cells, len(scored.scores), made, time.perf_counter() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", type=int, default=[10_000, 40_000])
    sizes = parser.parse_args().cells
    spawn = multiprocessing.get_context("spawn")
    print(f"{GENES:,} genes, {CLASSES} classes, load of the machine {os.getloadavg()[0]:.1f}")
    print("track                    study   tested  made s  scored s  peak GB  of it own")
    for n in sizes:
        for task, track in TRACKS:
            ours, theirs = spawn.Pipe()
            with tempfile.TemporaryDirectory() as folder, MemoryWatch() as watch:
                process = spawn.Process(target=run, args=(task, track, n, folder, theirs))
                process.start()
                theirs.close()
                process.join()
            name = f"{task}/{track}"
            if process.exitcode:
                print(
                    f"{name:20s} {n:9,d}  exit code {process.exitcode}, peak {watch.resident / 1e9:.2f} GB", flush=True
                )
                continue
            cells, _, made, scored = ours.recv()
            print(
                f"{name:20s} {n:9,d} {cells:8,d} {made:7.0f} {scored:9.0f} {watch.resident / 1e9:8.2f}"
                f" {watch.own / 1e9:10.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
