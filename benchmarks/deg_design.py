"""Time the paper's permutation design: 100 subsamples x 6 ratios x 8 cell types of 38,000 cells x 19,306 genes.

python benchmarks/deg_design.py [--dense] [--scratch FOLDER]

Cells of the size of Smajic et al. (2022) are simulated: counts of a negative binomial, cell types of very different
size, half the cells of each in either arm, a tenth of the genes changed. Each of the 4,800 contrasts has Seurat's
filters, its own variance prior and the test of all genes that pass. ``--dense``: the same on an imputed matrix, a
float32 memory map of 2.9 GB in ``--scratch`` without zeros.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bench.tasks.deg.find_markers import fold_changes
from bench.tasks.deg.mast.two_groups import group_sums, two_group_lrt

GENES = 19_306
#: Cells of each type, 38,000 together.
TYPES = (14_000, 9_000, 5_000, 4_000, 3_000, 1_500, 1_000, 500)
RATIOS = (0.1, 0.2, 0.35, 0.5, 0.75, 0.9)
PERMUTATIONS = 100


def simulate(rng: np.random.Generator, cells: int) -> sparse.csr_matrix:
    """ln(1 + CP10K) of one type, the case cells first; about 12 % of the entries are positive."""
    mean = rng.lognormal(-3.0, 1.7, GENES)
    change = np.exp(np.where(rng.random(GENES) < 0.1, rng.normal(0, 0.5, GENES), 0))
    blocks = []
    for start in range(0, cells, 500):
        n = min(500, cells - start)
        depth = rng.lognormal(0, 0.4, (n, 1))
        factor = np.where(np.arange(start, start + n)[:, None] < cells // 2, change, 1.0)
        blocks.append(sparse.csr_matrix(rng.poisson(depth * mean * factor).astype(np.float32)))
    X = sparse.vstack(blocks, format="csr")
    X.data = np.log1p(X.data / np.repeat(np.asarray(X.sum(axis=1)).ravel(), np.diff(X.indptr)) * 1e4)
    return X


def imputed(rng: np.random.Generator, X: sparse.csr_matrix, file: Path) -> np.memmap:
    """Every cell halfway to the mean of its type, with noise: no zeros are left."""
    out = np.memmap(file, np.float32, "w+", shape=X.shape)
    centre = np.asarray(X.mean(axis=0)).ravel() / 2 + 0.01
    for start in range(0, X.shape[0], 500):
        block = X[start : start + 500].toarray() / 2 + centre
        out[start : start + 500] = block * rng.uniform(0.9, 1.1, block.shape)
    out.flush()
    return out


def design(rng: np.random.Generator, cells: int) -> sparse.csr_matrix:
    """Indicator of all subsamples of one type: case groups in the even rows, control in the odd."""
    arms = np.arange(cells // 2), np.arange(cells // 2, cells)
    rows = [
        rng.choice(arm, max(3, round(ratio * len(arm))), replace=False)
        for ratio in RATIOS
        for _ in range(PERMUTATIONS)
        for arm in arms
    ]
    pattern = (np.ones(sum(map(len, rows))), np.concatenate(rows), np.cumsum([0, *map(len, rows)]))
    return sparse.csr_matrix(pattern, shape=(len(rows), cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--scratch", type=Path, help="folder for the memory map")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    spent = {"sums": 0.0, "filters": 0.0, "tests": 0.0}
    fits, cpu = 0, 0.0
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        for cells in TYPES:
            X: Any = simulate(rng, cells)
            density = X.nnz / cells / GENES
            if options.dense:
                X = imputed(rng, X, Path(scratch) / f"{cells}.f32")
            indicator = design(rng, cells)
            clock, busy = [time.perf_counter()], time.process_time()
            sums = group_sums(X, indicator)
            clock.append(time.perf_counter())
            case, control = np.arange(0, indicator.shape[0], 2), np.arange(1, indicator.shape[0], 2)
            tested = fold_changes(sums, case, control).tested
            clock.append(time.perf_counter())
            p = two_group_lrt(sums, case, control, tested=tested, fields=("p",))["p"]
            clock.append(time.perf_counter())
            for step, seconds in zip(spent, np.diff(clock), strict=True):
                spent[step] += float(seconds)
            cpu += time.process_time() - busy
            fits += int(tested.sum())
            found = (p * GENES < 0.05).sum(axis=1).reshape(len(RATIOS), PERMUTATIONS).mean(axis=1)
            print(
                f"{cells:6,} cells, {density:.0%} positive: {clock[-1] - clock[0]:6.1f} s; DEGs by ratio {found}",
                flush=True,
            )
            del sums, tested, p, X
    total = sum(spent.values())
    parts = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in spent.items())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    contrasts = len(TYPES) * len(RATIOS) * PERMUTATIONS
    print(
        f"{contrasts:,} contrasts, {fits:,} genes tested: {total:.0f} s ({parts}), "
        f"{cpu:.0f} CPU s, peak {memory:.1f} GiB"
    )


if __name__ == "__main__":
    main()
