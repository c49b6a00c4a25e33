"""Expression between a method's process and the harness: the masked entries, or the whole matrix.

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
    """Write the masked entries, or all, of a checked matrix into ``folder``.

    With a mask: ``<name>_<number>.npy``, the masked values in the order of the mask's entries. Without one:
    ``<name>.npy``, the whole (cells, genes) float32 matrix. Negative values (``clip`` says that there are some) become
    0.
    """
    matrix = Rows(values)
    if inputs.query is not None:
        np.save(folder / f"{name}_{number}.npy", _at(matrix, inputs.query))
    else:
        _write_whole(values, matrix, folder / f"{name}.npy", clip=clip)


def merged(masks: list[sparse.csr_matrix], values: list[NDArray[np.float32]]) -> sparse.csr_matrix:
    """The answers of all masking rounds as one matrix whose pattern is the union of the masks, zeros kept."""
    entries = [mask.tocoo() for mask in masks]
    rows = np.concatenate([e.row for e in entries])
    columns = np.concatenate([e.col for e in entries])
    joined = sparse.csr_matrix((np.concatenate(values), (rows, columns)), shape=masks[0].shape)
    joined.sort_indices()
    if joined.nnz != len(rows):
        raise ValueError("an entry is masked in more than one round")
    return joined


def at_mask(matrix: Rows | Any, mask: sparse.csr_matrix) -> sparse.csr_matrix:
    """The masked entries of a whole matrix (anything that :class:`Rows` reads), zeros kept."""
    source = matrix if isinstance(matrix, Rows) else Rows(matrix)
    return sparse.csr_matrix((_at(source, mask), mask.indices, mask.indptr), shape=mask.shape)


def _at(matrix: Rows, mask: sparse.csr_matrix) -> NDArray[np.float32]:
    masked = np.empty(mask.nnz, np.float32)
    for rows, block in matrix.blocks():
        part = slice(mask.indptr[rows.start], mask.indptr[rows.stop])
        local = np.repeat(np.arange(rows.stop - rows.start), np.diff(mask.indptr[rows.start : rows.stop + 1]))
        masked[part] = block[local, mask.indices[part]]
    return np.maximum(masked, 0)


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
    """Return whether the array is all of a ``.npy`` file, and not a part of it."""
    name = values.filename
    if name is None or not str(name).endswith(".npy"):
        return False
    whole = np.load(name, mmap_mode="r", allow_pickle=False)
    return whole.shape == values.shape and whole.dtype == values.dtype and not np.isfortran(whole)
