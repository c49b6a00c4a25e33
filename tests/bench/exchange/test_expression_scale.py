"""Expression on another scale than asked for is refused, whatever the depth; poor answers on the right one are not."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.blocks import Rows
from bench.errors import InvalidOutputError
from bench.exchange import expression_scale, gate
from bench.normalise import cp10k, log1p_cp10k, totals
from bench.problem import Cells, Inputs

DEPTHS = (500, 1000, 4000, 20_000)


def cells(depth, spread=1.5, n=200, genes=800, kinds=4):
    """Counts of cells of some kinds and unlike depth, and each cell's true shares of its counts."""
    rng = np.random.default_rng(0)
    profiles = rng.lognormal(0, spread, genes) * rng.lognormal(0, 0.7, (kinds, genes))
    kind = rng.integers(kinds, size=n)
    shares = (profiles / profiles.sum(axis=1, keepdims=True))[kind]
    size = depth * rng.lognormal(0, 0.5, (n, 1))
    return sparse.csr_matrix(rng.poisson(shares * size).astype(np.int32)), shares, kind


def inputs_of(X, query=None, layer="counts"):
    obs = pd.DataFrame(index=[f"c{i}" for i in range(X.shape[0])])
    shown = X if layer == "counts" else log1p_cp10k(X)
    return Inputs(Cells(shown, obs, pd.DataFrame(index=[f"g{i}" for i in range(X.shape[1])])), query=query)


def looks(depth):
    """All is shown, then a round hides every fifth count: counts, query, true shares and kinds of the cells."""
    X, shares, kind = cells(depth)
    yield X, None, shares, kind
    hidden = np.arange(X.nnz) % 5 == 0
    kept, query = X.copy(), sparse.csr_matrix((hidden, X.indices, X.indptr), X.shape)
    kept.data[hidden] = 0
    kept.eliminate_zeros()
    query.eliminate_zeros()
    yield kept, query, shares, kind


def smoothed(X, shares):
    """Rates per 10,000 halfway between what was shown and the truth, as an imputer gives them."""
    return 0.5 * cp10k(X).toarray() + 0.5e4 * shares


@pytest.mark.parametrize("layer", ["counts", "log1p_cp10k"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_poor_answers_on_the_right_scale_pass(depth, layer):
    for X, query, shares, kind in looks(depth):
        logs = log1p_cp10k(X).toarray()
        asked = logs == 0 if query is None else query.toarray()
        mean, has = logs.mean(axis=0), np.maximum((logs > 0).mean(axis=0), 1e-9)
        answers = {
            "expected": np.log1p(shares * 1e4),
            "smoothed": np.log1p(smoothed(X, shares)),
            "shown": logs,
            "kinds": np.array([logs[kind == k].mean(axis=0) for k in range(4)])[kind],
            "mean": np.tile(mean, (len(logs), 1)),
            "mean where detected": np.tile(mean / has, (len(logs), 1)),
            "shown values kept, 3 elsewhere": np.where(asked, 3.0, logs),
            "only what is asked for": np.where(asked, np.log1p(shares * 1e4), 0),
            "a constant": np.full_like(logs, 1.7),
            "a whole constant": np.full_like(logs, 3.0),
            "zeros": np.zeros_like(logs),
            "other genes": logs[:, np.random.default_rng(0).permutation(logs.shape[1])],
        }
        for name, answer in answers.items():
            assert gate.check_expression(answer, inputs_of(X, query, layer), name) == 0


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda rates, size: rates * size / 1e4, "counts"),
        (lambda rates, size: np.rint(rates * size / 1e4), "whole numbers"),
        (lambda rates, size: rates, "mean"),
        (lambda rates, size: rates / 1e3, "not their logarithm"),
        (lambda rates, size: np.log1p(rates * size / 1e4), "not normalised"),
        (lambda rates, size: np.log2(1 + rates), "log2"),
    ],
    ids=["denoised counts", "counts", "cp10k", "rates", "log1p of counts", "log2"],
)
def test_another_scale_is_refused(depth, make, told):
    for X, query, shares, _ in looks(depth):
        answer = make(smoothed(X, shares), totals(X)[:, None])
        with pytest.raises(InvalidOutputError, match="not on the scale") as error:
            gate.check_expression(answer, inputs_of(X, query), "expression")
        assert told in str(error.value)


def test_shallow_denoised_counts_imply_few_counts_and_are_refused_by_their_shape():
    """Of 500 counts a cell, none of them high: the totals they imply are no powers off, as those of deep cells are."""
    X, shares, _ = cells(500, spread=0.7)
    counts = shares * totals(X)[:, None]
    assert np.median(np.expm1(counts).sum(axis=1)) < 1e5
    for layer in ("counts", "log1p_cp10k"):
        with pytest.raises(InvalidOutputError, match="not their logarithm"):
            gate.check_expression(counts, inputs_of(X, layer=layer), "expression")


def test_many_genes_filled_in_are_no_reason():
    """40,000 genes that a model answers 3.5 for would mean 1.3 million counts a cell; shown ones tell the scale."""
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.binomial(1, 0.02, (40, 40_000)) * rng.geometric(0.3, (40, 40_000)))
    logs = log1p_cp10k(X).toarray()
    answer = np.where(logs > 0, logs, 3.5)
    assert np.expm1(answer).sum(axis=1).min() > 1e6
    expression_scale.check_scale(Rows(answer), inputs_of(X), "expression")


def test_few_cells_or_genes_alike_say_nothing():
    for X in (np.ones((4, 60), int), np.eye(60, dtype=int), np.zeros((5, 60), int)):
        matrix = sparse.csr_matrix(X)
        expression_scale.check_scale(Rows(log1p_cp10k(matrix)), inputs_of(matrix), "expression")
