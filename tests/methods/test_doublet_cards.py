"""Properties every unsupervised doublet method of this room must have."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack
from sklearn.metrics import average_precision_score

from bench.errors import NotApplicableError
from bench.method import Context, Method

#: Package each module needs beyond the core's, and parameters that keep the tests short.
MODULES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "cxds": (None, {}),
    "scrublet": (None, {}),
    "bcds": ("xgboost", {"rounds": 4}),
    "hybrid": ("xgboost", {"rounds": 4}),
    "doubletdetection": ("doubletdetection", {"n_iters": 3}),
    "pyscdblfinder": ("pyscdblfinder", {"n_features": 500}),
    "solo": ("scvi", {"vae_epochs": 15, "solo_epochs": 30, "n_genes": 500}),
}


SLOW = {"solo", "doubletdetection"}


@pytest.fixture(params=[pytest.param(m, marks=pytest.mark.slow if m in SLOW else ()) for m in MODULES])
def method(request) -> Method:
    package, parameters = MODULES[request.param]
    if package:
        pytest.importorskip(package)
    module = importlib.import_module(f"bench.methods.{request.param}")
    (found,) = (c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, Method) and c is not Method)
    return found(**parameters)


def checked(method, inputs, seed=0):
    """Run, and check what the doublet task asks of any prediction."""
    result = method.run(inputs, Context(seed=seed))
    n = inputs.cells.X.shape[0]
    assert result["score"].shape == result["call"].shape == (n,)
    assert np.isfinite(result["score"]).all()
    assert result["call"].dtype == bool
    return result


def reason_to_decline(method, inputs) -> str | None:
    """None where the method answers (validly), else the reason it gives."""
    try:
        checked(method, inputs)
    except NotApplicableError as error:
        return str(error)
    return None


def test_finds_doublets_and_repeats_itself(method, input_a, as_inputs):
    X, truth = input_a[0][:300], input_a[1][:300]
    inputs = as_inputs(X.copy())
    first, second = checked(method, inputs, 1), checked(method, inputs, 1)
    assert average_precision_score(truth, first["score"]) > 3 * truth.mean()
    if first["call"].any():
        assert truth[first["call"]].mean() > 1.2 * truth.mean()  # solo calls a third of the cells
    np.testing.assert_array_equal(first["score"], second["score"])
    np.testing.assert_array_equal(first["call"], second["call"])
    assert (inputs.cells.X != X).nnz == 0, "inputs were changed"
    assert list(inputs.cells.obs) == ["donor", "expected_doublet_rate"]


def test_half_counts_are_taken_where_the_card_says_so(method, input_a, as_inputs):
    """Means of two cells among the others: the original tools take them, too, and find them by their genes."""
    if not method.fractional_counts:
        assert method.name in {"solo", "pyscdblfinder"}
        return
    X = input_a[0][~input_a[1]][:240]
    made = (X[:40] + X[40:80]) / 2
    truth = np.arange(280) >= 240
    result = checked(method, as_inputs(vstack([X, made], format="csr", dtype=np.float32)))
    assert (made.data % 1 == 0.5).any()
    assert average_precision_score(truth, result["score"]) > 1.3 * truth.mean()


@pytest.mark.parametrize("n", [1, 3, 12])
def test_a_tiny_library_is_answered_or_declined_with_a_reason(method, n, input_a, as_inputs):
    assert "cells" in (reason_to_decline(method, as_inputs(input_a[0][:n])) or "cells")


def test_empty_cells_and_genes_do_no_harm(method, input_a, as_inputs):
    X, truth = input_a[0][:200], input_a[1][:200]
    holes = X.tolil()
    holes[:, 7] = 0
    with_empty = vstack([csr_matrix(holes), csr_matrix((1, X.shape[1]), dtype=np.float32)], format="csr")
    result = checked(method, as_inputs(with_empty))
    assert average_precision_score(truth, result["score"][:-1]) > 2 * truth.mean()
    assert not result["call"][-1]


def test_few_genes(method, input_a, as_inputs):
    assert "genes" in (reason_to_decline(method, as_inputs(input_a[0][:, :40])) or "genes")


def test_cxds_follows_the_order_of_the_cells(input_a, as_inputs):
    from bench.methods.cxds import Cxds

    X = input_a[0]
    order = np.random.default_rng(0).permutation(X.shape[0])
    plain, permuted = (Cxds().run(as_inputs(x), Context(seed=0))["score"] for x in (X, X[order]))
    np.testing.assert_allclose(permuted, plain[order], rtol=1e-12)


def test_scrublet_calls_the_expected_share_without_a_threshold(input_a, as_inputs, monkeypatch):
    from bench.methods.scrublet import Scrublet

    def fail(scores):
        raise RuntimeError("no two maxima")

    monkeypatch.setattr("skimage.filters.threshold_minimum", fail)
    result = Scrublet().run(as_inputs(input_a[0], rate=0.05), Context(seed=0))
    assert result["call"].sum() == 30
    assert result["score"][result["call"]].min() >= result["score"][~result["call"]].max()
