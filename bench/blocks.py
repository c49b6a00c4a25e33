"""Matrices read by blocks of rows, so that memory need not hold them.

Read by methods' processes too, which may run an older Python: nothing here but numpy and scipy.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Values of a block of rows that are in memory at once.
BLOCK_VALUES = 1 << 24


def row_blocks(shape: tuple[int, ...], rows: int = 0) -> Iterator[slice]:
    """Consecutive rows of an array of ``shape``, as many as asked for or, of a matrix, as are worth holding at once."""
    rows = rows or max(1, BLOCK_VALUES // max(1, shape[1]))
    for start in range(0, shape[0], rows):
        yield slice(start, min(shape[0], start + rows))


def release(array: Any) -> None:
    """Take the pages of a mapped file out of this process's memory; they stay in the file, and come back when read."""
    base = getattr(array, "base", None)
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


class Rows:
    """A matrix that is read by blocks of rows, whatever holds it.

    Parameters
    ----------
    source
        A numpy array, a memory map, a scipy sparse matrix or a zarr array of shape (cells, genes).
    order
        Row ``i`` is row ``order[i]`` of ``source``; None: as it is.
    """

    def __init__(self, source: Any, order: NDArray[np.intp] | None = None) -> None:
        self._source, self._order = source, order
        self.shape: tuple[int, int] = tuple(source.shape)

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """Rows as a float32 array."""
        if self._order is not None:
            rows = self._order[rows]
        elif not isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]
        if not isinstance(rows, slice) and hasattr(self._source, "oindex"):
            block = self._source.oindex[rows]
        else:
            block = self._source[rows]
        if self._order is not None:
            release(self._source)  # the block is a copy
        return np.asarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float32)

    def blocks(self, rows: int = 0) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """All rows, some at a time (see :func:`row_blocks`); those of a mapped file leave memory again."""
        for part in row_blocks(self.shape, rows):
            yield part, self[part]
            release(self._source)
