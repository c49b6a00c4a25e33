"""Expression that a method predicts: checked in its own process, by blocks of rows, and kept as it is asked for.

Read by methods' processes too, which may run an older Python: nothing here but numpy, scipy and the exchange code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bench.blocks import Rows, release
from bench.errors import InvalidOutputError
from bench.exchange.expression_scale import are_counts, check_scale
from bench.normalise import log1p_cp10k

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Inputs

#: Cells whose own counts are compared with what was returned for them, to notice another order; fewer say nothing.
_ORDER_CELLS, _ORDER_FEWEST, _ORDER_GENES = 200, 30, 2000


def take(values: Any, inputs: Inputs, folder: Path, name: str, number: int) -> list[str]:
    """Check what a method returned and keep what was asked for in ``folder``; returns what a reader must know.

    With a query: ``<name>_<number>.npy``, the queried values in the order of the query's entries. Without one:
    ``<name>.npy``, the whole (cells, genes) float32 matrix. Negative values are kept as 0.

    Raises
    ------
    InvalidOutputError
        If the values are not finite, have another shape, scale or order of cells than asked for.
    """
    matrix = Rows(_matrix(values, name))
    if matrix.shape != inputs.cells.X.shape:
        raise InvalidOutputError(
            f"{name!r} has shape {matrix.shape}, expected {inputs.cells.X.shape} (cells, genes)",
            fix="return a row per cell and a column per gene of inputs.cells, in the same order",
        )
    negative = _check_values(matrix, name)
    check_scale(matrix, inputs, name)
    _check_order(matrix, inputs, name)
    if inputs.query is not None:
        np.save(folder / f"{name}_{number}.npy", _queried(matrix, inputs.query))
    else:
        _keep(values, matrix, folder / f"{name}.npy", clip=negative > 0)
    return [f"{negative:,} of {matrix.shape[0] * matrix.shape[1]:,} values were negative and count as 0"] * bool(
        negative
    )


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
    taken = np.empty(query.nnz, np.float32)
    for rows, block in matrix.blocks():
        part = slice(query.indptr[rows.start], query.indptr[rows.stop])
        local = np.repeat(np.arange(rows.stop - rows.start), np.diff(query.indptr[rows.start : rows.stop + 1]))
        taken[part] = block[local, query.indices[part]]
    return np.maximum(taken, 0)


def _matrix(values: Any, name: str) -> Any:
    """What was returned as a matrix that gives rows by slice."""
    if sparse.issparse(values):
        return values.tocsr()
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.ndim != 2 or not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InvalidOutputError(
            f"{name!r} is an array of {array.dtype} with {array.ndim} dimensions, expected numbers with 2",
            fix="return a float32 array (cells, genes)",
        )
    return array


def _check_values(matrix: Rows, name: str) -> int:
    """Refuse what is not finite; returns the number of negative values."""
    broken = negative = 0
    for _, block in matrix.blocks():
        broken += int(np.count_nonzero(~np.isfinite(block)))
        negative += int(np.count_nonzero(block < 0))
    if broken:
        raise InvalidOutputError(
            f"{broken:,} values of {name!r} are NaN or infinite", fix="give every gene of every cell a finite value"
        )
    return negative


def _check_order(matrix: Rows, inputs: Inputs, name: str) -> None:
    """Refuse a result whose rows belong to other cells.

    What is returned for a cell resembles the cell's own counts more than another's, unless it is the same for many
    cells (means). So: rows that resemble their own counts no more often than a random other cell's, although nearly
    each has a best match of its own among the cells, are in another order.
    """
    n = matrix.shape[0]
    if n < _ORDER_FEWEST:
        return
    shown = inputs.cells.X
    shown = log1p_cp10k(shown) if are_counts(shown) else shown
    total = np.asarray(shown.sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-total, kind="stable")[:_ORDER_GENES])
    rng = np.random.default_rng(0)
    cells = np.sort(rng.choice(n, min(n, _ORDER_CELLS), replace=False))
    mine = matrix[cells][:, genes].astype(np.float64)
    mine -= mine.mean(axis=1, keepdims=True)
    theirs = shown[:, genes].astype(np.float64)
    mean = np.asarray(theirs.mean(axis=1)).ravel()
    spread = np.sqrt(np.maximum(np.asarray(theirs.power(2).mean(axis=1)).ravel() - mean**2, 1e-12))
    alike = (theirs @ mine.T).T / spread  # mine is centred, so the mean of theirs drops out
    own = alike[np.arange(len(cells)), cells]
    other = alike[np.arange(len(cells)), (cells + rng.integers(1, n, len(cells))) % n]
    distinct = len(np.unique(alike.argmax(axis=1))) / len(cells)
    if np.mean(own > other) < 0.6 and distinct > 0.8:
        raise InvalidOutputError(
            f"the rows of {name!r} are not in the order of the cells: only {np.mean(own > other):.0%} resemble the "
            "cell's own counts more than a random other cell's",
            fix="return the rows in the order of inputs.cells",
        )


def _keep(values: Any, matrix: Rows, target: Path, *, clip: bool) -> None:
    mapped = isinstance(values, np.memmap) and values.dtype == np.float32 and values.flags.c_contiguous
    if mapped and not clip and _is_whole_file(values):
        values.flush()
        os.replace(values.filename, target)
        return
    kept = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=matrix.shape)
    for rows, block in matrix.blocks():
        kept[rows] = np.maximum(block, 0)
        release(kept)
    kept.flush()


def _is_whole_file(values: np.memmap[Any, Any]) -> bool:
    """Whether the array is all of a ``.npy`` file, and not a part of it."""
    name = values.filename
    if name is None or not str(name).endswith(".npy"):
        return False
    whole = np.load(name, mmap_mode="r", allow_pickle=False)
    return whole.shape == values.shape and whole.dtype == values.dtype and not np.isfortran(whole)
