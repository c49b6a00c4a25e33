"""CellRanger's own formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csc_matrix, csr_matrix

from bench.data import checks
from bench.data._layout import folder_files, h5_group, opened
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

_GENE_EXPRESSION = "Gene Expression"


def read_10x_h5(path: Path) -> AnnData:
    """A CellRanger 2 (``<genome>/``) or 3 (``matrix/``) file; features other than gene expression are left out."""
    import h5py

    with h5py.File(path, "r") as file:
        group = file[h5_group(file, path)]
        features = group.get("features", group)
        genes = pd.DataFrame(
            {
                "gene_id": _strings(features["id" if "id" in features else "genes"]),
                "symbol": _strings(features["name" if "name" in features else "gene_names"]),
            }
        )
        kinds = _strings(features["feature_type"]) if "feature_type" in features else None
        n_genes, n_cells = (int(n) for n in group["shape"][:])
        barcodes = _strings(group["barcodes"])
        _check_lengths(len(genes), len(barcodes), n_genes, n_cells, path)
        X = csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape=(n_genes, n_cells))
    checks.check_structure(X, str(path))
    return _assemble(X.T.tocsr(), barcodes, genes, kinds)


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
    barcodes = _table(files["barcodes"])[0].to_numpy(dtype=object)
    table = _table(files["features"])
    symbols = table[1] if 1 in table else table[0]
    genes = pd.DataFrame({"gene_id": table[0], "symbol": symbols})
    n_genes, n_cells = X.shape
    _check_lengths(len(genes), len(barcodes), n_genes, n_cells, path)
    return _assemble(X.T.tocsr(), barcodes, genes, table[2].to_numpy(dtype=object) if 2 in table else None)


def _assemble(X: csr_matrix, barcodes: np.ndarray, genes: pd.DataFrame, kinds: np.ndarray | None) -> AnnData:
    from anndata import AnnData

    if kinds is not None and (kinds == _GENE_EXPRESSION).any():
        kept = kinds == _GENE_EXPRESSION
        X, genes = X[:, kept], genes[kept]
    genes.index = pd.Index(genes["gene_id"].astype(str), name=None)
    return AnnData(X=X, obs=pd.DataFrame(index=pd.Index(barcodes.astype(str))), var=genes)


def _check_lengths(n_features: int, n_barcodes: int, n_rows: int, n_columns: int, path: Path) -> None:
    if (n_features, n_barcodes) != (n_rows, n_columns):
        raise DataError(
            f"the matrix has {n_rows:,} genes x {n_columns:,} cells, but there are {n_features:,} features and "
            f"{n_barcodes:,} barcodes",
            where=str(path),
            fix="the files do not belong together: download them again from the same sample",
        )


def _strings(dataset: Any) -> np.ndarray:
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in dataset[:]], dtype=object)


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
