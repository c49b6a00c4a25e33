"""Expression that controls return: rows made when they are read, and means of groups of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class LazyRows:
    """Cells x genes whose rows are made when they are read.

    Parameters
    ----------
    make
        ``make(rows)`` gives the rows at integer positions, float32.
    """

    def __init__(self, shape: tuple[int, int], make: Callable[[NDArray[np.intp]], NDArray[np.float32]]) -> None:
        self.shape, self._make = shape, make

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """Rows as a float32 array."""
        return self._make(np.arange(self.shape[0])[rows]).astype(np.float32, copy=False)


def profiles(means: NDArray[np.float32], group: NDArray[np.intp]) -> LazyRows:
    """A matrix of which many rows are equal: ``means[group]``."""
    return LazyRows((len(group), means.shape[1]), lambda rows: means[group[rows]])


def group_means(X: sparse.csr_matrix, group: NDArray[np.intp], n: int) -> NDArray[np.float32]:
    """Mean of each of ``n`` groups of cells (groups, genes); ``group`` is that of every cell, none is empty."""
    member = sparse.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), shape=(n, len(group)))
    sums = (member @ X).toarray()
    return np.asarray(sums / np.bincount(group, minlength=n)[:, None], np.float32)
