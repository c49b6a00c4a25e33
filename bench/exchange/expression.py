"""Expression between a method's process and the harness: the entries that are asked for, or the whole matrix.

Read by methods' processes too, which may run an older Python: nothing here but numpy, scipy and the exchange code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bench.blocks import Rows, release

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Inputs


def write(values: Any, inputs: Inputs, folder: Path, name: str, number: int, *, clip: bool) -> None:
    """Write what was asked for of a checked matrix into ``folder``.

    With a query: ``<name>_<number>.npy``, the queried values in the order of the query's entries. Without one:
    ``<name>.npy``, the whole (cells, genes) float32 matrix. Negative values (``clip`` says that there are some) become
    0.
    """
    matrix = Rows(values)
    if inputs.query is not None:
        np.save(folder / f"{name}_{number}.npy", _queried(matrix, inputs.query))
    else:
        _write_whole(values, matrix, folder / f"{name}.npy", clip=clip)


def merged(queries: list[sparse.csr_matrix], values: list[NDArray[np.float32]]) -> sparse.csr_matrix:
    """The answers of all rounds as one matrix whose pattern is the union of the queries, zeros kept."""
    entries = [query.tocoo() for query in queries]
    rows = np.concatenate([e.row for e in entries])
    columns = np.concatenate([e.col for e in entries])
    joined = sparse.csr_matrix((np.concatenate(values), (rows, columns)), shape=queries[0].shape)
    joined.sort_indices()
    if joined.nnz != len(rows):
        raise ValueError("an entry is asked for in more than one round")
    return joined


def at_query(matrix: Rows | Any, query: sparse.csr_matrix) -> sparse.csr_matrix:
    """The queried entries of a whole matrix (anything that :class:`Rows` reads), zeros kept."""
    source = matrix if isinstance(matrix, Rows) else Rows(matrix)
    return sparse.csr_matrix((_queried(source, query), query.indices, query.indptr), shape=query.shape)


def _queried(matrix: Rows, query: sparse.csr_matrix) -> NDArray[np.float32]:
    asked = np.empty(query.nnz, np.float32)
    for rows, block in matrix.blocks():
        part = slice(query.indptr[rows.start], query.indptr[rows.stop])
        local = np.repeat(np.arange(rows.stop - rows.start), np.diff(query.indptr[rows.start : rows.stop + 1]))
        asked[part] = block[local, query.indices[part]]
    return np.maximum(asked, 0)


def _write_whole(values: Any, matrix: Rows, target: Path, *, clip: bool) -> None:
    mapped = isinstance(values, np.memmap) and values.dtype == np.float32 and values.flags.c_contiguous
    if mapped and not clip and _is_whole_file(values):
        values.flush()
        os.replace(values.filename, target)
        return
    copy = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=matrix.shape)
    for rows, block in matrix.blocks():
        copy[rows] = np.maximum(block, 0)
        release(copy)
    copy.flush()


def _is_whole_file(values: np.memmap[Any, Any]) -> bool:
    """Whether the array is all of a ``.npy`` file, and not a part of it."""
    name = values.filename
    if name is None or not str(name).endswith(".npy"):
        return False
    whole = np.load(name, mmap_mode="r", allow_pickle=False)
    return whole.shape == values.shape and whole.dtype == values.dtype and not np.isfortran(whole)
