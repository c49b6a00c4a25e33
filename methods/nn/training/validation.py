"""The training cells that are held back to pick the best epoch, and how an epoch is judged on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows to judge by; ``note`` says what a reader must know of it."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    note: str


def split_by_donor(donor: NDArray, label: NDArray, rng: np.random.Generator) -> Split:
    """Keep whole donors back: a fifth of them, at least one, such that every class stays among the training cells.

    Where that cannot be had (one donor, or a class that one donor alone has), a fifth of each class's cells is kept
    back instead.

    Parameters
    ----------
    donor, label
        Of every cell, (cells,).
    """
    names = np.unique(donor)
    kept_back: list[str] = []
    n_wanted = max(1, round(_SHARE * len(names))) if len(names) > 1 else 0
    for name in rng.permutation(names):
        rest = ~np.isin(donor, [*kept_back, name])
        if len(kept_back) < n_wanted and rest.any() and set(label[rest]) == set(label):
            kept_back.append(name)
    held_out = np.isin(donor, kept_back)
    if kept_back and len(np.unique(label[held_out])) >= min(2, len(set(label))):
        note = f"best epoch by donors {', '.join(map(str, kept_back))}"
        return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out), note)
    validation = np.concatenate([_some(np.flatnonzero(label == c), rng) for c in np.unique(label)])
    train = np.setdiff1d(np.arange(len(label)), validation)
    return Split(train, np.sort(validation), "best epoch by a fifth of the training cells: no donor could be kept back")


def no_validation(n_cells: int) -> Split:
    """Train on all cells: where there is one epoch only, there is none to pick."""
    return Split(np.arange(n_cells), np.arange(0), "one epoch on all training cells, none kept back")


def _some(rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """A fifth of ``rows``; at least one stays."""
    return rng.permutation(rows)[: min(max(1, round(_SHARE * len(rows))), len(rows) - 1)]


def judge(logits: NDArray[np.floating], label: NDArray[np.intp], by: Literal["accuracy", "average_precision"]) -> float:
    """Score class scores (cells, classes); higher is better.

    ``average_precision`` is the mean over the classes that occur, each against all others.
    """
    if by == "accuracy":
        return float((logits.argmax(axis=1) == label).mean())
    from scipy.special import softmax
    from sklearn.metrics import average_precision_score

    probability = softmax(logits, axis=1)
    present = np.unique(label)
    classes = present[1:] if len(present) == 2 == logits.shape[1] else present
    return float(np.mean([average_precision_score(label == c, probability[:, c]) for c in classes]))
