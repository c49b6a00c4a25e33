"""cxds and hybrid scores and the call threshold of the R package scds, on sparse counts.

The scds package (MIT licence): Bais & Kostka, Bioinformatics 2020, doi:10.1093/bioinformatics/btz698.
bcds is in ``_bcds``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from bench.blocks import row_blocks
from bench.errors import NotApplicableError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BLOCK = 4096
#: Below this the upper tail is too close to the smallest double for ``log(sf)`` to be exact.
TINY = 1e-280


@dataclass(frozen=True)
class Coexpression:
    """Co-expression of gene pairs that cxds learns from one library.

    Parameters
    ----------
    genes
        Columns of the chosen genes, by falling detection variance.
    p
        Detection rate of these genes.
    neg_log_p
        Genes x genes; ``-log P`` of seeing so many cells with exactly one of the pair detected if the
        two were independent. Zero on the diagonal.
    """

    genes: np.ndarray
    p: np.ndarray
    neg_log_p: np.ndarray


def cells_with(X: csr_matrix, threshold: float = 0) -> np.ndarray:
    """Number of cells in which each gene has more than ``threshold`` counts, without a copy of ``X``."""
    n = np.zeros(X.shape[1], np.int64)
    for rows in row_blocks(X.shape, BLOCK):
        part = slice(X.indptr[rows.start], X.indptr[rows.stop])
        n += np.bincount(X.indices[part][X.data[part] > threshold], minlength=X.shape[1])
    return n


def log_binomial_upper(k: np.ndarray, n: int, q: np.ndarray) -> np.ndarray:
    """``log P(Bin(n, q) >= k)``, elementwise, also where the probability itself underflows.

    In the far tail the probability is ``pmf(k) * (1 + r_0 + r_0 r_1 + ...)`` with ``r_i`` the ratio of neighbouring
    terms, all below one; the sum is taken until it no longer changes.
    """
    with np.errstate(divide="ignore"):
        out = np.log(binom.sf(k - 1, n, q))
    far = out < np.log(TINY)
    if far.any():
        j, odds = k[far].astype(float), q[far] / (1 - q[far])
        out[far] = binom.logpmf(j, n, q[far])
        term, total = np.ones_like(j), np.ones_like(j)
        while (term > np.finfo(float).eps * total).any():
            term *= np.maximum(n - j, 0) / (j + 1) * odds
            total += term
            j += 1
        out[far] += np.log(total)
    return out


def detected(X: csr_matrix, genes: np.ndarray, threshold: float = 0) -> np.ndarray:
    """Cells x ``genes``, one byte an entry: more than ``threshold`` counts or not."""
    on = np.zeros((X.shape[0], len(genes)), bool)
    for rows in row_blocks(X.shape, BLOCK):
        on[rows] = X[rows][:, genes].toarray() > threshold
    return on


def one_without_the_other(on: np.ndarray) -> np.ndarray:
    """Genes x genes: in how many cells exactly one of the pair is detected."""
    together = np.zeros((on.shape[1], on.shape[1]), np.int64)
    for rows in row_blocks(on.shape, BLOCK):
        block = on[rows].astype(np.float32)  # counts up to BLOCK are exact in single precision
        together += (block.T @ block).astype(np.int64)
    alone = together.diagonal()
    return alone[:, None] + alone[None, :] - 2 * together


def fit_cxds(X: csr_matrix, *, ntop: int = 500, threshold: float = 0) -> tuple[Coexpression, np.ndarray]:
    """Choose genes and score their pairs.

    Fewer genes than ``ntop`` are all taken (the R package stops there with an error).

    Returns
    -------
    The pair scores, and the boolean cells x genes matrix they come from.

    Raises
    ------
    bench.errors.NotApplicableError
        If there is no gene or no cell.
    """
    n_cells = X.shape[0]
    if min(X.shape) == 0:
        raise NotApplicableError(f"cxds needs cells and genes, got {X.shape[0]} x {X.shape[1]}")
    if threshold < 0:
        raise ValueError(f"threshold must not be negative, got {threshold}")
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    p = cells_with(X, threshold) / n_cells
    genes = np.argsort(-p * (1 - p), kind="stable")[:ntop]
    on = detected(X, genes, threshold)
    p = p[genes]
    upper = np.triu_indices(len(genes), k=1)
    either = p[upper[0]] * (1 - p[upper[1]]) + p[upper[1]] * (1 - p[upper[0]])
    pairs = np.zeros((len(genes), len(genes)))
    # the difference of 0 and a log keeps pairs that are never apart at +0 instead of -0
    pairs[upper] = 0 - log_binomial_upper(one_without_the_other(on)[upper], n_cells, np.clip(either, 0, 1))
    return Coexpression(genes, p, pairs + pairs.T), on


def score_cxds(model: Coexpression, on: np.ndarray) -> np.ndarray:
    """Sum of the pair scores over all ordered pairs of genes detected in a cell; one value a row of ``on``."""
    scores = np.empty(len(on))
    for rows in row_blocks(on.shape, BLOCK):
        block = on[rows].astype(float)
        scores[rows] = np.einsum("ij,ij->i", block @ model.neg_log_p, block)
    return scores


def score_cxds_pairs(model: Coexpression, on: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Scores of artificial doublets: a gene is on where it is on in either parent.

    Parameters
    ----------
    pairs
        Doublets x 2, rows of ``on``.
    """
    scores = np.empty(len(pairs))
    for rows in row_blocks(pairs.shape, BLOCK):
        first, second = pairs[rows].T
        scores[rows] = score_cxds(model, on[first] | on[second])
    return scores


def random_pairs(n_cells: int, ratio: float, seed: int) -> np.ndarray:
    """Parents of ``ratio`` artificial doublets a cell, drawn with replacement: doublets x 2, at least one."""
    return np.random.default_rng(seed).integers(n_cells, size=(max(int(ratio * n_cells), 1), 2))


def hybrid_score(cxds: np.ndarray, bcds: np.ndarray) -> np.ndarray:
    """Sum of the two scores, each scaled to [0, 1] over the given cells; a constant score adds 0 (NaN in R).

    As in scds, real cells and artificial doublets are scaled each by themselves before they are compared.
    """
    return _unit(cxds) + _unit(bcds)


def _unit(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros(len(values))


def balanced_threshold(real: np.ndarray, artificial: np.ndarray) -> float:
    """Score where the share of artificial doublets below meets the share of real cells above.

    The smallest observed score ``t`` with ``P(artificial <= t) >= P(real > t)``; cells at or above it are called.
    Cells all of one score cannot be told apart: then the threshold is infinite and none is called.
    """
    if real.min() == real.max():
        return np.inf
    values = np.unique(np.concatenate([real, artificial]))
    below = np.searchsorted(np.sort(artificial), values, side="right") / len(artificial)
    above = 1 - np.searchsorted(np.sort(real), values, side="right") / len(real)
    return float(values[np.argmax(below >= above)])
