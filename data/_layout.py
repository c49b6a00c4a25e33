"""The format of a file, and where things are in CellRanger's; no scientific package is needed to find out."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from bench.data._features import check_one_genome, which_genes
from bench.errors import DataError
from bench.system import path_hint

T = TypeVar("T")


def is_zarr(path: Path) -> bool:
    """Return whether this is a folder that zarr wrote, version 2 or 3."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def by_format(
    path: Path,
    *,
    anndata: Callable[[Path], T],
    h5: Callable[[Path], T],
    folder: Callable[[Path], T],
) -> T:
    """Hand ``path`` to the reader of its format: ``.h5ad``, ``.zarr`` of AnnData, 10x ``.h5`` or 10x folder.

    Raises
    ------
    bench.errors.DataError
        If there is no such file, or its type is not known.
    """
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path), fix=path_hint(path))
    if path.is_dir():
        return anndata(path) if is_zarr(path) else folder(path)
    if not path.is_file():
        raise DataError("this is neither a file nor a folder", where=str(path), fix="write it to a file first")
    ending = path.suffix.lower()
    if ending == ".h5ad":
        return anndata(path)
    if ending in (".h5", ".hdf5"):
        return h5(path)
    raise DataError(
        f"files of type {path.suffix or '(no extension)'!r} are not known", where=str(path), fix=_instead(path)
    )


#: Endings of what others write, and how to get an ``.h5ad`` of it.
_CONVERTED = {
    ".csv": "scanpy.read_csv(FILE)",
    ".h5mu": "mudata.read_h5mu(FILE)['rna']",
    ".loom": "scanpy.read_loom(FILE)",
    ".rds": "in R: zellkonverter::writeH5AD(...), of Seurat's objects after as.SingleCellExperiment(...)",
    ".tsv": "scanpy.read_text(FILE)",
    ".txt": "scanpy.read_text(FILE)",
}


def _instead(path: Path) -> str:
    """Say what to hand over in place of a file of this name."""
    ending = path.suffix.lower()
    if ".mtx" in path.suffixes:
        return "hand over the folder that it lies in, with its barcodes and features"
    if ending in (".gz", ".bz2", ".xz", ".zip", ".tar"):
        return "unpack it first, and hand over what is in it"
    if ending in _CONVERTED:
        return f"write its counts, cells x genes, as .h5ad: {_CONVERTED[ending]}"
    return "hand over .h5ad, .zarr, a 10x .h5, or a 10x folder with matrix.mtx[.gz]"


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
    files = {}
    names = sorted(f for f in path.iterdir() if f.is_file() and not f.name.startswith("."))
    for role, stems in endings.items():
        hits = [f for f in names if f.name.removesuffix(".gz").endswith(stems)]
        if len(hits) != 1:
            matching = ", ".join(f.name for f in hits) or "none"
            raise DataError(
                f"expected one file named {' or '.join(stems)} (or .gz, or with a prefix), found {matching}",
                where=str(path),
                fix="hand over one folder per library with matrix, barcodes and features (or genes)",
            )
        files[role] = hits[0]
    return files


@dataclass(frozen=True)
class Shape:
    """Cells and genes of a matrix, and a line about features that are no genes, if there are any."""

    n_cells: int
    n_genes: int
    left_out: str = ""

    def of_genes(self, kinds: Sequence[object] | None, where: Path) -> Shape:
        """The same of the features that are genes by their kinds (:func:`bench.data._features.which_genes`)."""
        genes, left_out = which_genes(kinds, str(where))
        return self if genes is None else Shape(self.n_cells, sum(genes), left_out)


def folder_shape(path: Path) -> Shape:
    """Cells and genes of a 10x folder, from the matrix' header and the kinds of its features."""
    files = folder_files(path)
    with opened(files["features"]) as handle:
        rows = [line.decode("utf-8", "replace").rstrip("\r\n").split("\t") for line in handle]
    kinds = [row[2] for row in rows] if rows and all(len(row) > 2 for row in rows) else None
    with opened(files["matrix"]) as handle:
        for raw in handle:
            line = raw.decode("utf-8", "replace")
            if not line.startswith("%"):
                n_genes, n_cells = (int(word) for word in line.split()[:2])
                return Shape(n_cells, n_genes).of_genes(kinds, path)
    raise DataError("the matrix file has no header", where=str(files["matrix"]), fix="check that the file is complete")


def h5_shape(path: Path) -> Shape:
    """Cells and genes of a 10x ``.h5``."""
    import h5py

    with h5py.File(path, "r") as file:
        group = file[h5_group(file, path)]
        n_genes, n_cells = (int(n) for n in group["shape"][:])
        kinds = h5_strings(group["features/feature_type"]) if "features/feature_type" in group else None
    return Shape(n_cells, n_genes).of_genes(kinds, path)


def h5_strings(dataset: Any) -> list[str]:
    """Text of an array of HDF5."""
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in dataset[:]]


def h5_group(file: Any, path: Path) -> str:
    """Name of the group with the counts: ``matrix``, or the genome of a CellRanger 2 file."""
    groups = ["matrix"] if "matrix" in file else [name for name in file if "barcodes" in file[name]]
    check_one_genome(groups, str(path))
    if not groups:
        raise DataError(
            f"this is not a 10x file (groups: {', '.join(file) or 'none'})",
            where=str(path),
            fix="hand over CellRanger's filtered_feature_bc_matrix.h5, or an .h5ad with the extension .h5ad",
        )
    return groups[0]
