"""Imputation metrics of plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import BenchError
from bench.tasks._shared import zeros
from bench.tasks._shared.plain import finite
from bench.tasks.imputation.metrics import NAMES, Entries, EntryStatistic, Sums, mean_gene_correlation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def mse(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None = None) -> float:
    """Mean squared error over the entries asked for: the headline.

    Parameters
    ----------
    true, imputed
        ln(1 + counts per 10,000), (cells, genes), dense or sparse.
    entries
        Which entries count (cells, genes), such as those that were hidden. Default: all.

    Returns
    -------
    0 or more, lower is better.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.mse([[0.0, 2.0]], [[1.0, 2.0]])
    0.5
    """
    return _of_entries(true, imputed, entries)["mse"]


def pearson(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None = None) -> float:
    """Correlation of imputed with true values over the entries asked for; NaN where either is constant.

    Parameters as of :func:`mse`.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.pearson([[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]]), 6)
    1.0
    """
    return _of_entries(true, imputed, entries)["pearson"]


def slope(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None = None) -> float:
    """Slope of imputed on true values by least squares: below 1, high expression is underestimated.

    Parameters as of :func:`mse`.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.slope([[0.0, 1.0, 2.0]], [[0.0, 0.5, 1.0]]), 6)
    0.5
    """
    return _of_entries(true, imputed, entries)["slope"]


def pearson_cell(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None = None) -> float:
    """Mean over cells of the correlation across a cell's entries; constant answers count as 0.

    Parameters as of :func:`mse`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.pearson_cell([[0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    0.0
    """
    return _of_entries(true, imputed, entries)["pearson_cell"]


def pearson_gene(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None = None) -> float:
    """Mean over genes of the correlation across a gene's entries; genes with fewer than ten do not count.

    Parameters as of :func:`mse`; constant answers count as 0.

    Examples
    --------
    >>> import bench, numpy as np
    >>> true = np.arange(20.0).reshape(10, 2)
    >>> round(bench.metrics.pearson_gene(true, 2 * true), 6)
    1.0
    """
    return mean_gene_correlation(_sums(true, imputed, entries))[0]


def zeros_turned_on(true_zero: ArrayLike, imputed: ArrayLike) -> float:
    """Share of true zeros that are imputed as 1 per 10,000 or more; NaN without any. Lower is better.

    Parameters
    ----------
    true_zero
        Which entries are zero and truly so (cells, genes): those shown as zero where fewer than 0.1 per 10,000 are
        expected, or, in real data, :func:`zeros_of_other_types`.
    imputed
        ln(1 + counts per 10,000), (cells, genes).

    Examples
    --------
    >>> import bench, numpy as np
    >>> bench.metrics.zeros_turned_on([[True, True, False]], [[0.0, np.log1p(1), 5.0]])
    0.5
    """
    is_zero, values = np.asarray(true_zero), _dense(imputed, "imputed")
    if is_zero.dtype != bool or is_zero.shape != values.shape:
        raise BenchError(
            f"true_zero is {is_zero.shape} of {is_zero.dtype}, imputed is {values.shape}",
            where="true_zero",
            fix="give true and false for every entry",
        )
    counted = zeros.FalsePositives()
    counted.add(zeros.ALL, is_zero, values)
    return float(counted.share(zeros.ALL))


def zeros_of_other_types(counts: Any, labels: ArrayLike) -> NDArray[np.bool_]:
    """Tell which zeros are true: those in genes that mark other cell types than the cell's.

    A marker of others is detected in at most 1 % of the cells of a type, and in at least 25 % of another's.

    Parameters
    ----------
    counts
        Cells x genes, dense or sparse.
    labels
        Cell type (cells,); types with fewer than 20 cells do not count.

    Returns
    -------
    (cells, genes), for :func:`zeros_turned_on`.

    Examples
    --------
    >>> import bench, numpy as np
    >>> counts = np.repeat([[3, 0], [0, 3]], 20, axis=0)
    >>> int(bench.metrics.zeros_of_other_types(counts, np.repeat(["a", "b"], 20)).sum())
    40
    """
    X, types = sparse.csr_matrix(counts), pd.Series(np.asarray(labels))
    if X.shape[0] != len(types):
        raise BenchError(f"{X.shape[0]:,} cells have {len(types):,} labels", where="labels", fix="give one a cell")
    of_others, result = zeros.markers_of_others(X, types), np.zeros(X.shape, dtype=bool)
    for name, genes in of_others.items():
        rows = np.flatnonzero(types.to_numpy() == name)
        part = np.ix_(rows, np.flatnonzero(genes))
        result[part] = X[rows][:, np.flatnonzero(genes)].toarray() == 0
    return result


def correlation_inflation(true: ArrayLike, imputed: ArrayLike) -> float:
    """Mean absolute correlation between the 200 most variable genes as imputed, less that of the truth.

    Parameters
    ----------
    true, imputed
        ln(1 + counts per 10,000), (cells, genes); the truth decides which genes vary.

    Returns
    -------
    From -1 to 1; 0 is right. NaN with fewer than three cells.

    Examples
    --------
    >>> import bench, numpy as np
    >>> true = np.random.default_rng(0).random((50, 4))
    >>> bench.metrics.correlation_inflation(true, true)
    0.0
    """
    t, y = _dense(true, "true"), _dense(imputed, "imputed")
    _check_shapes(t, y)
    genes = zeros.varying_genes(sparse.csr_matrix(t))
    return zeros.correlation_inflation(y[:, genes], t[:, genes])


def _of_entries(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None) -> dict[str, float]:
    values = EntryStatistic(_sums(true, imputed, entries)).values()
    return dict(zip(NAMES, values[: len(NAMES)].tolist(), strict=True))


def _sums(true: ArrayLike, imputed: ArrayLike, entries: ArrayLike | None) -> Sums:
    t, y = _dense(true, "true"), _dense(imputed, "imputed")
    wanted = np.ones(t.shape, dtype=bool) if entries is None else np.asarray(entries, dtype=bool)
    _check_shapes(t, y)
    _check_shapes(t, wanted)
    cell, gene = np.nonzero(wanted)
    sums = Sums(t.shape[0], t.shape[1], 1)
    sums.add(Entries(cell, gene, np.zeros(len(cell), dtype=np.int64), t[wanted], y[wanted]))
    return sums


def _dense(values: Any, name: str) -> NDArray[np.float64]:
    matrix = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if matrix.ndim != 2:
        raise BenchError(f"{name} has {matrix.ndim} dimensions", where=name, fix="give cells x genes")
    return finite(matrix, name)


def _check_shapes(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise BenchError(
            f"the matrices are {a.shape} and {b.shape}", where="metrics", fix="give the same cells and genes"
        )
