"""Controls of the annotation task: the commonest class, a draw from the training shares, and the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.tasks._shared.labels import UNASSIGNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Prediction, Problem


def majority(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The commonest training class for every cell; the training shares as probabilities."""
    classes, share = _shares(problem)
    return _answer(np.full(len(problem.solution), int(np.argmax(share))), classes, share)


def random_prior(problem: Problem, rng: np.random.Generator) -> Prediction:
    """A class drawn from the training shares, which are also the probabilities."""
    classes, share = _shares(problem)
    return _answer(rng.choice(len(classes), size=len(problem.solution), p=share), classes, share)


def truth(problem: Problem, rng: np.random.Generator) -> Prediction:
    """The solution; *unassigned* for cells of classes without a training cell, which nobody can name."""
    solution = problem.solution
    seen = solution["seen"].to_numpy(dtype=bool)
    label = np.where(seen, solution["label"].to_numpy(dtype=object), UNASSIGNED)
    classes, share = _shares(problem)
    probabilities = (label[:, None] == classes[None, :]).astype(float)
    probabilities[~seen] = share
    return {"label": label.astype(str), "probability": probabilities.max(axis=1), "probabilities": probabilities}


def _shares(problem: Problem) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Classes, in the order of ``info``, and their shares among the training cells."""
    train, classes = problem.inputs.train, problem.inputs.info["classes"]
    assert train is not None
    assert isinstance(classes, list)
    names = np.array(classes, dtype=object)
    size = train.obs["label"].value_counts().reindex(names).to_numpy(dtype=float)
    return names, size / size.sum()


def _answer(drawn: NDArray[np.int64], classes: NDArray[np.object_], share: NDArray[np.float64]) -> Prediction:
    return {
        "label": classes[drawn].astype(str),
        "probability": share[drawn],
        "probabilities": np.tile(share, (len(drawn), 1)),
    }
