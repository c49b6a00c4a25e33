"""From counts to what the models read: ln(1 + CP10K), dense, one batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench import normalise
from bench.errors import BenchError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_LARGEST_LOG = 30.0  # no logged value is larger, be it log2 of a billion


def log1p_cp10k(counts: csr_matrix, where: str = "") -> np.ndarray:
    """ln(1 + counts * 10,000 / total), where the total of a cell is over the genes given.

    So did scMamba's preparation: genes are chosen first, then cells normalised (models.md of the paper's code, 3.2).

    Parameters
    ----------
    counts
        (cells, genes), raw counts.
    where
        What they are called in an error.

    Returns
    -------
    (cells, genes), float32, dense.

    Raises
    ------
    bench.errors.BenchError
        If these are no counts (:func:`check_counts`) or a cell has none.
    """
    check_counts(counts, where)
    totals = normalise.totals(counts)
    empty = np.flatnonzero(totals == 0)
    if len(empty):
        raise BenchError(
            f"{len(empty):,} of {len(totals):,} cells have no counts in the genes of the model (first: row {empty[0]})",
            where=where,
            fix="leave these cells out; if they are many, check that the genes are the ones of the model's organism",
        )
    return normalise.log1p_cp10k(counts).toarray()


def check_counts(counts: csr_matrix, where: str = "") -> None:
    """Refuse what cannot be raw counts: NaN, negative (scaled) and fractional (logged, normalised) values.

    Half counts pass: the mean of two cells has them.
    """
    data = counts.data
    if not len(data):
        return
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise BenchError(
            f"{int((~np.isfinite(data)).sum()):,} values are NaN or infinite",
            where=where,
            fix="hand over raw counts; NaN often comes from an outer join of matrices (fill with 0)",
        )
    if data.min() < 0:
        raise BenchError(
            f"there are negative values (smallest {data.min():.4g}): the data are scaled or corrected",
            where=where,
            fix="hand over raw counts: the model normalises them itself",
        )
    if data.dtype.kind == "f" and (fraction := float((2 * data != np.rint(2 * data)).mean())):
        guess = "already log-transformed" if data.max() <= _LARGEST_LOG else "already normalised"
        raise BenchError(
            f"{fraction:.0%} of the values are no whole numbers (largest {data.max():.4g}): the data are probably "
            f"{guess}",
            where=where,
            fix="hand over raw counts (often in layers['counts'] or raw.X): the model normalises them itself",
        )
