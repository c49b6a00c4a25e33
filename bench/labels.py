"""Comparing labels: F1 for many resamples at once, and paired comparisons of methods on the same cells."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats

from bench.stats import Floats, Weights, donor_weights, holm, percentile_interval

Labels = NDArray[Any]


def ratio(numerator: Floats, denominator: Floats, *, otherwise: float = np.nan) -> Floats:
    """A quotient, ``otherwise`` where the denominator is zero."""
    result = np.full(np.broadcast(numerator, denominator).shape, otherwise)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


class ConfusionSums:
    """True positives, support and predicted counts of every label, for many weights at once."""

    def __init__(self, truth: Labels, label: Labels) -> None:
        self.labels = sorted(set(truth) | set(label))
        index = pd.Index(self.labels)
        t, p = index.get_indexer(truth), index.get_indexer(label)
        n, k = len(truth), len(self.labels)
        hit = np.flatnonzero(t == p)
        columns = np.concatenate([t, k + p, 2 * k + t[hit]])
        rows = np.concatenate([np.arange(n), np.arange(n), hit])
        self._sums: Any = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, 3 * k)).T.tocsr()

    def __call__(self, weights: Weights) -> tuple[Floats, Floats, Floats]:
        """Support, predicted and true positives (replicates x labels each)."""
        return self.of(_columns(weights))

    def of(self, columns: Floats) -> tuple[Floats, Floats, Floats]:
        """The same for weights that are turned already (cells x replicates), as where several methods share them."""
        sums = (self._sums @ columns).T
        support, predicted, hits = np.split(sums, 3, axis=1)
        return support, predicted, hits


def _columns(weights: Weights) -> Floats:
    return np.ascontiguousarray(weights.T, dtype=float)


def f1_by_label(support: Floats, predicted: Floats, hits: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN); 0 where a label has neither truth nor prediction."""
    return ratio(2 * hits, support + predicted, otherwise=0.0)


def macro_f1(support: Floats, predicted: Floats, hits: Floats) -> Floats:
    """Mean F1 over the labels with truth (the paper's evaluation of subtypes and subclusters)."""
    present = support > 0
    return ratio((f1_by_label(support, predicted, hits) * present).sum(axis=1), present.sum(axis=1).astype(float))


def mcnemar(a_right: NDArray[np.bool_], b_right: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Exact McNemar test: cells that only A, and only B, has right, and the two-sided binomial p of that split.

    It takes cells as independent, which those of one donor are not: with few donors its p is too small.
    """
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(stats.binomtest(only_a, only_a + only_b).pvalue)


def compare_answers(
    truth: Labels, answers: Mapping[str, Labels], donor: Labels, rng: np.random.Generator, n_boot: int | None = None
) -> pd.DataFrame:
    """Compare every pair of methods on the same cells.

    Parameters
    ----------
    truth
        True label of each cell (n_cells,).
    answers
        Method -> its labels of the same cells (n_cells,).
    donor
        Donor of each cell (n_cells,): donors are resampled, then cells, the same for all methods.
    rng
        Source of randomness.
    n_boot
        Bootstrap replicates; no p below ``2 / (n_boot + 1)`` can be found. By default as many as Holm's first step
        needs to come to half of 0.05, and no fewer than 1,000.

    Returns
    -------
    One row a pair: ``method_a, method_b``, ``difference`` in macro F1 (a - b, classes with truth) with ``ci_low,
    ci_high`` and ``p, p_holm`` from the bootstrap; ``only_a, only_b, p_mcnemar, p_mcnemar_holm`` (:func:`mcnemar`).
    """
    sums = {name: ConfusionSums(truth, labels) for name, labels in answers.items()}
    n_boot = n_boot or max(1000, 80 * comb(len(answers), 2))
    turned = (_columns(w) for w in donor_weights(donor, n_boot, rng))
    blocks = [[macro_f1(*s.of(columns)) for s in sums.values()] for columns in turned]
    draws = dict(zip(sums, np.concatenate(blocks, axis=1), strict=True)) if sums else {}
    ones: Weights = np.ones((1, len(truth)), dtype=np.int64)
    value = {name: float(macro_f1(*s(ones))[0]) for name, s in sums.items()}
    rows = []
    for a, b in combinations(answers, 2):
        difference = draws[a] - draws[b]
        low, high = percentile_interval(difference[:, None])[0] or (np.nan, np.nan)
        only_a, only_b, p_mcnemar = mcnemar(answers[a] == truth, answers[b] == truth)
        rows.append(
            {
                "method_a": a,
                "method_b": b,
                "difference": value[a] - value[b],
                "ci_low": low,
                "ci_high": high,
                "p": _bootstrap_p(difference),
                "only_a": only_a,
                "only_b": only_b,
                "p_mcnemar": p_mcnemar,
            }
        )
    columns = ["method_a", "method_b", "difference", "ci_low", "ci_high", "p", "only_a", "only_b", "p_mcnemar"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(6, "p_holm", holm(table["p"]))
    table["p_mcnemar_holm"] = holm(table["p_mcnemar"])
    return table


def _bootstrap_p(difference: Floats) -> float:
    """Two-sided: twice the share of replicates on the rarer side of zero, those at zero on both."""
    tail = min(int((difference <= 0).sum()), int((difference >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(difference) + 1))


def hierarchical_consistency(coarse: Labels, fine: Labels, parent_of: Mapping[str, str], declined: str) -> float:
    """Share of cells whose finer answer lies within the coarser answer that the same method gave them.

    Parameters
    ----------
    coarse, fine
        Answers at two levels for the same cells (n_cells,).
    parent_of
        Finer class -> the coarser class it belongs to.
    declined
        The answer that is none: cells that have it at either level are left out; NaN where no cell is left.
    """
    both = (coarse != declined) & (fine != declined)
    return float(agreement(coarse[both], fine[both], parent_of).mean()) if both.any() else float("nan")


def agreement(coarse: Labels, fine: Labels, parent_of: Mapping[str, str]) -> NDArray[np.bool_]:
    """Return whether the finer answer of each cell lies within its coarser one (n_cells,)."""
    within: NDArray[np.bool_] = np.array([parent_of.get(name, "") for name in fine], dtype=object) == coarse
    return within
