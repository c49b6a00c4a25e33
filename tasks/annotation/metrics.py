"""Annotation metrics: weighted, vectorised over bootstrap replicates.

Everything but the calibration bins is a ratio of sums over cells, so one sparse product gives all of it for all
replicates. The same code gives the value (every cell has weight 1) and the bootstrap, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from bench.labels import ConfusionSums, f1_by_label, macro_f1, ratio
from bench.tasks._shared.labels import UNASSIGNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Bins of equal width of the expected calibration error.
N_BINS = 15

#: Probabilities below this count as this in the log loss: they are kept in single precision.
_EPSILON = float(np.finfo(np.float32).eps)

#: Coarser levels whose accuracy a finer track also has, and how metrics name them.
COARSER = {"cell_type": "celltype", "subtype": "subtype"}

_LABEL_METRICS = ("f1_macro", "f1_micro", "f1_weighted", "f1_macro_union", "balanced_accuracy")
_REJECTION = ("coverage", "accuracy_assigned", "unseen_fraction", "unseen_rejected")
_CALIBRATION = ("log_loss", "brier", "ece")
_SETS = ("set_coverage_90", "set_size_90")

#: Metrics of a set of cells, in the order of what :class:`AnnotationStatistic` returns.
METRIC_NAMES: tuple[str, ...] = (
    *_LABEL_METRICS,
    *_REJECTION,
    *(f"{metric}_at_{level}" for level in COARSER.values() for metric in ("accuracy", "f1_macro")),
    *_CALIBRATION,
    *_SETS,
)

#: Metrics of one class, in order.
CLASS_METRICS = ("f1", "precision", "recall")


@dataclass(frozen=True)
class Answers:
    """Truth and answers of some cells, as arrays.

    Parameters
    ----------
    truth, label
        True class and answer (n_cells,), text.
    seen
        Whether the true class has training cells (n_cells,).
    coarser
        Level -> (true class, class that the answer belongs to), text.
    probabilities
        (n_cells, n_classes), and ``classes`` its columns; None without.
    sets
        Whether a class is in the set of a cell, (n_cells, n_classes); None without.
    """

    truth: NDArray[np.object_]
    label: NDArray[np.object_]
    seen: NDArray[np.bool_]
    coarser: Mapping[str, tuple[NDArray[np.object_], NDArray[np.object_]]]
    classes: list[str]
    probabilities: NDArray[np.floating] | None = None
    sets: NDArray[np.bool_] | None = None

    def take(self, rows: NDArray[np.bool_]) -> Answers:
        """The chosen cells."""
        return Answers(
            self.truth[rows],
            self.label[rows],
            self.seen[rows],
            {level: (true[rows], answered[rows]) for level, (true, answered) in self.coarser.items()},
            self.classes,
            None if self.probabilities is None else self.probabilities[rows],
            None if self.sets is None else self.sets[rows],
        )


class AnnotationStatistic:
    """All metrics of a set of cells, and of some classes, as a function of the cells' weights.

    Parameters
    ----------
    answers
        Truth and answers.
    by_class
        Classes whose F1, precision and recall are wanted too.
    """

    def __init__(self, answers: Answers, by_class: list[str] | None = None) -> None:
        self._answers = answers
        self._sums = ConfusionSums(answers.truth, answers.label)
        self._coarser = {level: ConfusionSums(*pair) for level, pair in answers.coarser.items()}
        unassigned = answers.label == UNASSIGNED
        facts = [~unassigned, ~answers.seen, ~answers.seen & unassigned]
        self._facts = np.column_stack(facts).astype(float)
        self._calibration = _calibration_sums(answers)
        self._sets = _set_sums(answers)
        self._wanted = [(name, _position(self._sums.labels, name)) for name in by_class or []]

    def __call__(self, weights: NDArray[np.int64]) -> Floats:
        """(replicates x (:data:`METRIC_NAMES`, then :data:`CLASS_METRICS` of each class)) for integer weights."""
        w = weights.astype(float)
        total = w.sum(axis=1)
        support, predicted, hits = self._sums(weights)
        assigned, unseen, rejected = (w @ self._facts).T
        columns = [
            *_label_metrics(support, predicted, hits, total),
            ratio(assigned, total),
            ratio(hits.sum(axis=1), assigned),
            ratio(unseen, total),
            ratio(rejected, unseen),
        ]
        for level in COARSER:
            columns += self._at_level(level, weights, total)
        columns += self._calibrated(w, total)
        columns += [ratio(s, total) for s in (w @ self._sets).T]
        return np.column_stack([*columns, *self._of_classes(support, predicted, hits)])

    def _at_level(self, level: str, weights: NDArray[np.int64], total: Floats) -> list[Floats]:
        if level not in self._coarser:
            return [np.full(len(weights), np.nan)] * 2
        sums = self._coarser[level](weights)
        return [ratio(sums[2].sum(axis=1), total), macro_f1(*sums)]

    def _calibrated(self, w: Floats, total: Floats) -> list[Floats]:
        if self._calibration is None:
            return [np.full(len(w), np.nan)] * len(_CALIBRATION)
        losses, gaps = self._calibration
        log_loss, brier, seen = (w @ losses).T
        error = np.abs((gaps.T @ w.T).T).sum(axis=1)
        return [ratio(log_loss, seen), ratio(brier, seen), ratio(error, total)]

    def _of_classes(self, support: Floats, predicted: Floats, hits: Floats) -> list[Floats]:
        columns = []
        for _, i in self._wanted:
            s, p, h = (x[:, i] if i >= 0 else np.zeros(len(x)) for x in (support, predicted, hits))
            f1 = np.where(s > 0, f1_by_label(s, p, h), np.nan)
            columns += [f1, np.where(s > 0, ratio(h, p), np.nan), ratio(h, s)]
        return columns

    def values(self) -> list[float]:
        """Every metric of the cells as they are, in the order of :meth:`__call__`."""
        row: list[float] = self(np.ones((1, len(self._answers.truth)), dtype=np.int64))[0].tolist()
        return row


def _label_metrics(support: Floats, predicted: Floats, hits: Floats, total: Floats) -> list[Floats]:
    f1 = f1_by_label(support, predicted, hits)
    present, either = support > 0, support + predicted > 0
    recall = ratio(hits, support, otherwise=0.0)
    n_present = present.sum(axis=1).astype(float)
    return [
        macro_f1(support, predicted, hits),
        ratio(hits.sum(axis=1), total),
        ratio((support * f1).sum(axis=1), total),
        ratio(f1.sum(axis=1), either.sum(axis=1).astype(float)),
        ratio(recall.sum(axis=1), n_present),
    ]


def _calibration_sums(answers: Answers) -> tuple[Floats, sparse.csr_matrix] | None:
    """Per cell: log loss, Brier score and whether it counts for them (seen classes); and its gap in its bin.

    A bin's gap is the sum over its cells of confidence minus correctness; confidence is the largest probability.
    """
    if answers.probabilities is None:
        return None
    p, top = _distributions(answers.probabilities)
    true = pd.Index(answers.classes).get_indexer(answers.truth)
    n, seen = len(p), (true >= 0).astype(float)
    of_truth = np.where(true >= 0, p[np.arange(n), true], 0.0)
    log_loss = -np.log(np.clip(of_truth, _EPSILON, 1.0)) * seen
    brier = ((p**2).sum(axis=1) - 2 * of_truth + 1) * seen
    confidence = p[np.arange(n), top]
    gap = confidence - (top == true)
    bins = sparse.csr_matrix((gap, (np.arange(n), _bins(confidence))), shape=(n, N_BINS))
    return np.column_stack([log_loss, brier, seen]), bins


def _set_sums(answers: Answers) -> Floats:
    """Per cell, whether the true class is in its set (that of an unseen one never is), and how many are; else NaN."""
    if answers.sets is None:
        return np.full((len(answers.truth), len(_SETS)), np.nan)
    true = pd.Index(answers.classes).get_indexer(answers.truth)
    has_truth = (true >= 0) & answers.sets[np.arange(len(true)), true]
    return np.column_stack([has_truth, answers.sets.sum(axis=1)]).astype(float)


def reliability(answers: Answers) -> tuple[list[float], list[float]]:
    """Mean confidence and accuracy of each bin that has cells; nothing without probabilities."""
    if answers.probabilities is None:
        return [], []
    p, top = _distributions(answers.probabilities)
    confidence, hit = p.max(axis=1), top == pd.Index(answers.classes).get_indexer(answers.truth)
    means = pd.DataFrame({"confidence": confidence, "hit": hit.astype(float)}).groupby(_bins(confidence)).mean()
    return means["confidence"].tolist(), means["hit"].tolist()


def _distributions(probabilities: NDArray[np.floating]) -> tuple[Floats, NDArray[np.intp]]:
    """Rows that sum to one exactly, and the likeliest class of each."""
    p = np.asarray(probabilities, dtype=float)
    p = p / p.sum(axis=1, keepdims=True)
    return p, p.argmax(axis=1)


def _bins(confidence: Floats) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)


def _position(labels: list[str], name: str) -> int:
    return labels.index(name) if name in labels else -1
