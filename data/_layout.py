"""Where things are in CellRanger's formats; no scientific package is needed to look."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from bench.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file for reading bytes, unpacked if its name ends in ``.gz``."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
        yield cast("IO[bytes]", handle)


def folder_files(path: Path) -> dict[str, Path]:
    """The three files of a 10x folder by role; macOS' ``._*`` companions are skipped.

    Raises
    ------
    bench.errors.DataError
        If one is missing, or there are several to choose from.
    """
    endings = {
        "matrix": ("matrix.mtx",),
        "barcodes": ("barcodes.tsv",),
        "features": ("features.tsv", "genes.tsv"),
    }
    found = {}
    names = sorted(f for f in path.iterdir() if f.is_file() and not f.name.startswith("."))
    for role, stems in endings.items():
        hits = [f for f in names if f.name.removesuffix(".gz").endswith(stems)]
        if len(hits) != 1:
            seen = ", ".join(f.name for f in hits) or "none"
            raise DataError(
                f"expected one file named {' or '.join(stems)} (or .gz, or with a prefix), found {seen}",
                where=str(path),
                fix="hand over one folder per library with matrix, barcodes and features (or genes)",
            )
        found[role] = hits[0]
    return found


def folder_shape(path: Path) -> tuple[int, int]:
    """Cells and genes of a 10x folder, from the matrix' header."""
    matrix = folder_files(path)["matrix"]
    with opened(matrix) as handle:
        for raw in handle:
            line = raw.decode("utf-8", "replace")
            if not line.startswith("%"):
                n_genes, n_cells = (int(word) for word in line.split()[:2])
                return n_cells, n_genes
    raise DataError("the matrix file has no header", where=str(matrix), fix="check that the file is complete")


def h5_shape(path: Path) -> tuple[int, int]:
    """Cells and genes of a 10x ``.h5``."""
    import h5py

    with h5py.File(path, "r") as file:
        n_genes, n_cells = (int(n) for n in file[h5_group(file, path)]["shape"][:])
    return n_cells, n_genes


def h5_group(file: Any, path: Path) -> str:
    """Name of the group with the counts: ``matrix``, or the genome of a CellRanger 2 file."""
    groups = ["matrix"] if "matrix" in file else [name for name in file if "barcodes" in file[name]]
    if len(groups) != 1:
        raise DataError(
            f"this is not a 10x file with one genome (groups: {', '.join(file) or 'none'})",
            where=str(path),
            fix="hand over CellRanger's filtered_feature_bc_matrix.h5, or an .h5ad with the extension .h5ad",
        )
    return groups[0]
