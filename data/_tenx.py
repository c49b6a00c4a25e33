"""CellRanger's own formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy.sparse import csc_matrix, csr_matrix

from bench.data import checks
from bench.data._features import check_ids, which_genes
from bench.data._layout import folder_files, h5_group, h5_strings, opened
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData


def read_10x_h5(path: Path) -> AnnData:
    """A CellRanger 2 (``<genome>/``) or 3 (``matrix/``) file; features other than gene expression are left out."""
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
        X = csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape=(n_genes, n_cells))
    checks.check_structure(X, str(path))
    return _assemble(X.T.tocsr(), barcodes, table, path)


def read_10x_folder(path: Path) -> AnnData:
    """A folder with ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` or ``genes.tsv``, gzipped or not."""
    from scipy.io import mmread

    files = folder_files(path)
    with opened(files["matrix"]) as handle:
        try:
            X = csr_matrix(mmread(handle))
        except ValueError as error:
            raise DataError(
                f"not a matrix market file: {error}", where=str(files["matrix"]), fix="check that the file is complete"
            ) from error
    barcodes = _table(files["barcodes"])[0].tolist()
    read = _table(files["features"])
    table = pd.DataFrame({"gene_id": read[0], "symbol": read[1] if 1 in read else read[0]})
    if 2 in read:
        table["feature_type"] = read[2]
    n_genes, n_cells = X.shape
    _check_lengths(len(table), len(barcodes), n_genes, n_cells, path)
    return _assemble(X.T.tocsr(), barcodes, table, path)


def _assemble(X: csr_matrix, barcodes: list[str], table: pd.DataFrame, path: Path) -> AnnData:
    from anndata import AnnData

    genes, _ = which_genes(table["feature_type"].tolist() if "feature_type" in table else None, str(path))
    if genes is not None:
        X, table = X[:, genes], table[genes]
    check_ids(table["gene_id"].tolist(), table["genome"] if "genome" in table else (), str(path))
    var = table[["gene_id", "symbol"]].set_axis(pd.Index(table["gene_id"], name=None))
    return AnnData(X=X, obs=pd.DataFrame(index=pd.Index(barcodes)), var=var)


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
