"""Simple classifiers of scikit-learn on numbers that describe cells: what an embedding is worth."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from bench.errors import UnknownNameError

if TYPE_CHECKING:
    from bench.method import Context

Probe = Literal["logistic", "knn", "mlp"]
#: Training cells that vote for a cell; scikit-learn's defaults hold for all else.
_NEIGHBOURS = 15
_MAX_ITER = 500


def probe(
    kind: Probe, train: np.ndarray, codes: np.ndarray, tested: np.ndarray, n_classes: int, ctx: Context
) -> np.ndarray:
    """Probabilities (tested cells, classes) of a simple classifier.

    Parameters
    ----------
    kind
        ``logistic``: multinomial logistic regression, L2 penalty of strength 1; ``mlp``: one hidden layer of 100; both
        of features standardised by mean and standard deviation of the training cells. ``knn``: vote of the 15 nearest
        training cells by the Euclidean distance of features as they are: standardised, noise would count as much.
    train, tested
        Features (cells, dimensions).
    codes
        Class of each training cell, in [0, n_classes).

    Raises
    ------
    bench.errors.UnknownNameError
        If there is no such probe.
    """
    from sklearn.preprocessing import StandardScaler

    from bench.methods._shared.annotation import spread

    if kind not in get_args(Probe):
        raise UnknownNameError("probe", kind, get_args(Probe))
    if len(np.unique(codes)) == 1:
        return spread(np.ones((len(tested), 1)), codes[:1], n_classes)
    with ctx.phase("fit"):
        scaler = StandardScaler(with_mean=kind != "knn", with_std=kind != "knn").fit(train.astype(np.float64))
        model = _fitted(kind, scaler.transform(train.astype(np.float64)), codes, ctx)
    with ctx.phase("predict"):
        shares = model.predict_proba(scaler.transform(tested.astype(np.float64)))
        return spread(shares, model.classes_, n_classes)


def regression(features: Any, codes: np.ndarray, ctx: Context, *, C: float = 1.0, max_iter: int = _MAX_ITER) -> Any:
    """scikit-learn's multinomial logistic regression; a note says where it has not converged."""
    from sklearn.linear_model import LogisticRegression

    model = _quietly(LogisticRegression(C=C, max_iter=max_iter), features, codes)
    if int(model.n_iter_.max()) >= max_iter:
        ctx.note(f"the regression had not converged after {max_iter} iterations")
    return model


def _fitted(kind: Probe, features: np.ndarray, codes: np.ndarray, ctx: Context) -> Any:
    if kind == "logistic":
        return regression(features, codes, ctx)
    if kind == "knn":
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(min(_NEIGHBOURS, len(codes)), algorithm="brute").fit(features, codes)
    from sklearn.neural_network import MLPClassifier

    model = _quietly(MLPClassifier(max_iter=_MAX_ITER, random_state=ctx.seed), features, codes)
    if model.n_iter_ >= _MAX_ITER:
        ctx.note(f"the network had not converged after {_MAX_ITER} passes")
    return model


def _quietly(model: Any, features: Any, codes: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a note says it
        return model.fit(features, codes)
