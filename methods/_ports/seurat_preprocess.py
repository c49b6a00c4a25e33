"""Seurat's LogNormalize, vst, ScaleData and RunPCA on sparse counts, without a dense cells x genes array.

Written from the published formulas (Stuart et al. 2019, doi:10.1016/j.cell.2019.05.031; Hafemeister & Satija 2019)
and checked against the outputs of Seurat 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import eigsh

from bench.errors import NotApplicableError

#: Upper clip of a scaled value (``scale.max`` of ScaleData); there is no lower clip.
SCALE_MAX = 10.0
#: Size factor of LogNormalize.
COUNTS_PER_CELL = 10_000.0

_BLOCK = 1 << 22  # stored entries handled at a time, so that temporaries stay in the tens of megabytes
_LOESS_WARNINGS = ("near singularities", "pseudoinverse", "neighborhood radius", "reciprocal condition")
_ROWS = 4096  # cells handled (or made dense) at a time


def _sum_by_gene(X: csr_matrix, value: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Sum ``value(data, gene)`` over the stored entries of each column."""
    total = np.zeros(X.shape[1])
    for start in range(0, X.nnz, _BLOCK):
        data = X.data[start : start + _BLOCK].astype(np.float64)
        gene = X.indices[start : start + _BLOCK]
        total += np.bincount(gene, weights=value(data, gene), minlength=X.shape[1])
    return total


def _moments(X: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance of each column, zeros included; a variance lost in rounding is 0."""
    n = X.shape[0]
    mean = _sum_by_gene(X, lambda x, _: x) / n
    square = _sum_by_gene(X, lambda x, _: x * x)
    variance = square - n * mean**2
    variance[variance < 1e-12 * square] = 0.0
    return mean, variance / (n - 1)


def _loess(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fitted values of R's ``loess(y ~ x, span = 0.3, degree = 2)``.

    Few cells give many genes the same mean, hence neighbourhoods of one point. R warns of a near singularity there and
    goes on; scikit-misc raises, but has computed the same values (compared with R).
    """
    from skmisc.loess import loess

    trend = loess(x, y, span=0.3, degree=2)
    message = ""
    try:
        trend.fit()
    except ValueError as error:
        message = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
    only_a_warning = not message or any(words in message for words in _LOESS_WARNINGS)
    if not only_a_warning or not np.isfinite(trend.outputs.fitted_values).all():
        raise NotApplicableError(
            f"loess cannot fit the mean-variance trend of {len(x)} varying genes ({message})",
            where="highly variable genes",
            fix="give more cells, or leave this donor out",
        )
    return np.array(trend.outputs.fitted_values)


def standardised_variance(X: csr_matrix) -> np.ndarray:
    """Variance of each gene after standardising by the mean-variance trend (Seurat's ``vst``).

    The trend is a degree-2 loess (span 0.3) of log10 variance on log10 mean. Standardised counts are clipped above at
    the square root of the number of cells.

    Parameters
    ----------
    X
        Raw counts, cells x genes.

    Returns
    -------
    One value per gene; 0 for a gene that does not vary.

    Raises
    ------
    NotApplicableError
        If the trend cannot be fitted (too few cells, or genes that vary).
    """
    n = X.shape[0]
    if n < 2:
        raise NotApplicableError("a mean-variance trend needs two cells or more", where="highly variable genes")
    mean, variance = _moments(X)
    varies = variance > 0
    if not varies.any():
        raise NotApplicableError(
            "no gene varies between the cells", where="highly variable genes", fix="give cells that differ"
        )
    sd = np.zeros_like(mean)
    sd[varies] = np.sqrt(10.0 ** _loess(np.log10(mean[varies]), np.log10(variance[varies])))
    limit = np.where(varies, mean + sd * np.sqrt(n), np.inf)

    def clipped_away(x: np.ndarray, gene: np.ndarray) -> np.ndarray:
        excess = np.zeros_like(x)
        over = np.flatnonzero(x > limit[gene])
        genes = gene[over]
        excess[over] = ((x[over] - mean[genes]) / sd[genes]) ** 2 - n
        return excess

    lost = _sum_by_gene(X, clipped_away)
    result = np.zeros_like(mean)
    result[varies] = variance[varies] / sd[varies] ** 2 - lost[varies] / (n - 1)
    return result


def variable_genes(X: csr_matrix, n_genes: int) -> np.ndarray:
    """Column indices of the ``n_genes`` most variable genes of raw counts, most variable first."""
    score = standardised_variance(X)
    order = np.argsort(-score, kind="stable")
    return order[score[order] > 0][:n_genes]


def library_sizes(X: csr_matrix) -> np.ndarray:
    """Total count of each cell, as float64."""
    return np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()


def log_normalise(X: csr_matrix, totals: np.ndarray) -> csr_matrix:
    """ln(1 + 10,000 x / total) as float64; a cell without counts stays zero.

    Divided first, as Seurat does: equal shares of two totals are then equal numbers, which rank tests need.

    Parameters
    ----------
    X
        Counts (fractions allowed), cells x some genes. **Overwritten** if its values are float64 already.
    totals
        Total count of each cell over *all* genes.
    """
    divisor = np.where(totals > 0, totals, 1.0)
    data = X.data.astype(np.float64, copy=False)
    for start in range(0, X.shape[0], _ROWS):
        ends = X.indptr[start : start + _ROWS + 1]
        part = data[ends[0] : ends[-1]]
        part /= np.repeat(divisor[start : start + _ROWS], np.diff(ends))
        part *= COUNTS_PER_CELL
        np.log1p(part, out=part)
    return csr_matrix((data, X.indices, X.indptr), shape=X.shape)


def _gram(S: csr_matrix) -> np.ndarray:
    """``S.T @ S`` as a dense genes x genes array, from dense blocks of rows.

    With a sixth of the entries stored, as variable genes have, BLAS is several times faster than a sparse product.
    """
    gram = np.zeros((S.shape[1], S.shape[1]))
    for start in range(0, S.shape[0], _ROWS):
        block = S[start : start + _ROWS].toarray()
        gram += block.T @ block
    return gram


def _leading_vectors(gram: np.ndarray, n: int) -> np.ndarray:
    """Eigenvectors of the ``n`` largest eigenvalues of a symmetric array, largest first, to machine precision."""
    size = len(gram)
    if n > size // 20:
        return np.ascontiguousarray(eigh(gram, subset_by_index=(size - n, size - 1))[1][:, ::-1])
    start = np.random.default_rng(0).normal(size=size)
    values, vectors = eigsh(gram, n, ncv=min(size, 4 * n), v0=start)
    return np.ascontiguousarray(vectors[:, np.argsort(-values)])


def scaled_pca(L: csr_matrix, n_components: int) -> np.ndarray:
    """Scale each gene (mean 0, variance 1, clipped above at 10) and project the cells on the leading components.

    A scaled value is ``min(x / sd, 10 + mean / sd) - mean / sd``: a sparse matrix minus one row vector. So the genes x
    genes Gram matrix follows from sparse sums and its eigenvectors are exact; nothing dense grows with the cells but
    the result. As in RunPCA the clipped values are not centred again.

    Parameters
    ----------
    L
        Log-normalised values, cells x genes. **Overwritten.**
    n_components
        Components wanted; fewer come back where cells or varying genes are fewer.

    Returns
    -------
    Coordinates, cells x components, float64; the sign of a component is arbitrary.
    """
    n = L.shape[0]
    mean, variance = _moments(L)
    sd = np.sqrt(variance)
    inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
    shift = mean * inverse
    for start in range(0, L.nnz, _BLOCK):
        part, gene = L.data[start : start + _BLOCK], L.indices[start : start + _BLOCK]
        np.minimum(part * inverse[gene], SCALE_MAX + shift[gene], out=part)
    sums = _sum_by_gene(L, lambda x, _: x)
    gram = _gram(L)
    gram += n * np.outer(shift, shift) - np.outer(shift, sums) - np.outer(sums, shift)
    n_components = min(n_components, n - 1, int((sd > 0).sum()))
    vectors = _leading_vectors(gram, n_components)
    return np.asarray(L @ vectors) - shift @ vectors
