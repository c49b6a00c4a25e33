"""Memory that reading and checking a file of counts takes, beside what its matrix takes by itself.

python benchmarks/door_memory.py --cells 300000 --genes 20000 --density 0.05 --form csr
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

_ROWS = 2_000

_READ = """
import json, resource, sys, time
from pathlib import Path
from bench.data import ingest
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
ingest.read(Path(sys.argv[2]))
before, start = peak(), time.perf_counter()
adata = ingest.read(Path(sys.argv[1]))
found = {"before_mb": before, "peak_mb": peak(), "seconds": time.perf_counter() - start, "nnz": int(adata.X.nnz)}
print(json.dumps(found))
"""


def make(path: Path, n_cells: int, n_genes: int, density: float, form: str, dtype: str) -> int:
    """Write random counts block by block; bytes of the matrix in memory."""
    rng = np.random.default_rng(0)
    obs, var = (pd.DataFrame(index=[f"{kind}{i}" for i in range(n)]) for kind, n in (("c", n_cells), ("g", n_genes)))
    major, minor = (n_genes, n_cells) if form == "csc" else (n_cells, n_genes)
    per_row = max(1, int(minor * density))
    with h5py.File(path, "w") as file:
        if form == "10x":
            file["matrix/barcodes"], file["matrix/shape"] = obs.index.to_numpy("S"), (n_genes, n_cells)
            for name in ("id", "name"):
                file[f"matrix/features/{name}"] = var.index.to_numpy("S")
        else:
            write_elem(file, "/", anndata.AnnData(obs=obs, var=var))
        if form == "dense":
            stored = file.create_dataset("X", shape=(n_cells, n_genes), dtype=dtype)
            stored.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            for start in range(0, n_cells, _ROWS):
                n = min(_ROWS, n_cells - start)
                stored[start : start + n] = (rng.random((n, n_genes)) < density) * rng.integers(1, 9, (n, n_genes))
            return int(stored.nbytes)
        group = file.require_group("matrix" if form == "10x" else "X")
        group.attrs.update(
            {"encoding-type": f"{form}_matrix", "encoding-version": "0.1.0", "shape": (n_cells, n_genes)}
        )
        data = group.create_dataset("data", shape=(major * per_row,), dtype=dtype)
        indices = group.create_dataset("indices", shape=(major * per_row,), dtype=np.int32)
        group["indptr"] = np.arange(major + 1, dtype=np.int64) * per_row
        width = minor // per_row  # an entry in each stretch of this width: sorted and without repeats
        firsts = np.arange(per_row, dtype=np.int32) * width
        for start in range(0, major, _ROWS):
            n = min(_ROWS, major - start)
            part = slice(start * per_row, (start + n) * per_row)
            indices[part] = (firsts + rng.integers(0, width, (n, per_row), dtype=np.int32)).ravel()
            data[part] = rng.integers(1, 9, n * per_row)
        return int(data.nbytes + indices.nbytes + group["indptr"].nbytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=300_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--form", choices=["csr", "csc", "dense", "10x"], default="csr")
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ending = "h5" if args.form == "10x" else "h5ad"
        small, path = Path(folder) / f"small.{ending}", Path(folder) / f"large.{ending}"
        make(small, 100, 100, 0.5, args.form, args.dtype)
        size = make(path, args.cells, args.genes, args.density, args.form, args.dtype) / 2**20
        done = subprocess.run([sys.executable, "-c", _READ, path, small], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    print(
        f"{args.cells:,} x {args.genes:,} {args.form} of {args.dtype}, {found['nnz']:,} counts, matrix {size:,.0f} MB: "
        f"peak {found['peak_mb'] - found['before_mb']:,.0f} MB, "
        f"{found['peak_mb'] - found['before_mb'] - size:+,.0f} MB beside it, {found['seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
