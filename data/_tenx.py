"""CellRanger's own formats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy.sparse import csr_matrix

from bench.data._counts import Matrix, in_memory
from bench.data._features import check_ids, which_genes
from bench.data._layout import folder_files, h5_group, h5_strings, opened
from bench.data._stored import compressed
from bench.errors import DataError


@dataclass(frozen=True)
class TenX:
    """A count matrix of CellRanger, as it lies in its file or folder.

    Parameters
    ----------
    cells
        Barcodes.
    features
        Table with ``gene_id`` and ``symbol``, by the former; of genes only.
    counts
        Cells x all features.
    genes
        Which features are genes; None: all.
    """

    cells: pd.Index
    features: pd.DataFrame
    counts: Matrix
    genes: list[bool] | None


@contextmanager
def opened_10x_h5(path: Path) -> Iterator[TenX]:
    """A CellRanger 2 (``<genome>/``) or 3 (``matrix/``) file, whose counts are not read yet."""
    import h5py

    with h5py.File(path, "r") as file:
        group = file[h5_group(file, path)]
        features = group.get("features", group)
        table = pd.DataFrame(
            {
                "gene_id": h5_strings(features["id" if "id" in features else "genes"]),
                "symbol": h5_strings(features["name" if "name" in features else "gene_names"]),
            }
        )
        for name in ("feature_type", "genome"):
            if name in features:
                table[name] = h5_strings(features[name])
        n_genes, n_cells = (int(n) for n in group["shape"][:])
        barcodes = h5_strings(group["barcodes"])
        _check_lengths(len(table), len(barcodes), n_genes, n_cells, path)
        yield _tenx(barcodes, table, compressed(group, "csr", (n_cells, n_genes), path), path)


@contextmanager
def opened_10x_folder(path: Path) -> Iterator[TenX]:
    """A folder with ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` or ``genes.tsv``, gzipped or not."""
    from scipy.io import mmread

    files = folder_files(path)
    with opened(files["matrix"]) as handle:
        try:
            X = csr_matrix(mmread(handle).T)
        except ValueError as error:
            raise DataError(
                f"not a matrix market file: {error}", where=str(files["matrix"]), fix="check that the file is complete"
            ) from error
    barcodes = _table(files["barcodes"])[0].tolist()
    read = _table(files["features"])
    table = pd.DataFrame({"gene_id": read[0], "symbol": read[1] if 1 in read else read[0]})
    if 2 in read:
        table["feature_type"] = read[2]
    n_cells, n_genes = X.shape
    _check_lengths(len(table), len(barcodes), n_genes, n_cells, path)
    yield _tenx(barcodes, table, in_memory(X), path)


def _tenx(barcodes: list[str], table: pd.DataFrame, counts: Matrix, path: Path) -> TenX:
    genes, _ = which_genes(table["feature_type"].tolist() if "feature_type" in table else None, str(path))
    table = table if genes is None else table[genes]
    check_ids(table["gene_id"].tolist(), table["genome"] if "genome" in table else (), str(path))
    features = table[["gene_id", "symbol"]].set_axis(pd.Index(table["gene_id"], name=None))
    return TenX(pd.Index(barcodes), features, counts, genes)


def _check_lengths(n_features: int, n_barcodes: int, n_rows: int, n_columns: int, path: Path) -> None:
    if (n_features, n_barcodes) == (n_rows, n_columns):
        return
    fix = "the files do not belong together: download them again from the same sample"
    if (n_features, n_barcodes) == (n_columns, n_rows):
        fix = "it was written transposed (10x has a row a gene): write it again from matrix.T, or hand over an .h5ad"
    elif (n_features - n_rows, n_barcodes - n_columns) in ((1, 0), (0, 1), (1, 1)):
        fix = "10x tables have no line of column names: remove it; without one, the files do not belong together"
    raise DataError(
        f"the matrix has {n_rows:,} genes x {n_columns:,} cells (rows x columns), but there are {n_features:,} "
        f"features and {n_barcodes:,} barcodes",
        where=str(path),
        fix=fix,
    )


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
