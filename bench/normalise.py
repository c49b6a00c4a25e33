"""Counts per ten thousand, their logarithm, and whole counts, once for inputs, truths, controls and methods.

Read by methods' processes too, which may run an older Python: nothing here but numpy and scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What the counts of a cell are brought to.
CP10K = 1e4
#: Cells whose logarithms are taken at a time.
_ROWS = 4096


def totals(X: sparse.csr_matrix) -> NDArray[np.float64]:
    """Counts of every cell of a cells x genes matrix."""
    return np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()


def cp10k(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """Counts per 10,000 of a cells x genes matrix; float64, sparsity kept, empty cells stay zero.

    The indices are those of ``X``.
    """
    return sparse.csr_matrix((X.data * np.repeat(_scale(totals(X)), np.diff(X.indptr)), X.indices, X.indptr), X.shape)


def log1p_cp10k(X: sparse.csr_matrix, library_size: NDArray[np.float64] | None = None) -> sparse.csr_matrix:
    """ln(1 + counts per 10,000) of a cells x genes matrix; float32, sparsity kept, empty cells stay zero.

    ``library_size`` are the cells' totals where they are not the sums of ``X``. The indices are those of ``X``.
    """
    scale = _scale(totals(X) if library_size is None else library_size)
    logged = np.empty(X.nnz, np.float32)
    for start in range(0, X.shape[0], _ROWS):  # in double precision, but never all of it
        ends = X.indptr[start : start + _ROWS + 1]
        part = slice(ends[0], ends[-1])
        logged[part] = np.log1p(X.data[part] * np.repeat(scale[start : start + _ROWS], np.diff(ends)))
    return sparse.csr_matrix((logged, X.indices, X.indptr), X.shape)


def rounded(values: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """Whole numbers in place of fractions: up with a probability equal to the fractional part; others stay.

    The mean of two cells has half counts. Cutting them off would erase every gene that one of the two has once, and
    rounding half up would show each such gene at full strength; random rounding keeps every gene's expectation.
    """
    whole = np.floor(values)
    return np.asarray(whole + (rng.random(len(whole)) < values - whole))


def _scale(size: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(CP10K, size, out=np.zeros(size.shape), where=size > 0)
