"""Annotation metrics of plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.tasks._shared.labels import UNASSIGNED
from bench.tasks._shared.plain import finite, texts, vectors
from bench.tasks.annotation.metrics import CLASS_METRICS, COARSER, METRIC_NAMES, AnnotationStatistic, Answers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def f1_macro(truth: ArrayLike, label: ArrayLike) -> float:
    """Mean F1 of the classes that the cells truly have: the headline, and the scMamba paper's evaluation.

    Parameters
    ----------
    truth
        True class (cells,).
    label
        Answer (cells,); ``unassigned`` is no class, and wrong.

    Returns
    -------
    From 0 to 1, higher is better.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.f1_macro(["a", "a", "b"], ["a", "b", "b"]), 3)
    0.667
    """
    return _of_labels(truth, label)["f1_macro"]


def f1_micro(truth: ArrayLike, label: ArrayLike) -> float:
    """F1 over all answers, which is the accuracy; ``unassigned`` counts as wrong.

    Parameters and range as of :func:`f1_macro`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.f1_micro(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.75
    """
    return _of_labels(truth, label)["f1_micro"]


def f1_weighted(truth: ArrayLike, label: ArrayLike) -> float:
    """Mean F1 weighted by the number of cells that are of a class.

    Parameters and range as of :func:`f1_macro`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.f1_weighted(["a", "a", "b"], ["a", "a", "b"])
    1.0
    """
    return _of_labels(truth, label)["f1_weighted"]


def f1_macro_union(truth: ArrayLike, label: ArrayLike) -> float:
    """Mean F1 of all classes among truth and answers, as scikit-learn's default.

    A class that is answered but not there counts as 0, ``unassigned`` too. Parameters and range as of
    :func:`f1_macro`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.f1_macro_union(["a", "a"], ["a", "c"])
    0.3333333333333333
    """
    return _of_labels(truth, label)["f1_macro_union"]


def balanced_accuracy(truth: ArrayLike, label: ArrayLike) -> float:
    """Mean recall of the classes that the cells truly have.

    Parameters and range as of :func:`f1_macro`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.balanced_accuracy(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.75
    """
    return _of_labels(truth, label)["balanced_accuracy"]


def coverage(label: ArrayLike) -> float:
    """Share of the cells that are given a class rather than ``unassigned``; neither high nor low is good.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.coverage(["a", "unassigned"])
    0.5
    """
    return _of_labels(label, label)["coverage"]


def accuracy_assigned(truth: ArrayLike, label: ArrayLike) -> float:
    """Accuracy among the cells that are given a class; NaN if none is.

    Parameters and range as of :func:`f1_macro`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.accuracy_assigned(["a", "b"], ["a", "unassigned"])
    1.0
    """
    return _of_labels(truth, label)["accuracy_assigned"]


def unseen_fraction(truth: ArrayLike, classes: Sequence[str]) -> float:
    """Share of the cells whose class has no training cell: nobody can name it.

    Parameters
    ----------
    truth
        True class (cells,).
    classes
        Those of the training cells.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.unseen_fraction(["a", "b", "c", "c"], classes=["a", "b"])
    0.5
    """
    return _of_labels(truth, truth, classes)["unseen_fraction"]


def unseen_rejected(truth: ArrayLike, label: ArrayLike, classes: Sequence[str]) -> float:
    """Share of the cells of classes without training cells that are ``unassigned``; NaN if there are none.

    Parameters as of :func:`f1_macro` and :func:`unseen_fraction`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.unseen_rejected(["c", "c", "a"], ["unassigned", "a", "a"], classes=["a"])
    0.5
    """
    return _of_labels(truth, label, classes)["unseen_rejected"]


def accuracy_at_level(coarse_truth: ArrayLike, label: ArrayLike, parent_of: Mapping[str, str]) -> float:
    """Accuracy of the coarser class that an answer belongs to (``accuracy_at_celltype``, ``accuracy_at_subtype``).

    Parameters
    ----------
    coarse_truth
        True class at the coarser level (cells,).
    label
        Answer at the finer level (cells,).
    parent_of
        Finer class -> coarser class.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.accuracy_at_level(["neuron", "glia"], ["L2", "L4"], {"L2": "neuron", "L4": "neuron"})
    0.5
    """
    return _at_level(coarse_truth, label, parent_of)["accuracy"]


def f1_macro_at_level(coarse_truth: ArrayLike, label: ArrayLike, parent_of: Mapping[str, str]) -> float:
    """Macro F1 of the coarser class that an answer belongs to (``f1_macro_at_celltype``, ``f1_macro_at_subtype``).

    Parameters as of :func:`accuracy_at_level`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.f1_macro_at_level(["neuron", "glia"], ["L2", "micro"], {"L2": "neuron", "micro": "glia"})
    1.0
    """
    return _at_level(coarse_truth, label, parent_of)["f1_macro"]


def log_loss(truth: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> float:
    """Mean of -ln(probability of the true class) over the cells of known classes; lower is better.

    Parameters
    ----------
    truth
        True class (cells,).
    probabilities
        (cells, classes); rows are made to sum to 1.
    classes
        Names of the columns.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.log_loss(["a", "b"], [[0.5, 0.5], [0.5, 0.5]], ["a", "b"]), 4)
    0.6931
    """
    return _calibration(truth, probabilities, classes)["log_loss"]


def brier(truth: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> float:
    """Mean squared distance of the probabilities from the truth, over the cells of known classes; 0 (best) to 2.

    Parameters as of :func:`log_loss`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.brier(["a", "b"], [[0.5, 0.5], [0.5, 0.5]], ["a", "b"])
    0.5
    """
    return _calibration(truth, probabilities, classes)["brier"]


def ece(truth: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> float:
    """Expected calibration error of the largest probability, 15 bins of equal width; 0 (best) to 1.

    Parameters as of :func:`log_loss`.

    Examples
    --------
    >>> import bench
    >>> round(bench.metrics.ece(["a", "a"], [[0.9, 0.1], [0.9, 0.1]], ["a", "b"]), 3)
    0.1
    """
    return _calibration(truth, probabilities, classes)["ece"]


def set_coverage(truth: ArrayLike, sets: ArrayLike, classes: Sequence[str]) -> float:
    """Share of the cells whose set of classes has the true one (``set_coverage_90``); 0 to 1.

    Parameters
    ----------
    truth
        True class (cells,); one that is not among ``classes`` is in no set.
    sets
        Whether a class is in a cell's set (cells, classes).
    classes
        Names of the columns.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.set_coverage(["a", "b"], [[1, 1], [1, 0]], ["a", "b"])
    0.5
    """
    return _of_sets(truth, sets, classes)["set_coverage_90"]


def set_size(truth: ArrayLike, sets: ArrayLike, classes: Sequence[str]) -> float:
    """Mean number of classes in a cell's set (``set_size_90``); at a coverage, lower is better.

    Parameters as of :func:`set_coverage`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.set_size(["a", "b"], [[1, 1], [1, 0]], ["a", "b"])
    1.5
    """
    return _of_sets(truth, sets, classes)["set_size_90"]


def by_class(truth: ArrayLike, label: ArrayLike) -> pd.DataFrame:
    """F1, precision and recall of each class that occurs (units ``class:NAME``).

    Parameters as of :func:`f1_macro`.

    Returns
    -------
    A row a class, with ``f1, precision, recall``; NaN where one is not defined.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.by_class(["a", "a", "b"], ["a", "b", "b"])
             f1  precision  recall
    a  0.666667        1.0     0.5
    b  0.666667        0.5     1.0
    """
    answers = _answers(truth, label)
    names = sorted({*answers.truth, *answers.label})
    ones = np.ones((1, len(answers.truth)), dtype=np.int64)
    values = AnnotationStatistic(answers, names)(ones)[0, len(METRIC_NAMES) :]
    return pd.DataFrame(values.reshape(len(names), -1), index=names, columns=list(CLASS_METRICS))


def _answers(truth: ArrayLike, label: ArrayLike, classes: Sequence[str] | None = None) -> Answers:
    true, answer = (texts(values) for values in vectors(truth=truth, label=label))
    known = sorted(set(true)) if classes is None else [str(name) for name in classes]
    return Answers(true, answer, np.isin(true, known), {}, known)


def _named(answers: Answers) -> dict[str, float]:
    return dict(zip(METRIC_NAMES, AnnotationStatistic(answers).values(), strict=True))


def _of_labels(truth: ArrayLike, label: ArrayLike, classes: Sequence[str] | None = None) -> dict[str, float]:
    return _named(_answers(truth, label, classes))


def _at_level(coarse_truth: ArrayLike, label: ArrayLike, parent_of: Mapping[str, str]) -> dict[str, float]:
    true, answer = (texts(values) for values in vectors(coarse_truth=coarse_truth, label=label))
    parents = {**{str(fine): str(coarse) for fine, coarse in parent_of.items()}, UNASSIGNED: UNASSIGNED}
    if unknown := sorted(set(answer) - set(parents)):
        told = ", ".join(unknown[:3])
        raise BenchError(f"no parent of {told}", where="parent_of", fix="name the coarser class of every answer")
    level = next(iter(COARSER))
    given = np.array([parents[name] for name in answer], dtype=object)
    named = _named(Answers(true, given, np.ones(len(true), dtype=bool), {level: (true, given)}, []))
    return {metric: named[f"{metric}_at_{COARSER[level]}"] for metric in ("accuracy", "f1_macro")}


def _of_sets(truth: ArrayLike, sets: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    true, has, names = _of_classes(truth, sets, classes, "sets")
    known = np.isin(texts(true), names)
    return _named(Answers(texts(true), texts(true), known, {}, names, sets=has > 0))


def _calibration(truth: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    true, p, names = _of_classes(truth, probabilities, classes, "probabilities")
    label = np.array(names, dtype=object)[p.argmax(axis=1)]
    return _named(Answers(texts(true), label, np.isin(texts(true), names), {}, names, p))


def _of_classes(
    truth: ArrayLike, values: ArrayLike, classes: Sequence[str], name: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """True classes, values (cells, classes) and the names of these."""
    (true,) = vectors(truth=truth)
    table = finite(np.asarray(values, dtype=float), name)
    if table.shape != (len(true), len(classes)):
        told = f"{name} are {table.shape}, for {len(true):,} cells and {len(classes)} classes"
        raise BenchError(told, where=name, fix="give a row a cell and a column a class")
    return true, table, [str(each) for each in classes]
