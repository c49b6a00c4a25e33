"""Time the scoring of the DEG task at the size of a study: what one method costs beside its own run.

bench data simulate study.h5ad --cells 38000 --genes 19306 --donors 11
python benchmarks/deg_task.py study.h5ad [--track patients] [--dense]

Of the counts as they are: the problem, all tests (the draws of the track, the jackknife, both nulls) and the test of
donors, which is made once a dataset. ``--dense``: the tests also on a matrix without zeros, made block by block.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.normalise import log1p_cp10k
from bench.plan.registry import Registry
from bench.task import Seeds
from bench.tasks.deg import DegTask
from bench.tasks.deg.evaluate import evaluate
from bench.tasks.deg.problem import DegProblem


class Smoothed:
    """Every cell halfway to the mean of all: rows are made when they are read."""

    def __init__(self, X: Any) -> None:
        self.shape = X.shape
        self._X, self._mean = X, np.asarray(X.mean(axis=0), dtype=np.float32).ravel() / 2 + np.float32(0.01)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._X[rows].toarray() / 2 + self._mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--track", default="subsample")
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    dataset = timed("read", lambda: Registry().load(options.study))
    problem = timed("problem", lambda: DegTask().make_problem(dataset, options.track, Seeds()))
    assert isinstance(problem, DegProblem)
    genes, X = problem.inputs.cells.var.index, log1p_cp10k(problem.inputs.cells.X)
    types = timed("tests, sparse", lambda: evaluate(X, problem.solution, genes)).sizes
    print(types.to_string(index=False))
    timed("test of donors", lambda: problem.pseudobulk)
    if options.dense:
        timed("tests, dense", lambda: evaluate(Smoothed(X), problem.solution, genes))


def timed(name: str, job: Callable[[], Any]) -> Any:
    """What ``job`` gives; prints its wall and CPU seconds and the memory that the process has had at most."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = job()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:16s} {wall:7.1f} s, {cpu:7.1f} CPU s, peak {memory:.1f} GiB", flush=True)
    return result


if __name__ == "__main__":
    main()
