"""How fast cells come from disk: shuffled and sequential epochs and single random rows, over simulated stores.

    python benchmarks/loader_speed.py                       # 200,000 cells x 20,000 genes, .h5ad: about 5 GB of disk
    python benchmarks/loader_speed.py --cells 20000 --format zarr --keep /tmp/stores

Every measurement runs in a process of its own, for its peak memory, on a file that the system's cache has been told to
forget. Cells/s are those of whole batches, gene selection and ln(1 + CP10K) included where it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from bench.data.stream import open_counts
from bench.dataset import CountStore, DatasetCard
from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.training.batches import CellBatches, shared_genes

_BLOCK = 5000  # cells written at a time
_NAIVE = 2000  # rows read one by one: a whole epoch of them would take hours


def simulate(path: Path, n_cells: int, n_genes: int, detected: int, compression: str | None) -> None:
    """Write a store block by block: log-normal genes, Poisson counts, about ``detected`` genes a cell."""
    import anndata
    from anndata.io import sparse_dataset, write_elem

    rng = np.random.default_rng(0)
    weight = rng.lognormal(0, 1.5, n_genes)
    weight /= weight.sum()
    cumulative = np.cumsum(weight)

    def block(n: int) -> csr_matrix:
        """Distinct genes of each cell by drawing with replacement; counts are how often each was drawn."""
        draws = rng.poisson(rng.lognormal(np.log(2 * detected), 0.5, n)) + 1
        genes = np.minimum(np.searchsorted(cumulative, rng.random(draws.sum())), n_genes - 1)
        rows = np.repeat(np.arange(n), draws)
        return csr_matrix((np.ones(len(genes), np.int32), (rows, genes)), shape=(n, n_genes))

    first = min(_BLOCK, n_cells)
    var = pd.DataFrame({"symbol": [f"G{i}" for i in range(n_genes)]}, index=[f"ENSG{i:011d}" for i in range(n_genes)])
    options = {"compression": compression} if compression else {}
    root = _root(path)
    write_elem(root, "/", anndata.AnnData(X=block(first), var=var), dataset_kwargs=options)
    stored = sparse_dataset(root["X"])
    for start in range(first, n_cells, _BLOCK):
        stored.append(block(min(_BLOCK, n_cells - start)))
    del root["obs"]
    write_elem(root, "obs", pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)]))


def measure(path: Path, what: str, batch_size: int) -> dict[str, float]:
    """One epoch, or single rows, in this process."""
    _forget(path)
    store = open_store(path)
    genes = shared_genes([store])
    before, cells, start = _peak(), 0, time.perf_counter()
    if what == "rows one by one":
        for cell in np.random.default_rng(0).permutation(len(store))[:_NAIVE]:
            cells += store.rows(np.array([cell])).shape[0]
    else:
        batches = CellBatches([store], genes, batch_size, seed=0, shuffle="sequential" not in what)
        for counts in batches.epoch(0):
            cells += counts.shape[0] if "counts" in what else log1p_cp10k(counts).shape[0]
    seconds = time.perf_counter() - start
    return {"cells": cells, "seconds": seconds, "cells_per_s": cells / seconds, "open_mb": before, "peak_mb": _peak()}


def open_store(path: Path) -> CountStore:
    """The file as the library would open it, but for the checksum of its bytes."""
    card = DatasetCard(path.name, "", "", frozenset(), "none", 0, 0)
    store = open_counts(path, card, {})
    if store is None:
        raise SystemExit(f"{path} is not stored by cell")
    return store


def size(path: Path) -> int:
    """Bytes on disk of a file or folder."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


def _root(path: Path):
    import h5py
    import zarr

    return zarr.open_group(path, mode="w", zarr_format=2) if path.suffix == ".zarr" else h5py.File(path, "w")


def _forget(path: Path) -> None:
    """Ask the system to drop its cache of the file, so that it is read from the disk."""
    for file in [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _peak() -> float:
    """Peak memory of this process, MB. (``ru_maxrss`` would count the process that started it.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--detected", type=int, default=2000, help="genes with counts in a cell, about")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--format", choices=["h5ad", "zarr"], default="h5ad")
    parser.add_argument("--compression", choices=["gzip", "lzf"], help=".h5ad only; zarr compresses by itself")
    parser.add_argument("--keep", type=Path, help="folder for the store; one that is there already is used again")
    parser.add_argument("--measure", nargs=2, metavar=("STORE", "WHAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1], options.batch_size)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        name = "-".join(filter(None, [f"{options.cells}x{options.genes}-{options.detected}", options.compression]))
        path = folder / f"{name}.{options.format}"
        if not path.exists():
            start = time.perf_counter()
            simulate(path, options.cells, options.genes, options.detected, options.compression)
            print(f"written in {time.perf_counter() - start:.0f} s")
        report(path, options.batch_size)


def report(path: Path, batch_size: int) -> None:
    """All measurements of a store, as a table."""
    store = open_store(path)
    entries = int(store.n_entries.sum())
    gb = size(path) / 1e9
    print(
        f"{path.name}: {len(store):,} cells x {len(store.var):,} genes, {entries / len(store):,.0f} counts a cell, "
        f"{gb:.2f} GB on disk, {entries * 8 / 1e9:.2f} GB of counts in memory if loaded"
    )
    print(f"{'':36} {'cells/s':>9} {'peak MB':>8} {'over open':>9} {'peak/file':>9}")
    speed = {}
    for what in ("shuffled, counts", "sequential, counts", "shuffled, ln(1 + CP10K)", "rows one by one"):
        command = [sys.executable, __file__, "--batch-size", str(batch_size), "--measure", str(path), what]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        speed[what] = result["cells_per_s"]
        print(
            f"{what:36} {result['cells_per_s']:9,.0f} {result['peak_mb']:8,.0f} "
            f"{result['peak_mb'] - result['open_mb']:9,.0f} {result['peak_mb'] / 1e3 / gb:9.2f}"
        )
    ratio = speed["shuffled, counts"] / speed["rows one by one"]
    print(f"a shuffled epoch is {ratio:.1f} times as fast as rows one by one ({_NAIVE:,} of them were read)")


if __name__ == "__main__":
    main()
