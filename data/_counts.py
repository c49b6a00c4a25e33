"""Matrices of any layout as checked counts by cell, block by block: what is held besides the counts are some MB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bench.data import checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Entries of a block; of a dense matrix, zeros too.
_BLOCK = 2**22

#: What makes a checked block of cells (or of genes) from a block as it is stored.
Check = Callable[[Any, str], sparse.csr_matrix]


@dataclass(frozen=True)
class Matrix:
    """Cells x genes as arrays, in memory or on disk, of which stretches can be read.

    Parameters
    ----------
    form
        ``csr``, ``csc`` or ``dense``.
    data
        The entries; of a dense matrix all values.
    indices, indptr
        None of a dense matrix. ``indptr`` is in memory, and ends with the number of entries.
    """

    form: str
    shape: tuple[int, int]
    data: Any
    indices: Any = None
    indptr: Any = None

    def blocks(self) -> Iterator[tuple[int, Any]]:
        """Stretches of cells (of genes of a ``csc``) as cells x genes, each with its first cell (gene)."""
        step = max(_BLOCK, _chunk(self.data))  # a chunk on disk is not unpacked twice
        if self.form == "dense":
            cells = max(1, step // max(1, self.shape[1]))
            for start in range(0, self.shape[0], cells):
                yield start, _native(self.data[start : start + cells])
            return
        for start, stop in self._stretches(step):
            yield start, self._block(start, stop)

    def n_entries(self) -> NDArray[np.int64]:
        """(cells,): how many entries of a ``csr`` are not zero; indices are not read."""
        parts = [np.zeros(0, dtype=np.int64)]
        for start, stop in self._stretches(max(_BLOCK, _chunk(self.data))):
            ends = self.indptr[start : stop + 1]
            filled = np.append(0, np.cumsum(self.data[int(ends[0]) : int(ends[-1])] != 0))
            parts.append(np.diff(filled[ends - ends[0]]))
        return np.concatenate(parts)

    def _stretches(self, step: int) -> Iterator[tuple[int, int]]:
        """First cell (gene) and the one after the last, of at most ``step`` entries if it is more than one."""
        start, end = 0, len(self.indptr) - 1
        while start < end:
            stop = int(np.searchsorted(self.indptr, self.indptr[start] + step, side="right")) - 1
            stop = min(max(stop, start + 1), end)
            yield start, stop
            start = stop

    def _block(self, start: int, stop: int) -> Any:
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        parts = self.data[first:last], self.indices[first:last], self.indptr[start : stop + 1] - first
        if self.form == "csr":
            return compressed(sparse.csr_matrix, (stop - start, self.shape[1]), *parts)
        return compressed(sparse.csc_matrix, (self.shape[0], stop - start), *parts)


def compressed(make: type, shape: tuple[int, int], data: Any, indices: Any, indptr: Any) -> Any:
    """A compressed sparse matrix of arrays that are not checked yet."""
    index = np.int32 if indices.dtype.itemsize <= 4 else np.int64
    matrix = make(shape, dtype=np.int8)
    # Set one by one: the constructor looks at, and may copy, what checks.check_structure looks at next.
    matrix.data, matrix.indices = _native(data), indices.astype(index, copy=False)
    matrix.indptr = indptr.astype(index, copy=False)
    return matrix


def in_memory(X: Any) -> Matrix:
    """A scipy or numpy matrix; CSR and CSC are taken as they are."""
    if sparse.issparse(X):
        X = X if X.format in ("csr", "csc") else X.tocsr()
        checks.check_structure(X, "the matrix")
        return Matrix(X.format, X.shape, X.data, X.indices, X.indptr)
    return Matrix("dense", X.shape, X)


def counts(X: Any, where: str) -> sparse.csr_matrix:
    """Checked counts of a block, int32, sorted, without stored zeros."""
    matrix = checks.as_csr(X, where)
    checks.check_finite(matrix, where)
    checks.check_counts(matrix, where)
    return matrix.astype(np.int32, copy=False)


def values(X: Any, where: str) -> sparse.csr_matrix:
    """Checked expression of a block, which need not be counts, sorted, without stored zeros."""
    matrix = checks.as_csr(X, where)
    checks.check_finite(matrix, where)
    checks.check_not_negative(matrix, where)
    return matrix


def by_cell(matrix: Matrix, where: str, check: Check = counts) -> sparse.csr_matrix:
    """All cells as ``check`` gives them.

    Raises
    ------
    bench.errors.DataError
        If a block fails the check; ``where`` and the block say where.
    """
    kind = "genes" if matrix.form == "csc" else "cells"
    last = matrix.shape[1 if matrix.form == "csc" else 0] - 1

    def checked() -> Iterator[tuple[int, sparse.csr_matrix]]:
        for start, block in matrix.blocks():
            stop = start + block.shape[1 if matrix.form == "csc" else 0] - 1
            place = where if (start, stop) == (0, last) else f"{kind} {start:,} to {stop:,} of {where}"
            yield start, check(block, place)

    if matrix.form == "csc":
        return _side_by_side(checked, matrix.shape)
    if matrix.form == "dense":
        return sparse.vstack([block for _, block in checked()], format="csr")
    return _one_below_the_other(checked(), matrix.shape, matrix.data.shape[0])


def _one_below_the_other(
    blocks: Iterator[tuple[int, sparse.csr_matrix]], shape: tuple[int, int], room: int
) -> sparse.csr_matrix:
    """Blocks of cells in one matrix of at most ``room`` entries."""
    data, indices = None, np.empty(room, dtype=np.int32)
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    end = 0
    for start, block in blocks:
        if data is None:
            data = np.empty(room, dtype=block.dtype)
        data[end : end + block.nnz], indices[end : end + block.nnz] = block.data, block.indices
        indptr[start + 1 : start + 1 + block.shape[0]] = block.indptr[1:] + end
        end += block.nnz
    assert data is not None
    return _csr(data[:end], indices[:end], indptr, shape)


def _side_by_side(
    blocks: Callable[[], Iterator[tuple[int, sparse.csr_matrix]]], shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Blocks of genes in one matrix; read twice, for a copy by gene beside the one by cell would take as much again."""
    n_entries = np.zeros(shape[0], dtype=np.int64)
    for _, block in blocks():
        n_entries += np.diff(block.indptr)
        dtype = block.dtype
    indptr = np.append(0, np.cumsum(n_entries))
    data, indices = np.empty(indptr[-1], dtype=dtype), np.empty(indptr[-1], dtype=np.int32)
    free = indptr[:-1].copy()  # where the next entry of each cell goes
    for start, block in blocks():
        n_entries = np.diff(block.indptr)
        place = np.repeat(free - block.indptr[:-1], n_entries) + np.arange(block.nnz)
        data[place], indices[place] = block.data, block.indices + start
        free += n_entries
    return _csr(data, indices, indptr, shape)


def _csr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> sparse.csr_matrix:
    small = indptr[-1] <= np.iinfo(np.int32).max
    return sparse.csr_matrix((data, indices, indptr.astype(np.int32) if small else indptr), shape=shape)


def _native(values: Any) -> Any:
    """Numbers of a type that scipy's matrices can have."""
    dtype = values.dtype
    return values.astype(np.float32 if dtype == np.float16 else dtype.newbyteorder("="), copy=False)


def _chunk(array: Any) -> int:
    """Entries of what is read at least at once."""
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    return prod((chunks[0], *array.shape[1:])) if chunks else 0
