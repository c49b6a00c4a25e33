"""How annotation methods grow with the number of cells: seconds, and peak memory of the process.

Counts are Poisson with log-normal gene rates in 20 classes, 20,000 genes, about 5 % non-zero. 10,000 different cells
are drawn and then repeated at random up to the size asked for; of these four fifths are for training. Each method runs
in a process of its own, which draws the cells itself: the peak holds the counts, and for methods that read log1p CP10K
the moment of normalising them, as in a trial. Repeating cells changes nothing in the work for SciBet; logistic
regression may need more or fewer iterations than on as many different cells.

    OMP_NUM_THREADS=2 python benchmarks/scibet_scale.py 10000 100000 300000
    OMP_NUM_THREADS=2 python benchmarks/scibet_scale.py 10000 --methods scibet,knn
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
import warnings

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from bench.exchange import log1p_cp10k
from bench.method import Context, Method
from bench.methods.knn import Knn
from bench.methods.logistic_regression import LogisticRegression, LogisticRegressionPca
from bench.methods.scibet import SciBet
from bench.problem import Cells, Inputs

GENES, CLASSES, POOL = 20_000, 20, 10_000
METHODS: dict[str, type[Method]] = {m.name: m for m in (SciBet, LogisticRegression, LogisticRegressionPca, Knn)}


def pool(rng: np.random.Generator) -> tuple[csr_matrix, np.ndarray]:
    """10,000 different cells and their classes."""
    base = rng.lognormal(-4.6, 2.0, GENES)
    changed = rng.random((CLASSES, GENES)) < 0.02
    rates = base * np.exp(rng.normal(0, 1.0, (CLASSES, GENES)) * changed)
    classes = rng.integers(CLASSES, size=POOL)
    parts = []
    for start in range(0, POOL, 500):
        depth = rng.lognormal(0, 0.4, (500, 1))
        parts.append(csr_matrix(rng.poisson(depth * rates[classes[start : start + 500]]).astype(np.float32)))
    return csr_matrix(vstack(parts)), classes


def inputs_of(n: int, layer: str, rng: np.random.Generator) -> tuple[Inputs, np.ndarray]:
    """``n`` cells drawn from the pool, four fifths with labels, and the classes of the others."""
    different, classes = pool(rng)
    names = np.array([f"class {k:02d}" for k in range(CLASSES)])[classes]
    var = pd.DataFrame(index=pd.RangeIndex(GENES).astype(str))

    def draw(size: int) -> tuple[Cells, np.ndarray]:
        rows = rng.integers(POOL, size=size)
        X = different[rows]
        obs = pd.DataFrame({"donor": "d0", "label": names[rows]}, index=pd.RangeIndex(size).astype(str))
        return Cells(log1p_cp10k(X) if layer == "log1p_cp10k" else X, obs, var), names[rows]

    train, _ = draw(n * 4 // 5)
    cells, truth = draw(n - n * 4 // 5)
    cells.obs.drop(columns="label", inplace=True)
    return Inputs(cells, train, {"classes": sorted(set(train.obs["label"]))}), truth


def measure(job: tuple[str, int]) -> str:
    """One method at one size, as a line of the table."""
    warnings.simplefilter("ignore")
    cls, n = METHODS[job[0]], job[1]
    inputs, truth = inputs_of(n, cls.input_layer, np.random.default_rng(0))
    assert inputs.train is not None
    stored = inputs.train.X.nnz + inputs.cells.X.nnz
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    ctx = Context(seed=0)
    cpu = time.process_time()
    prediction = cls().run(inputs, ctx)
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    right = float(np.mean(np.asarray(prediction["label"]) == truth))
    seconds = f"{ctx.phases['fit']:8.1f} {ctx.phases['predict']:10.1f} {cpu:8.1f}"
    note = "; ".join(ctx.notes)
    memory = f"{stored * 8 / 1e9:10.2f} {before:10.2f} {peak:8.2f}"
    return f"{cls.name:24s} {n:8d} {stored:11d} {seconds} {memory} {right:9.3f}  {note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", type=int, default=[10_000, 100_000, 300_000])
    parser.add_argument("--methods", default="scibet,logistic_regression", help=f"of {', '.join(METHODS)}")
    asked = parser.parse_args()
    threads, load = os.environ.get("OMP_NUM_THREADS", "all"), os.getloadavg()[0]
    print(f"{GENES} genes, {CLASSES} classes, {threads} threads, load of the machine {load:.1f}")
    print(f"{'method':24s}    cells    non-zero    fit s  predict s    cpu s", end="")
    print("  counts GB  before GB  peak GB  accuracy")
    for n in asked.cells:
        for name in asked.methods.split(","):
            with multiprocessing.get_context("spawn").Pool(1) as process:
                print(process.apply(measure, [(name, n)]), flush=True)


if __name__ == "__main__":
    main()
