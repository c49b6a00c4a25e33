"""The check that returned expression is ln(1 + counts per 10,000), judged by the visible counts.

Read by methods' processes too, which may run an older Python: nothing here but numpy and the exchange code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import InvalidOutputError
from bench.normalise import CP10K, log1p_cp10k, totals

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from bench.blocks import Rows
    from bench.problem import Inputs

    Floats = NDArray[np.float64]

#: Cells that are looked at, drawn at random; and fewest cells and genes whose statistics say anything.
_CELLS, _FEWEST_CELLS, _FEWEST_GENES = 500, 30, 50
#: Implied counts, sum(exp(x) - 1), of a cell's detected and asked genes above which values are not logs. Every cell has
#: 10,000; a poor imputer is off by a factor of a few, counts taken for logs by many powers.
_MOST_IMPLIED = 100 * CP10K
#: What the logs leave unexplained of the genes' shares, over what the counts do. Smoothed logs: below 0.5 (means and
#: nonsense below 1); smoothed counts of 200 to 20,000 a cell: above 17 (means above 2.6).
_MOST_LIKE_COUNTS = 2.0
#: Spread of the cells' implied totals over their spread per count shown. Logs of CP10K: below 1; of counts: above 7.
_MOST_LIKE_DEPTH = 4.0
#: Values of a cell's highest genes (1 % of its counts) over what was shown of them: smoothing makes them no larger.
_HIGH, _MOST_OF_SHOWN = float(np.log1p(CP10K / 100)), 1.2


def check_scale(matrix: Rows, inputs: Inputs, name: str) -> None:
    """Refuse expression that is clearly on another scale than ln(1 + counts per 10,000).

    Refused is only what another scale explains several times better, so constants, zeros and means pass. Not noticed:
    logs of counts where all cells are equally deep, log2 of values that smoothing has made small, and counts at hidden
    entries alone.
    """
    n = matrix.shape[0]
    cells = np.sort(np.random.default_rng(0).choice(n, min(n, _CELLS), replace=False))
    wrong = _wrong(np.maximum(matrix[cells], 0), inputs.take(cells))
    if wrong:
        raise InvalidOutputError(
            f"{name!r} is not on the scale ln(1 + counts per 10,000): {wrong}",
            fix="divide by the cell's total, times 10,000, and take the natural log1p",
        )


def are_counts(X: sparse.csr_matrix) -> bool:
    """Return whether a method was shown counts, not their logarithms."""
    some = X.data[: 1 << 20]
    return bool((some == np.rint(some)).all())


def _wrong(values: NDArray[np.float32], inputs: Inputs) -> str:
    positive = values[values > 0]
    if not len(positive):
        return ""
    if positive.min() < positive.max() and (positive == np.rint(positive)).all():
        return "all its values are whole numbers, these are counts"
    visible, size = inputs.cells.X, None
    if are_counts(visible):
        visible, size = log1p_cp10k(visible), totals(visible)
    compared = visible.astype(bool) if inputs.query is None else visible.astype(bool) + inputs.query.astype(bool)
    returned = _at(values, compared)
    with np.errstate(over="ignore"):
        typical = float(np.median(_sums(np.expm1(returned), compared)))
        implied = np.expm1(values.astype(np.float64)).sum(axis=1)
    if typical > _MOST_IMPLIED:
        return f"its values mean {typical:.3g} counts in half of the cells, where {CP10K:,.0f} is right"
    if _like_counts(returned, compared, visible) > _MOST_LIKE_COUNTS:
        return "high genes stand out as they do in counts: these are counts or rates, not their logarithm"
    if size is not None and _like_depth(implied, size) > _MOST_LIKE_DEPTH:
        return "deep cells mean more counts in proportion: these are logarithms of counts that were not normalised"
    high = visible.data > _HIGH
    ratio = float(np.median(_at(values, visible)[high] / visible.data[high])) if high.any() else 0.0
    if ratio > _MOST_OF_SHOWN:
        return f"high counts come back as {ratio:.2f} times that: log2, or counts per another total than 10,000"
    return ""


def _like_counts(returned: Floats, compared: sparse.csr_matrix, visible: sparse.csr_matrix) -> float:
    """Compare how well genes' shares of a cell go with counts and with logs, at entries that are not visible zeros.

    An imputer lies between the visible values and the gene's mean, so both are tried; 0 where nothing can be said.
    """
    logs = visible.data.astype(np.float64)
    shares, has = _shares(returned, compared), visible.getnnz(axis=0)
    genes = np.flatnonzero(has)
    if len(genes) < _FEWEST_GENES or np.ptp(shares[genes]) == 0:
        return 0.0

    def unexplained(reference: Floats) -> float:
        with np.errstate(invalid="ignore"):  # genes that are all alike: NaN, which refuses nothing
            best = max(np.corrcoef(shares[genes], r[genes])[0, 1] for r in (reference, reference * has))
        return float(1 - best**2)

    by_counts, by_logs = unexplained(_shares(np.expm1(logs), visible)), unexplained(_shares(logs, visible))
    return float(by_logs / max(by_counts, 1e-6))


def _like_depth(implied: Floats, size: Floats) -> float:
    """Compare how cells' implied totals vary with how the counts shown do; 0 where nothing can be said."""
    filled = (implied > 0) & (size > 0)
    if filled.sum() < _FEWEST_CELLS:
        return 0.0
    logs = np.log(implied[filled])
    return _spread(logs) / max(_spread(logs - np.log(size[filled])), 1e-2)


def _spread(values: Floats) -> float:
    return float(np.median(np.abs(values - np.median(values))))


def _at(values: NDArray[np.float32], entries: sparse.csr_matrix) -> Floats:
    return np.asarray(values[entries.tocoo().row, entries.indices], dtype=np.float64)


def _sums(data: Floats, entries: sparse.csr_matrix) -> Floats:
    return np.asarray(np.bincount(entries.tocoo().row, data, entries.shape[0]), dtype=np.float64)


def _shares(data: Floats, entries: sparse.csr_matrix) -> Floats:
    """Sum over cells of each gene's share of its cell."""
    size = _sums(data, entries)
    weight = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    share = data * weight[entries.tocoo().row]
    return np.asarray(np.bincount(entries.indices, share, entries.shape[1]), dtype=np.float64)
