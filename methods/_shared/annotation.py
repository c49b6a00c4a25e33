"""Parts of annotation methods: labels as numbers, probabilities as a prediction, cells in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import NotApplicableError

if TYPE_CHECKING:
    from bench.problem import Cells, Inputs, Prediction

#: Cells that are handled at a time.
ROWS = 2048


def training_set(inputs: Inputs) -> tuple[Cells, np.ndarray, list[str]]:
    """Training cells, the class of each as a position in the list of classes (cells,), and that list.

    Raises
    ------
    bench.errors.NotApplicableError
        If there are no training cells.
    """
    if inputs.train is None or not len(inputs.train.obs):
        raise NotApplicableError("the method learns from labelled training cells and this problem has none")
    classes = [str(name) for name in np.asarray(inputs.info["classes"], dtype=str)]
    labels = np.asarray(inputs.train.obs["label"], dtype=str)
    codes = np.searchsorted(classes, labels)
    if (np.asarray(classes)[np.minimum(codes, len(classes) - 1)] != labels).any():
        raise ValueError("a training label is not in inputs.info['classes']")
    return inputs.train, codes, classes


def most_probable(probabilities: np.ndarray, classes: list[str]) -> Prediction:
    """The prediction that follows from probabilities (cells, classes); the first class wins a tie."""
    best = probabilities.argmax(axis=1)
    return {
        "label": np.asarray(classes)[best],
        "probability": probabilities[np.arange(len(best)), best],
        "probabilities": probabilities,
    }


def spread(probabilities: np.ndarray, learned: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (cells, learned classes) as (cells, classes), 0 for a class the model was not shown."""
    out = np.zeros((len(probabilities), n_classes))
    out[:, learned] = probabilities
    return out
