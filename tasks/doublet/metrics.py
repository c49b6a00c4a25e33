"""Doublet metrics: weighted, vectorised over bootstrap replicates, with exact numbers of calls.

All metrics are computed from one pass over the cells sorted by score. The same code gives the value (every cell has
weight 1) and the bootstrap (weights are how often a cell was drawn), so the two cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.problem import Curve

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Identification rates at which calls are imposed on every method.
RATES: dict[str, float | None] = {"10%": 0.1, "20%": 0.2, "40%": 0.4, "true": None}

#: Most points of a curve in the report.
CURVE_POINTS = 200

#: What marks the same rates by the rule of the paper's code: called is what scores strictly above a quantile.
_PAPER = "-paper"

CALL_METRICS = ("precision", "recall", "tnr", "f1")

#: Columns of what :class:`DoubletStatistic` returns, in order.
METRIC_NAMES: tuple[str, ...] = (
    "auprc",
    "auroc",
    *CALL_METRICS,
    "called_fraction",
    *(
        f"{metric}@{name}{rule}"
        for name, rate in RATES.items()
        for rule in (("", _PAPER) if rate else ("",))
        for metric in CALL_METRICS
    ),
)


def call_metrics(tp: ArrayLike, called: ArrayLike, positives: ArrayLike, total: ArrayLike) -> list[NDArray[np.float64]]:
    """Precision, recall, TNR and F1 from (expected) counts; NaN where a denominator is zero.

    All four are linear in ``tp`` for a fixed number of calls, so an expected ``tp`` gives their expectation.
    """
    tp, called, positives, total = (np.asarray(x, dtype=float) for x in (tp, called, positives, total))
    negatives = total - positives
    nothing = positives == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = tp / called
        recall = tp / positives
        tnr = 1 - (called - tp) / negatives
        f1 = np.where(nothing, np.nan, 2 * tp / (called + positives))
    return [np.where(nothing, np.nan, precision), recall, np.where(negatives == 0, np.nan, tnr), f1]


class DoubletStatistic:
    """All doublet metrics of a set of cells as a function of the cells' weights.

    Parameters
    ----------
    is_doublet
        Truth (n_cells,).
    score
        Higher means more likely a doublet (n_cells,).
    call
        The method's own calls, if it makes any (n_cells,).
    """

    def __init__(self, is_doublet: ArrayLike, score: ArrayLike, call: ArrayLike | None = None) -> None:
        truth, score = np.asarray(is_doublet, dtype=bool), np.asarray(score, dtype=float)
        self.order = np.argsort(-score, kind="stable")
        ranked = score[self.order]
        new_block = np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)]
        self.block_starts = np.flatnonzero(new_block)
        self.truth = truth[self.order].astype(float)
        self.call = None if call is None else np.asarray(call, dtype=bool)[self.order].astype(float)

    def __call__(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Metrics (replicates x :data:`METRIC_NAMES`) for integer weights (replicates x cells)."""
        w = weights[:, self.order].astype(float)
        doublets = w * self.truth
        ranked, tp = self._at_block_ends(w), self._at_block_ends(doublets)
        total, positives = ranked[:, -1], tp[:, -1]
        columns = [_auprc(ranked, tp), _auroc(ranked, tp), *self._own_calls(w, doublets, positives, total)]
        for rate in RATES.values():
            for paper in (False, True) if rate else (False,):
                columns.extend(_imposed(rate, ranked, tp, paper=paper))
        return np.column_stack(columns)

    def _at_block_ends(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Running sums at the last cell of every block of tied scores, after a leading zero."""
        n_blocks = len(self.block_starts)
        sums = np.zeros((len(x), n_blocks + 1))
        if n_blocks:
            blocks = x if n_blocks == x.shape[1] else np.add.reduceat(x, self.block_starts, axis=1)
            np.cumsum(blocks, axis=1, out=sums[:, 1:])
        return sums

    def _own_calls(
        self,
        w: NDArray[np.float64],
        doublets: NDArray[np.float64],
        positives: NDArray[np.float64],
        total: NDArray[np.float64],
    ) -> list[NDArray[np.float64]]:
        if self.call is None:
            return [np.full(len(w), np.nan)] * (len(CALL_METRICS) + 1)
        called = w @ self.call
        with np.errstate(divide="ignore", invalid="ignore"):
            return [*call_metrics(doublets @ self.call, called, positives, total), called / total]

    def values(self) -> dict[str, float]:
        """Every metric of the cells as they are."""
        row = self(np.ones((1, len(self.truth)), dtype=np.int64))[0]
        return dict(zip(METRIC_NAMES, row.tolist(), strict=True))

    def at_rate(self, rate: float | None, *, paper: bool) -> list[float]:
        """:data:`CALL_METRICS` of the cells as they are, of calls imposed at a rate (None: as many as doublets)."""
        ones = np.ones((1, len(self.truth)))
        sums = self._at_block_ends(ones), self._at_block_ends(ones * self.truth)
        return [float(values[0]) for values in _imposed(rate, *sums, paper=paper)]

    def curves(self) -> list[Curve]:
        """Precision-recall, ROC and identification-rate curves, at most :data:`CURVE_POINTS` points each."""
        positives = self.truth.sum()
        total = len(self.truth)
        if positives in (0, total):
            return []
        ones = np.ones((1, total))
        ranked, tp = self._at_block_ends(ones)[0], self._at_block_ends(ones * self.truth)[0]
        precision = tp[1:] / ranked[1:]
        rates = np.arange(1, 51) / 100
        k = n_calls(rates, np.float64(total))
        f1 = call_metrics(_expected_tp(k[None], ranked[None], tp[None])[0], k, positives, total)[3]
        return [
            _thinned("pr", tp / positives, np.append(precision[0], precision)),
            _thinned("roc", (ranked - tp) / (total - positives), tp / positives),
            Curve("identification", rates.tolist(), f1.tolist()),
        ]


def n_calls(rate: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Number of cells called at ``rate`` of ``total``: rounded half up, 0 allowed."""
    return np.floor(np.round(np.multiply(rate, total), 9) + 0.5)


def _imposed(
    rate: float | None, ranked: NDArray[np.float64], tp: NDArray[np.float64], *, paper: bool
) -> list[NDArray[np.float64]]:
    """:data:`CALL_METRICS` (replicates,) each, of calls imposed at a rate."""
    total, positives = ranked[:, -1], tp[:, -1]
    if paper:
        assert rate is not None
        calls, hits = _above_quantile(rate, ranked, tp)
    else:
        calls = positives if rate is None else n_calls(rate, total)
        hits = _expected_tp(calls[:, None], ranked, tp)[:, 0]
    return call_metrics(hits, calls, positives, total)


def _expected_tp(k: NDArray[np.float64], ranked: NDArray[np.float64], tp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected true positives among exactly ``k`` calls (replicates x rates): a block that is cut gives its share."""
    rows = np.arange(len(k))[:, None]
    end = np.array([np.searchsorted(ranked[i], k[i]) for i in range(len(k))]).reshape(k.shape)
    start = np.maximum(end - 1, 0)
    size = ranked[rows, end] - ranked[rows, start]
    share = np.divide(k - ranked[rows, start], size, out=np.zeros_like(k), where=size > 0)
    return tp[rows, start] + share * (tp[rows, end] - tp[rows, start])


def _above_quantile(
    rate: float, ranked: NDArray[np.float64], tp: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calls and true positives (replicates,) if what scores strictly above ``np.quantile(scores, 1 - rate)`` is called.

    The quantile lies between two neighbours in the order of scores, or on the lower of them. Either way what is above
    it is what is above the lower one: the blocks before its block.
    """
    rows, total = np.arange(len(ranked)), ranked[:, -1]
    lower = total - 1 - np.floor((total - 1) * (1 - rate))  # place from the top, from 0; as numpy rounds
    block = np.array([np.searchsorted(ranked[i], lower[i], side="right") for i in rows]) - 1
    return ranked[rows, block], tp[rows, block]


def _auprc(ranked: NDArray[np.float64], tp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision, as the paper's evaluation (and scikit-learn) has it; NaN without both classes."""
    precision = np.divide(tp, ranked, out=np.zeros_like(tp), where=ranked > 0)
    area = (np.diff(tp, axis=1) * precision[:, 1:]).sum(axis=1)
    return _with_both_classes(area, tp[:, -1], ranked[:, -1], denominator=tp[:, -1])


def _auroc(ranked: NDArray[np.float64], tp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under the ROC curve; ties count one half; NaN without both classes."""
    area = (np.diff(ranked - tp, axis=1) * (tp[:, 1:] + tp[:, :-1]) / 2).sum(axis=1)
    return _with_both_classes(area, tp[:, -1], ranked[:, -1], denominator=tp[:, -1] * (ranked[:, -1] - tp[:, -1]))


def _with_both_classes(
    area: NDArray[np.float64],
    positives: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    denominator: NDArray[np.float64],
) -> NDArray[np.float64]:
    defined = (positives > 0) & (positives < total)
    return np.divide(area, denominator, out=np.full_like(area, np.nan), where=defined)


def _thinned(name: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    """Points at even steps along the curve; the first and the last are always kept."""
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    steps = np.linspace(0, length[-1], CURVE_POINTS - 1)
    keep = np.unique(np.append(np.searchsorted(length, steps), len(x) - 1).clip(max=len(x) - 1))
    return Curve(name, x[keep].tolist(), y[keep].tolist())


def why_undefined(metric: str, is_doublet: NDArray[np.bool_], call: NDArray[np.bool_] | None) -> str:
    """The reason, in words, why a metric of these cells is NaN."""
    if not len(is_doublet):
        return "no cells"
    if not is_doublet.any():
        return "no doublets among these cells"
    if is_doublet.all():
        return "no singlets among these cells"
    if "@" in metric:
        return "no cell is called at this rate"
    return "the method returns scores only" if call is None else "the method called no cell"
