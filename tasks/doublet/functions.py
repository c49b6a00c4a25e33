"""Doublet metrics of plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.tasks._shared.plain import booleans, finite, vectors
from bench.tasks.doublet.metrics import CALL_METRICS, DoubletStatistic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def auprc(is_doublet: ArrayLike, score: ArrayLike) -> float:
    """Average precision of the ranking by score.

    Parameters
    ----------
    is_doublet
        Truth (cells,): true and false, or 1 and 0.
    score
        Higher means more likely a doublet (cells,); tied cells count as one step of the curve.

    Returns
    -------
    From 0 to 1, higher is better; the share of doublets by chance. NaN without both doublets and singlets.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.auprc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]), 3)
    0.833
    """
    return _of_scores(is_doublet, score)["auprc"]


def auroc(is_doublet: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half.

    Parameters as of :func:`auprc`.

    Returns
    -------
    From 0 to 1, higher is better, 0.5 by chance. NaN without both doublets and singlets.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.auroc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    0.75
    """
    return _of_scores(is_doublet, score)["auroc"]


def precision(is_doublet: ArrayLike, call: ArrayLike) -> float:
    """Share of the calls that are doublets; NaN without a call or without doublets.

    Parameters
    ----------
    is_doublet
        Truth (cells,): true and false, or 1 and 0.
    call
        Which cells are called doublets (cells,), alike.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.precision([1, 0, 1, 0], [1, 1, 0, 0])
    0.5
    """
    return _of_calls(is_doublet, call)["precision"]


def recall(is_doublet: ArrayLike, call: ArrayLike) -> float:
    """Share of the doublets that are called; NaN without doublets.

    Parameters as of :func:`precision`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.recall([1, 0, 1, 1, 1], [1, 1, 0, 0, 0])
    0.25
    """
    return _of_calls(is_doublet, call)["recall"]


def tnr(is_doublet: ArrayLike, call: ArrayLike) -> float:
    """Share of the singlets that are not called (true negative rate); NaN without singlets.

    Parameters as of :func:`precision`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.tnr([1, 0, 0, 0, 0], [1, 1, 0, 0, 0])
    0.75
    """
    return _of_calls(is_doublet, call)["tnr"]


def f1(is_doublet: ArrayLike, call: ArrayLike) -> float:
    """Harmonic mean of :func:`precision` and :func:`recall`; NaN without doublets.

    Parameters as of :func:`precision`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.f1([1, 0, 1, 0], [1, 1, 0, 0])
    0.5
    """
    return _of_calls(is_doublet, call)["f1"]


def called_fraction(call: ArrayLike) -> float:
    """Share of the cells that are called; neither high nor low is good.

    Parameters
    ----------
    call
        Which cells are called doublets (cells,).

    Examples
    --------
    >>> import bench
    >>> bench.metrics.called_fraction([1, 0, 0, 0])
    0.25
    """
    (called,) = vectors(call=call)
    return _of_calls(np.zeros(len(called), dtype=bool), called)["called_fraction"]


def at_rate(
    is_doublet: ArrayLike, score: ArrayLike, rate: float | None = None, *, paper: bool = False
) -> dict[str, float]:
    """Precision, recall, TNR and F1 when a share of the cells is called from the top: ``precision@10%`` and so on.

    Parameters
    ----------
    is_doublet, score
        As of :func:`auprc`.
    rate
        Share of the cells that is called, between 0 and 1. Default: as many as there are doublets (``precision@true``).
    paper
        By the rule of the scMamba paper's code (``precision@10%-paper``): called is what scores strictly above the
        ``1 - rate`` quantile. Default: exactly that many are called; cells that tie at the cut share by expectation.

    Returns
    -------
    ``precision, recall, tnr, f1``.

    Raises
    ------
    bench.errors.BenchError
        If ``rate`` is no share, or missing under the paper's rule.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.at_rate([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], 0.25)["precision"]
    1.0
    """
    if (rate is None and paper) or (rate is not None and not 0 < rate < 1):
        raise BenchError(f"{rate!r} is no share of cells", where="rate", fix="give a number between 0 and 1")
    truth, ranked = vectors(is_doublet=is_doublet, score=score)
    statistic = DoubletStatistic(booleans(truth, "is_doublet"), finite(ranked, "score"))
    return dict(zip(CALL_METRICS, statistic.at_rate(rate, paper=paper), strict=True))


def _of_scores(is_doublet: ArrayLike, score: ArrayLike) -> dict[str, float]:
    truth, ranked = vectors(is_doublet=is_doublet, score=score)
    return DoubletStatistic(booleans(truth, "is_doublet"), finite(ranked, "score")).values()


def _of_calls(is_doublet: ArrayLike, call: ArrayLike) -> dict[str, float]:
    truth, called = vectors(is_doublet=is_doublet, call=call)
    called = booleans(called, "call")
    return DoubletStatistic(booleans(truth, "is_doublet"), called, called).values()
