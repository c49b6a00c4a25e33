"""Confidences and sets of classes, set on training cells that an annotation method has not been fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_matrix

    from bench.method import Context
    from bench.problem import Inputs, Prediction

#: Share of cells whose set shall have the true class.
COVERAGE = 0.9
#: Where no donor can be held out, every so many-th cell of each class is.
_EVERY = 5


def held_out(inputs: Inputs, codes: np.ndarray, ctx: Context) -> np.ndarray:
    """Training cells to set confidences on (cells,), none of them of a tested donor; a note says which they are.

    Those of the donors that the task proposes for validation, else of one training donor; where there is only one, or
    the others have fewer than two classes, a fifth of the cells of each class.
    """
    assert inputs.train is not None
    donor = np.asarray(inputs.train.obs["donor"], dtype=str)
    proposed = inputs.info.get("validation_donors")
    names = [str(name) for name in proposed] if isinstance(proposed, list) else []
    chosen = np.isin(donor, names if set(names) & set(donor) else [max(donor)])
    if len(np.unique(codes[~chosen])) >= 2:
        ctx.note(f"confidence set on held-out training donors: {', '.join(sorted(set(donor[chosen])))}")
        return chosen
    ctx.note("confidence set on held-out training cells of the same donors, as no donor could be held out")
    order = np.lexsort((np.asarray(inputs.train.X.sum(axis=1)).ravel(), codes))  # whatever the order of the cells
    sorted_codes = codes[order]
    place = np.arange(len(codes)) - np.searchsorted(sorted_codes, sorted_codes)
    chosen = np.zeros(len(codes), dtype=bool)
    chosen[order] = place % _EVERY == _EVERY - 1
    return chosen


def prediction_sets(held_out: np.ndarray, codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Split conformal sets of classes (Sadinle et al. 2019, doi:10.1080/01621459.2017.1395341), at :data:`COVERAGE`.

    A class is in the set of a cell if its probability is no lower than that of the true class in all but a tenth of the
    held-out cells; all classes are where too few cells are held out to tell. Cells that are exchangeable with those
    have their true class in the set in at least nine of ten cases.

    Parameters
    ----------
    held_out, codes
        Probabilities of the held-out cells (cells, classes) by a model that has not seen them, and their true classes.
    probabilities
        Those of the tested cells (cells, classes).

    Returns
    -------
    (cells, classes), boolean.
    """
    of_truth = np.sort(held_out[np.arange(len(codes)), codes])[::-1]
    needed = int(np.ceil((len(codes) + 1) * COVERAGE))
    least = of_truth[needed - 1] if needed <= len(codes) else 0.0
    return probabilities >= least


def add_sets(
    answer: Prediction,
    inputs: Inputs,
    codes: np.ndarray,
    ctx: Context,
    fitted: Callable[[csr_matrix, np.ndarray, csr_matrix], np.ndarray],
) -> Prediction:
    """``answer`` with its sets, set on held-out training cells by a second fit.

    Parameters
    ----------
    fitted
        Probabilities (cells, classes) of the cells of its third argument after a fit of those of the first, of the
        classes in the second.
    """
    assert inputs.train is not None
    if len(np.unique(codes)) < 2:
        return {**answer, "prediction_set": np.ones_like(answer["probabilities"])}
    apart, X = held_out(inputs, codes, ctx), inputs.train.X
    n_classes = answer["probabilities"].shape[1]
    found = fitted(X[~apart], codes[~apart], X[apart]) if apart.any() else np.zeros((0, n_classes))
    return {**answer, "prediction_set": prediction_sets(found, codes[apart], answer["probabilities"]).astype(float)}
