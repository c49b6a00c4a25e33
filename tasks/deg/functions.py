"""Metrics of differential expression, of plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.tasks._shared.plain import booleans, vectors
from bench.tasks.deg.compare import agreement, share_of_both
from bench.tasks.deg.compare import rank_correlation as correlate
from bench.tasks.deg.statistics import spearman_brown
from bench.tasks.deg.truth import directions, ranked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def deg_signs(p_adjusted: ArrayLike, log2fc: ArrayLike) -> NDArray[np.int64]:
    """Tell which genes are differentially expressed, by the scMamba paper's rule.

    Parameters
    ----------
    p_adjusted
        Adjusted p (genes,); NaN where a gene was not tested.
    log2fc
        log2 fold change (genes,).

    Returns
    -------
    (genes,): 1 (up) and -1 (down) where the adjusted p is below 0.05 and the change more than 0.25, else 0.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.deg_signs([0.01, 0.01, 0.2], [1.0, -1.0, 3.0]).tolist()
    [1, -1, 0]
    """
    p, change = vectors(p_adjusted=p_adjusted, log2fc=log2fc)
    return directions(pd.DataFrame({"p_val_adj": p, "avg_log2FC": change})).to_numpy()


def overlap(found: ArrayLike, reference: ArrayLike) -> float:
    """Share of the reference's DEGs that are found, in the same direction: the headline, of subset and full data.

    ``truth_recall`` is this with the genes that the disease changes as reference, ``pseudobulk_recall`` with the DEGs
    of a test of donors.

    Parameters
    ----------
    found
        1, -1 or 0 for each gene (genes,), as of :func:`deg_signs`.
    reference
        Alike (genes,), in the same order.

    Returns
    -------
    From 0 to 1, higher is better; NaN where the reference has no DEG.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.overlap(found=[1, -1, 0, 1], reference=[1, 1, 0, 0])
    0.5
    """
    return _agreement(found, reference)["overlap"]


def overlap_found(one: ArrayLike, other: ArrayLike) -> float:
    """DEGs of two halves of the donors that both have, in the same direction, of those of the two: 2 x common / sum.

    ``overlap_floor`` is the mean of this under permuted labels, and the headline on ``halves`` the difference.

    Parameters
    ----------
    one, other
        1, -1 or 0 for each gene (genes,), as of :func:`deg_signs`, in the same order.

    Returns
    -------
    From 0 to 1; 0 where neither half has a DEG.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.overlap_found([1, -1, 0, 1], [1, 1, 0, 0])
    0.4
    """
    first, second = (values[None].astype(int) for values in vectors(one=one, other=other))
    return float(share_of_both(np.stack([first[0], second[0]])[None])[0])


def overlap_ceiling(overlap_of_counts: float) -> float:
    """Agreement of two studies of the full size, from that of two halves of one, by Spearman and Brown.

    Parameters
    ----------
    overlap_of_counts
        The headline on ``halves`` of the counts as they are.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.overlap_ceiling(0.5)
    0.6666666666666666
    """
    return float(spearman_brown(np.array([overlap_of_counts]))[0])


def overlap_gain(overlaps: ArrayLike, overlaps_of_counts: ArrayLike) -> float:
    """Overlap less that of the counts as they are: mean over the cell types that have both.

    Parameters
    ----------
    overlaps
        :func:`overlap` with imputation, of each cell type; NaN where it is not defined.
    overlaps_of_counts
        The same without.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.overlap_gain([0.5, 0.75], [0.25, float("nan")]), 6)
    0.25
    """
    with_it, without = vectors(overlaps=overlaps, overlaps_of_counts=overlaps_of_counts)
    gain = with_it.astype(float) - without.astype(float)
    gain = gain[~np.isnan(gain)]
    return float(gain.mean()) if len(gain) else float("nan")


def jaccard(found: ArrayLike, reference: ArrayLike) -> float:
    """DEGs common to both, in the same direction, of those of either; NaN without any.

    Parameters as of :func:`overlap`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.jaccard([1, 1, 0], [1, 0, 1])
    0.3333333333333333
    """
    return _agreement(found, reference)["jaccard"]


def deg_precision(found: ArrayLike, reference: ArrayLike) -> float:
    """Share of the DEGs found that the reference has, in the same direction; NaN without any.

    ``precision`` of a subset; ``truth_precision``, and 1 less it ``truth_fdr``, with the genes that the disease changes
    as reference; ``pseudobulk_precision`` with the DEGs of a test of donors. Parameters as of :func:`overlap`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.deg_precision([1, -1, 0], [1, 1, 0])
    0.5
    """
    return _agreement(found, reference)["precision"]


def deg_auprc(p: ArrayLike, log2fc: ArrayLike, changed: ArrayLike) -> float:
    """Average precision of genes ranked by p, of equal p by the size of the change (``truth_auprc``).

    Parameters
    ----------
    p
        p (genes,); NaN where a gene was not tested: it is called never.
    log2fc
        log2 fold change (genes,).
    changed
        Whether the disease changes the gene, in whichever direction (genes,).

    Returns
    -------
    From 0 to 1, higher is better; NaN where no gene is changed.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.deg_auprc([0.001, 0.01, 0.5], [1.0, 1.0, 0.0], [True, False, False])
    1.0
    """
    values, change, true = vectors(p=p, log2fc=log2fc, changed=changed)
    is_true, tested = booleans(true, "changed"), ~np.isnan(values.astype(float))
    return ranked(values[tested], change[tested], is_true[tested], int(is_true.sum()))[2]


def rank_correlation(log2fc: ArrayLike, reference: ArrayLike) -> float:
    """Spearman's correlation of the log fold changes of two analyses; NaN with fewer than 3 genes.

    Parameters
    ----------
    log2fc, reference
        log2 fold changes (genes,), of the genes tested in the full data.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.rank_correlation([0.1, 0.5, 0.9], [1.0, 2.0, 8.0]), 6)
    1.0
    """
    a, b = (values.astype(float) for values in vectors(log2fc=log2fc, reference=reference))
    return float(correlate(a[None], b)[0]) if len(a) >= 3 else float("nan")


def fpr(p: ArrayLike, alpha: float = 0.05) -> float:
    """Share of p below alpha where nothing can differ (``fpr_cells``, ``fpr_donors``): right is alpha or less.

    Parameters
    ----------
    p
        p of a test whose condition was permuted; NaN where a gene was not tested.
    alpha
        The level.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.fpr([0.01, 0.2, 0.7, 0.9])
    0.25
    """
    (values,) = vectors(p=p)
    tested = values.astype(float)[~np.isnan(values.astype(float))]
    return float((tested < alpha).mean()) if len(tested) else float("nan")


def _agreement(found: ArrayLike, reference: ArrayLike) -> dict[str, float]:
    signs = vectors(found=found, reference=reference)
    for name, values in zip(("found", "reference"), signs, strict=True):
        if not np.isin(values, (-1, 0, 1)).all():
            fix = "give 1 (up), -1 (down) or 0 for every gene: bench.metrics.deg_signs"
            raise BenchError(f"{name} has other values than 1, -1 and 0", where=name, fix=fix)
    shares = agreement(signs[0][None], signs[1])[1]
    return {name: float(values[0]) for name, values in shares.items()}
