"""Marker genes of classes as Seurat's FindAllMarkers finds them, and clusters named by them.

Filters and fold changes are those of Seurat 4 or of Seurat 5, the test is that of both (Wilcoxon rank-sum with ties and
continuity, as in limma and presto); checked against 4.3.0 and 5.2.1. The naming rule is ours: it stands where an
analyst looks at a dot plot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import norm, rankdata

from bench.errors import UnknownNameError

#: Defaults of FindAllMarkers in every version: fewest cells of a class, largest p.
MIN_CELLS, MAX_P = 3, 0.01
#: Those that differ, by major version of Seurat: least share of cells with the gene, least log2 fold change.
_FILTERS = {4: (0.1, 0.25), 5: (0.01, 0.1)}


@dataclass(frozen=True)
class ClassSums:
    """Sums that one-against-rest tests need of the cells; arrays are (genes, classes) unless said otherwise.

    Parameters
    ----------
    sizes
        Cells of each class (classes,).
    detected
        Cells with the gene.
    linear
        Sums of expm1 of the values.
    ranks
        Sums of the ranks among all cells.
    ties
        Sum of t^3 - t over groups of t equal values, of each gene (genes,).
    """

    sizes: np.ndarray
    detected: np.ndarray
    linear: np.ndarray
    ranks: np.ndarray
    ties: np.ndarray


@dataclass(frozen=True)
class Markers:
    """The tests of one class against all other cells; one entry per gene.

    Parameters
    ----------
    p_value, log2_fold_change
        ``p_val`` and ``avg_log2FC``: of means of counts per 10,000, plus 1 (Seurat 4) or 1 / cells (Seurat 5).
    pct_in, pct_out
        Share of the cells with the gene, to three digits, in the class and outside.
    passes
        Genes that Seurat tests by default: in enough cells of either group, with a change large enough either way.
    """

    p_value: np.ndarray
    log2_fold_change: np.ndarray
    pct_in: np.ndarray
    pct_out: np.ndarray
    passes: np.ndarray

    def up(self, n: int) -> np.ndarray:
        """Genes higher in the class at p < 0.01, at most ``n`` of highest fold change."""
        passing = np.flatnonzero(self.passes & (self.log2_fold_change > 0) & (self.p_value < MAX_P))
        return passing[np.argsort(-self.log2_fold_change[passing], kind="stable")][:n]


def filters(version: int) -> tuple[float, float]:
    """Least share of cells with the gene and least log2 fold change that FindAllMarkers tests by default."""
    if version not in _FILTERS:
        raise UnknownNameError("version of Seurat", str(version), map(str, _FILTERS), where="parameter version")
    return _FILTERS[version]


def class_sums(L: csr_matrix, codes: np.ndarray, n_classes: int) -> ClassSums:
    """Sums by class, one gene at a time; zeros are never stored.

    Parameters
    ----------
    L
        ln(1 + counts per 10,000), cells x genes.
    codes
        Class of each cell.
    """
    by_gene = L.tocsc()
    by_gene.eliminate_zeros()
    n, n_genes = L.shape
    sizes = np.bincount(codes, minlength=n_classes)
    detected, linear, ranks = np.zeros((3, n_genes, n_classes))
    ties = np.zeros(n_genes)
    for gene in range(n_genes):
        part = slice(by_gene.indptr[gene], by_gene.indptr[gene + 1])
        values, classes = by_gene.data[part], codes[by_gene.indices[part]]
        zeros = n - len(values)
        detected[gene] = np.bincount(classes, minlength=n_classes)
        linear[gene] = np.bincount(classes, weights=np.expm1(values), minlength=n_classes)
        ranks[gene] = np.bincount(classes, weights=rankdata(values) + zeros, minlength=n_classes)
        ranks[gene] += (sizes - detected[gene]) * (zeros + 1) / 2
        same = np.append(np.unique(values, return_counts=True)[1], zeros).astype(float)
        ties[gene] = (same**3 - same).sum()
    return ClassSums(sizes, detected, linear, ranks, ties)


def find_markers(sums: ClassSums, k: int, version: int = 4) -> Markers:
    """Class ``k`` against all other cells, as this version of Seurat does; both sides need at least one cell."""
    n, n_in = int(sums.sizes.sum()), int(sums.sizes[k])
    n_out = n - n_in
    sum_in = sums.linear[:, k]
    sum_out = np.maximum(sums.linear.sum(axis=1) - sum_in, 0)
    if version == 5:
        fold = np.log2((sum_in + 1) / n_in) - np.log2((sum_out + 1) / n_out)
    else:
        fold = np.log2(sum_in / n_in + 1) - np.log2(sum_out / n_out + 1)
    u = sums.ranks[:, k] - n_in * (n_in + 1) / 2
    variance = n_in * n_out / 12 * (n + 1 - sums.ties / (n * (n - 1)))
    distance = np.abs(u - n_in * n_out / 2) - 0.5
    z = np.divide(distance, np.sqrt(variance), out=np.zeros_like(u), where=variance > 1e-9)
    pct_in = np.round(sums.detected[:, k] / n_in, 3)
    pct_out = np.round((sums.detected.sum(axis=1) - sums.detected[:, k]) / n_out, 3)
    min_pct, min_fold = filters(version)
    passes = (np.maximum(pct_in, pct_out) >= min_pct) & (np.abs(fold) >= min_fold)
    return Markers(np.minimum(1, 2 * norm.sf(z)), fold, pct_in, pct_out, passes)


def all_markers(L: csr_matrix, codes: np.ndarray, n_classes: int, n: int, version: int = 4) -> list[np.ndarray]:
    """At most ``n`` genes of each class (none for a class of fewer than three cells), best first."""
    sums = class_sums(L, codes, n_classes)
    testable = (sums.sizes >= MIN_CELLS) & (sums.sizes.sum() - sums.sizes >= MIN_CELLS)
    return [find_markers(sums, k, version).up(n) if testable[k] else np.zeros(0, int) for k in range(n_classes)]


def dot_plot_scores(L: csr_matrix, clusters: np.ndarray, markers: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over a class's markers of their scaled expression in a cluster.

    Scaled: mean of the cluster's cells minus mean of all, divided by the standard deviation of all cells.

    Parameters
    ----------
    L
        ln(1 + counts per 10,000) of the clustered cells, cells x genes.
    clusters
        Cluster of each cell, 0, 1, ...
    markers
        Columns of each class.

    Returns
    -------
    Clusters x classes; minus infinity for a class without markers.
    """
    genes = np.unique(np.concatenate([np.zeros(0, int), *markers]))
    expression = L[:, genes]
    n, sizes = L.shape[0], np.bincount(clusters)
    member = csr_matrix((np.ones(n), (clusters, np.arange(n))), shape=(len(sizes), n))
    mean = np.asarray(expression.mean(axis=0)).ravel()
    square = np.asarray(expression.multiply(expression).mean(axis=0)).ravel()
    variance = np.maximum(square - mean**2, 0) * n / max(n - 1, 1)
    sd = np.sqrt(np.where(variance > 1e-12 * square, variance, 0))
    centred = np.asarray((member @ expression).todense()) / sizes[:, None] - mean
    scaled = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)
    scores = np.full((len(sizes), len(markers)), -np.inf)
    for k, own in enumerate(markers):
        if len(own):
            scores[:, k] = scaled[:, np.searchsorted(genes, own)].mean(axis=1)
    return scores


def name_clusters(scores: np.ndarray, classes: Sequence[str], unassigned: str) -> np.ndarray:
    """The class of highest score of each cluster (the first of equals), or ``unassigned`` where none is above 0.

    A score of 0 is the average of all cells: such a cluster shows no class's markers more than the others do.
    """
    best = scores.argmax(axis=1)
    return np.where(scores.max(axis=1) > 1e-9, np.asarray(classes)[best], unassigned)
