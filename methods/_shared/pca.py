"""Principal components of training cells, and other cells in the same space, without a dense cells x genes array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from bench.blocks import row_blocks
from bench.methods._shared.annotation import ROWS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Components:
    """A centred linear map learned from training cells.

    Parameters
    ----------
    genes
        Columns of the genes used.
    mean
        Their means over the training cells.
    vectors
        (genes, components), orthonormal, by falling variance; the sign of a component is arbitrary.
    """

    genes: np.ndarray
    mean: np.ndarray
    vectors: np.ndarray


def gene_moments(X: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance of each gene over the cells, zeros included."""
    total, square = np.zeros((2, X.shape[1]))
    for rows in row_blocks(X.shape, ROWS):
        part = slice(X.indptr[rows.start], X.indptr[rows.stop])
        values, genes = X.data[part].astype(np.float64), X.indices[part]
        total += np.bincount(genes, weights=values, minlength=X.shape[1])
        square += np.bincount(genes, weights=values**2, minlength=X.shape[1])
    mean = total / X.shape[0]
    variance = square / X.shape[0] - mean**2
    variance[variance < 1e-12 * square / X.shape[0]] = 0  # lost in rounding: the gene is constant
    return mean, variance


def most_variable(X: csr_matrix, n: int) -> np.ndarray:
    """Columns of the ``n`` genes of highest variance; genes that do not vary are never among them."""
    variance = gene_moments(X)[1]
    return np.sort(np.argsort(-variance, kind="stable")[: min(n, int((variance > 0).sum()))])


def variable_genes(X: csr_matrix, n: int) -> np.ndarray:
    """Columns of the ``n`` most variable genes as scanpy finds them by default (normalised dispersion by mean).

    All that vary, where they are no more; genes that do not vary are never among them.

    Parameters
    ----------
    X
        ln(1 + counts per 10,000), (cells, genes).
    """
    varying = np.flatnonzero(gene_moments(X)[1] > 0)
    if len(varying) <= n:
        return varying
    import scanpy as sc
    from anndata import AnnData

    table = sc.pp.highly_variable_genes(AnnData(X), flavor="seurat", n_top_genes=n, inplace=False)
    return np.intersect1d(np.flatnonzero(table["highly_variable"]), varying)


def fit_components(X: csr_matrix, genes: np.ndarray, *, n_components: int) -> Components:
    """Leading principal components of some genes, centred, not scaled.

    Exact, from the genes x genes covariance; deterministic.

    Parameters
    ----------
    X
        Log-normalised expression (cells, genes).
    genes
        Columns to use, all of which vary.
    n_components
        Components wanted; fewer where cells or genes are fewer, none where there are no genes.
    """
    mean = gene_moments(X)[0]
    covariance = -X.shape[0] * np.outer(mean[genes], mean[genes])
    for rows in row_blocks(X.shape, ROWS):
        block = X[rows][:, genes].toarray().astype(np.float64)
        covariance += block.T @ block
    n = min(n_components, len(genes), X.shape[0] - 1)
    if n < 1:
        return Components(genes[:0], mean[:0], np.zeros((0, 0)))
    vectors = eigh(covariance, subset_by_index=(len(genes) - n, len(genes) - 1))[1][:, ::-1]
    return Components(genes, mean[genes], np.ascontiguousarray(vectors))


def project(components: Components, X: csr_matrix) -> np.ndarray:
    """Coordinates of cells (cells, components), float64."""
    shift = components.mean @ components.vectors
    out = np.empty((X.shape[0], components.vectors.shape[1]))
    for rows in row_blocks(X.shape, ROWS):
        out[rows] = X[rows][:, components.genes] @ components.vectors - shift
    return out
