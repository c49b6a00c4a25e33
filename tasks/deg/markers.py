"""Seurat's ``FindMarkers`` with MAST for many pairs of groups at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.tasks.deg.find_markers import MIN_CELLS, fold_changes
from bench.tasks.deg.mast.two_groups import two_group_lrt
from bench.tasks.deg.sums import genes_of, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tasks.deg.mast.sums import GroupSums

#: A gene is differentially expressed if its adjusted p is below, and its |log2 fold change| above: the paper's.
ALPHA, MIN_LOG2FC = 0.05, 0.25
#: Pairs times genes that are worked on at once.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Markers:
    """Of every pair and gene: arrays of shape (pairs, genes).

    Parameters
    ----------
    defined
        (pairs,): whether both groups have the 3 cells that a test needs.
    tested
        Whether the gene passes the filters before the test.
    p
        Of the hurdle model; NaN where not tested.
    log2fc, pct_1, pct_2
        As ``FindMarkers`` gives them; NaN in pairs that are not defined.
    """

    defined: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    p: NDArray[np.float64]
    log2fc: NDArray[np.float64]
    pct_1: NDArray[np.float64]
    pct_2: NDArray[np.float64]

    def deg(self, sign: int) -> NDArray[np.bool_]:
        """Genes that are differentially expressed, up (1) or down (-1) in the case; p by Bonferroni over all."""
        with np.errstate(invalid="ignore"):
            significant = self.p * self.p.shape[1] < ALPHA
            return significant & (sign * self.log2fc > MIN_LOG2FC)


def markers(case: GroupSums, control: GroupSums, *, every_change: bool = False) -> Markers:
    """Test the ``k``-th group of ``case`` against the ``k``-th of ``control``, for all ``k``.

    Parameters
    ----------
    every_change
        Test genes however little they change: under the null, genes chosen for a large change have small p.
    """
    n_pairs, n_genes = case.detected.shape
    defined = (case.n >= MIN_CELLS) & (control.n >= MIN_CELLS)
    p, log2fc, pct_1, pct_2 = np.full((4, n_pairs, n_genes), np.nan)
    result = Markers(defined, np.zeros((n_pairs, n_genes), bool), p, log2fc, pct_1, pct_2)
    step = max(1, _CHUNK // max(1, n_genes))
    pairs = np.flatnonzero(defined)
    for start in range(0, len(pairs), step):
        part = pairs[start : start + step]
        sums = joined(case.take(part), control.take(part))
        pair = np.arange(len(part)), np.arange(len(part)) + len(part)
        change = fold_changes(sums, *pair, logfc_threshold=0.0 if every_change else None)
        result.tested[part] = change.tested
        result.log2fc[part], result.pct_1[part], result.pct_2[part] = change.avg_log2FC, change.pct_1, change.pct_2
        genes = np.asarray(change.tested.any(axis=0))
        test = two_group_lrt(genes_of(sums, genes), *pair, tested=change.tested[:, genes], fields=("p",))
        result.p[np.ix_(part, genes)] = test["p"]
    return result
