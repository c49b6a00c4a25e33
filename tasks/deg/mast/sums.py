"""Four sums per group and gene: all that a hurdle model of a categorical design needs to know of the cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, prange
from scipy import sparse

from bench.blocks import row_blocks
from bench.tasks.deg.mast.logistic import KERNEL

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupSums:
    """Sufficient statistics of groups of cells.

    Parameters
    ----------
    n
        Cells of each group, (groups,).
    detected
        Cells in which a gene is expressed (> 0), (groups, genes), as are the following.
    total, squares
        Sum of the expression values (ln(1 + CP10K)) and of their squares.
    linear
        Sum of exp(value) - 1, that is of the CP10K.
    """

    n: NDArray[np.float64]
    detected: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    linear: NDArray[np.float64]

    def take(self, groups: NDArray[np.intp] | slice) -> GroupSums:
        """The sums of some of the groups."""
        return GroupSums(
            self.n[groups], self.detected[groups], self.total[groups], self.squares[groups], self.linear[groups]
        )


def group_sums(X: Any, indicator: sparse.csr_matrix) -> GroupSums:
    """Sum expression over groups of cells; a cell may be in any number of groups.

    Parameters
    ----------
    X
        Expression of cells x genes, not negative: a scipy sparse matrix, or whatever has ``.shape`` and gives dense
        rows for ``[a:b]`` (numpy array, memory map, zarr array), of which only blocks of rows are ever in memory.
    indicator
        Which cells (columns) are in which group (rows); only the pattern counts.

    Returns
    -------
    Sums of shape (groups, genes), float64: 32 bytes per group and gene.
    """
    if indicator.shape[1] != X.shape[0]:
        raise ValueError(f"indicator is of {indicator.shape[1]} cells, X of {X.shape[0]}")
    indicator = sparse.csr_matrix(indicator)
    shape = (indicator.shape[0], X.shape[1])
    sums = GroupSums(np.diff(indicator.indptr).astype(float), *(np.zeros(shape) for _ in range(4)))
    if sparse.issparse(X):
        X = X.tocsr()
        _add_sparse(
            *(X.indptr.astype(np.int64), X.indices.astype(np.int32, copy=False)),
            *(X.data.astype(np.float64, copy=False), np.expm1(X.data, dtype=np.float64)),
            *(indicator.indptr.astype(np.int64), indicator.indices.astype(np.int32, copy=False)),
            *(sums.detected, sums.total, sums.squares, sums.linear),
        )
    else:
        _add_dense(X, indicator, sums)
    return sums


@njit(
    "void(int64[::1], int32[::1], float64[::1], float64[::1], int64[::1], int32[::1],"
    "float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1])",
    **KERNEL,
)
def _add_sparse(indptr, indices, data, linear_data, group_ptr, members, detected, total, squares, linear):
    for group in prange(detected.shape[0]):
        sums = np.zeros((detected.shape[1], 4))  # of one gene side by side: one access to memory per entry
        for k in range(group_ptr[group], group_ptr[group + 1]):
            for j in range(indptr[members[k]], indptr[members[k] + 1]):
                value = data[j]
                if value > 0:
                    gene = indices[j]
                    sums[gene, 0] += 1
                    sums[gene, 1] += value
                    sums[gene, 2] += value * value
                    sums[gene, 3] += linear_data[j]
        detected[group], total[group] = sums[:, 0], sums[:, 1]
        squares[group], linear[group] = sums[:, 2], sums[:, 3]


def _add_dense(X: Any, indicator: sparse.csr_matrix, sums: GroupSums) -> None:
    """Matrix products over blocks of rows, one per set of groups that share cells (those of one arm of one type)."""
    by_cell = indicator.astype(np.float64).tocsc()
    by_cell.data[:] = 1
    n_groups = indicator.shape[0]
    links = sparse.bmat([[None, by_cell], [by_cell.T, None]])
    component = sparse.csgraph.connected_components(links, directed=False)[1]
    groups_of = [np.flatnonzero(component[:n_groups] == c) for c in np.unique(component[:n_groups])]
    rows_of = [np.flatnonzero(component[n_groups:] == component[groups[0]]) for groups in groups_of]
    for part in row_blocks(X.shape):
        block = np.asarray(X[part])
        for groups, rows in zip(groups_of, rows_of, strict=True):
            in_block = rows[np.searchsorted(rows, part.start) : np.searchsorted(rows, part.stop)]
            if len(in_block):
                values = block[in_block - part.start].astype(np.float64)
                member = by_cell[:, in_block][groups].toarray()
                sums.detected[groups] += member @ (values > 0).astype(np.float64)
                sums.total[groups] += member @ values
                sums.squares[groups] += member @ values**2
                sums.linear[groups] += member @ np.expm1(values)
