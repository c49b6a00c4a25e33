"""bcds of the R package scds: gradient boosted trees that tell real cells from artificial doublets.

The scds package (MIT licence): Bais & Kostka, Bioinformatics 2020, doi:10.1093/bioinformatics/btz698.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from bench.errors import NotApplicableError
from bench.methods._ports.scds import cells_with

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDS = 5
MAX_ROUNDS = 500
PATIENCE = 2


@dataclass(frozen=True)
class CrossValidation:
    """Boosting with held-out folds, stopped when the mean error no longer falls.

    Parameters
    ----------
    prediction
        Probability of being artificial for each row, from the model that has not seen it, after the best round.
    error
        Rounds x folds; share of held-out rows on the wrong side of one half.
    """

    prediction: np.ndarray
    error: np.ndarray

    @property
    def best(self) -> int:
        """Number of rounds (from 1) with the lowest mean error, the first of equals."""
        return int(self.error.mean(axis=1).argmin()) + 1

    @property
    def one_se(self) -> int:
        """The first number of rounds whose mean error is within one standard deviation of the best."""
        mean = self.error.mean(axis=1)
        return int(np.argmax(mean <= mean[self.best - 1] + self.error[self.best - 1].std())) + 1


def variable_genes(X: sp.csr_matrix, ntop: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Genes by falling variance of log counts relative to the cell's mean, among genes on in over 1 % of the cells.

    Cells without a kept count are left out of the scaling (in R one such cell makes every variance NaN, and the first
    genes of the matrix are taken). Fewer genes than ``ntop`` are all taken (R stops).

    Returns
    -------
    Columns of the chosen genes, and their variances.
    """
    n_cells = X.shape[0]
    usual = np.flatnonzero(cells_with(X) > 0.01 * n_cells)
    if not len(usual):
        raise NotApplicableError(f"bcds finds no genes detected in more than 1 % of the {n_cells} cells")
    scaled = _relative_log(X[:, usual])
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    n_on = scaled.getnnz(axis=0)
    scaled.data -= mean[scaled.indices]
    scaled.data **= 2
    squares = np.asarray(scaled.sum(axis=0)).ravel() + (n_cells - n_on) * mean**2
    variance = squares / max(n_cells - 1, 1)
    order = np.argsort(-variance, kind="stable")[:ntop]
    return usual[order], variance[order]


def training_matrix(X: sp.csr_matrix, genes: np.ndarray, pairs: np.ndarray) -> sp.csr_matrix:
    """Rows of the classifier: the real cells, then the artificial doublets (summed counts of ``pairs``)."""
    counts = X[:, genes]
    doublets = counts[pairs[:, 0]] + counts[pairs[:, 1]]
    return sp.csr_matrix(sp.vstack([_relative_log(counts), _relative_log(doublets)]))


def _relative_log(counts: sp.csr_matrix) -> sp.csr_matrix:
    """``log1p`` of the counts, each row divided by its mean; empty rows stay empty."""
    out = counts.astype(np.float64)
    out.sum_duplicates()
    out.eliminate_zeros()
    out = out.log1p()
    mean = np.asarray(out.mean(axis=1)).ravel()
    out.data /= np.repeat(mean, np.diff(out.indptr))
    return out


def stratified_folds(y: np.ndarray, rng: np.random.Generator, k: int = FOLDS) -> np.ndarray:
    """A random fold for each row, with equal shares of both labels."""
    fold = np.empty(len(y), np.int64)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        fold[rows] = np.arange(len(rows)) % k
    return fold


def booster_parameters(*, seed: int, threads: int = 1, subsample: float = 0.5) -> dict[str, Any]:
    """The classifier's settings; what is not named has kept its default since the R package's xgboost 1.7."""
    return {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "subsample": subsample,
        "eval_metric": "error",
        "base_score": 0.5,
        "nthread": threads,
        "seed": seed,
    }


def cross_validate(
    matrix: sp.csr_matrix,
    y: np.ndarray,
    fold: np.ndarray,
    parameters: dict[str, Any],
    *,
    report: Callable[[int, float], None] = lambda round_, error: None,
) -> CrossValidation:
    """Grow one booster a fold in step, until the mean held-out error has not fallen for two rounds.

    Absent entries of ``matrix`` are missing values to xgboost, not zeros; scds relies on it.
    """
    import xgboost as xgb

    held_out = [fold == k for k in np.unique(fold)]
    test = [xgb.DMatrix(matrix[rows], y[rows]) for rows in held_out]
    train = [xgb.DMatrix(matrix[~rows], y[~rows]) for rows in held_out]
    boosters = [
        xgb.Booster({**parameters, "seed": parameters["seed"] + k}, [d, t])
        for k, (d, t) in enumerate(zip(train, test, strict=True))
    ]
    errors: list[list[float]] = []
    for i in range(MAX_ROUNDS):
        for booster, data in zip(boosters, train, strict=True):
            booster.update(data, i)
        errors.append(
            [((b.predict(t) > 0.5) != y[rows]).mean() for b, t, rows in zip(boosters, test, held_out, strict=True)]
        )
        report(i + 1, float(np.mean(errors[-1])))
        if i + 1 - CrossValidation(np.empty(0), np.array(errors)).best >= PATIENCE:
            break
    prediction = np.empty(len(y))
    best = CrossValidation(prediction, np.array(errors)).best
    for booster, data, rows in zip(boosters, test, held_out, strict=True):
        prediction[rows] = booster.predict(data, iteration_range=(0, best))
    return CrossValidation(prediction, np.array(errors))


def predict_in_sample(
    matrix: sp.csr_matrix, y: np.ndarray, rounds: int, parameters: dict[str, Any], *, patience: int | None = PATIENCE
) -> np.ndarray:
    """Predictions of a model for the rows it was trained on; stops early when the training error stalls."""
    import xgboost as xgb

    data = xgb.DMatrix(matrix, y)
    booster = xgb.train(
        parameters, data, rounds, evals=[(data, "train")], early_stopping_rounds=patience, verbose_eval=False
    )
    best = rounds if patience is None else booster.best_iteration + 1
    return np.asarray(booster.predict(data, iteration_range=(0, best)), float)


def bcds(
    X: sp.csr_matrix,
    pairs: np.ndarray,
    *,
    seed: int,
    ntop: int = 500,
    rounds: int | None = None,
    threads: int = 1,
    report: Callable[[int, float], None] = lambda round_, error: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Doublet scores of the real cells and of the artificial doublets.

    Parameters
    ----------
    pairs
        Artificial doublets x 2, rows of ``X``.
    rounds
        Boosting rounds of one model for all rows, whose in-sample predictions are the scores. None: the number of
        rounds is tuned by five-fold cross-validation and real cells get their held-out prediction; artificial doublets,
        which only serve to place the call threshold, are predicted by a model of all rows (as scds does).
    report
        Told the round and the error after each round of the cross-validation.

    Raises
    ------
    bench.errors.NotApplicableError
        With fewer than five cells, or no gene detected in over 1 % of them.
    """
    n_cells = X.shape[0]
    if n_cells < FOLDS:
        raise NotApplicableError(f"bcds needs at least {FOLDS} cells for its cross-validation, got {n_cells}")
    genes, _ = variable_genes(X, ntop)
    matrix = training_matrix(X, genes, pairs)
    y = np.repeat([0, 1], [n_cells, len(pairs)])
    parameters = booster_parameters(seed=seed, threads=threads)
    if rounds is not None:
        score = predict_in_sample(matrix, y, rounds, parameters)
        return score[:n_cells], score[n_cells:]
    held_out = cross_validate(matrix, y, stratified_folds(y, np.random.default_rng(seed)), parameters, report=report)
    refitted = predict_in_sample(matrix, y, held_out.one_se, parameters)
    return held_out.prediction[:n_cells], refitted[n_cells:]
