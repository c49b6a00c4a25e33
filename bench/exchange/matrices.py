"""Cells x genes matrices in a run folder, with their names: sparse ones in .npz, dense ones in zarr."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bench.blocks import Rows
from bench.system import replacing

#: Rows of a chunk of a dense matrix.
_CHUNK_ROWS = 256


def save(file: Path, matrix: sparse.csr_matrix, cells: Iterable[str], genes: Iterable[str]) -> None:
    """Write a sparse matrix: ``data``, ``indices``, ``indptr``, ``shape`` (CSR), ``cell``, ``gene``; zeros are kept."""
    with replacing(file) as aside:
        np.savez_compressed(
            aside,
            data=matrix.data,
            indices=matrix.indices,
            indptr=matrix.indptr,
            shape=np.array(matrix.shape),
            cell=_names(cells),
            gene=_names(genes),
        )


def load(file: Path) -> sparse.csr_matrix:
    """Read what :func:`save` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        shape = tuple(int(s) for s in stored["shape"])
        return sparse.csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=shape)


def save_dense(folder: Path, matrix: Rows | Any, cells: Iterable[str], genes: Iterable[str]) -> None:
    """Write a dense matrix, block by block, as a zarr group with ``X`` (float32), ``cell`` and ``gene``."""
    import zarr

    source = matrix if isinstance(matrix, Rows) else Rows(matrix)
    chunks = (min(_CHUNK_ROWS, max(1, source.shape[0])), max(1, source.shape[1]))
    with replacing(folder) as aside:
        group = zarr.open_group(aside, mode="w", zarr_format=2)
        X = group.create_array("X", shape=source.shape, chunks=chunks, dtype="float32")
        for rows, block in source.blocks(chunks[0]):  # one chunk: of several, some are still written when one fails
            X[rows] = block
        for name, values in (("cell", _names(cells)), ("gene", _names(genes))):
            group.create_array(name, data=values)


def load_dense(folder: Path) -> Rows:
    """Open what :func:`save_dense` wrote; rows are read as they are asked for."""
    import zarr

    return Rows(zarr.open_group(folder, mode="r")["X"])


def names(file: Path) -> tuple[list[str], list[str]]:
    """Cells and genes of what :func:`save` or :func:`save_dense` wrote."""
    if file.is_dir():
        import zarr

        stored: Any = zarr.open_group(file, mode="r")
        return stored["cell"][:].tolist(), stored["gene"][:].tolist()
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["cell"].tolist(), arrays["gene"].tolist()


def _names(values: Iterable[str]) -> np.ndarray[Any, Any]:
    return np.asarray([str(value) for value in values], dtype=np.str_)
