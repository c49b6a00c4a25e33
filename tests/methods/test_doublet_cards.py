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
    "doubletdetection": ("doubletdetection", {"n_iters": 3, "clustering": "leiden"}),
    "pyscdblfinder": ("pyscdblfinder", {"n_features": 500}),
    "solo": ("scvi", {"vae_epochs": 15, "vae_lr": 2e-3, "solo_epochs": 30, "n_genes": 500}),
    "vote": (None, {"callers": "cxds,scrublet"}),
}


SLOW = {"solo", "doubletdetection"}


@pytest.fixture(params=[pytest.param(m, marks=pytest.mark.slow if m in SLOW else ()) for m in MODULES])
def method(request) -> Method:
    package, parameters = MODULES[request.param]
    if package:
        pytest.importorskip(package)
    module = importlib.import_module(f"bench.methods.{request.param}")
    (found,) = (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__)
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


@pytest.mark.slow
def test_doubletdetection_hands_the_package_the_clustering_that_is_asked_for(input_a, as_inputs, monkeypatch):
    """As it is by default, the package's own; PhenoGraph's Leiden has the seed."""
    phenograph = pytest.importorskip("phenograph")
    from bench.errors import BenchError
    from bench.methods.doubletdetection import DoubletDetection

    asked = []
    cluster = phenograph.cluster
    monkeypatch.setattr(phenograph, "cluster", lambda data, **how: asked.append(how) or cluster(data, **how))
    X, truth = input_a[0][:300], input_a[1][:300]
    default = checked(DoubletDetection(n_iters=2), as_inputs(X), 7)
    seeded = [checked(DoubletDetection(**DoubletDetection.presets["seeded"], n_iters=2), as_inputs(X), 7) for _ in "ab"]
    assert [how.get("clustering_algo") for how in asked] == [None] * 2 + ["leiden"] * 4
    assert {how.get("seed") for how in asked[2:]} == {7}
    np.testing.assert_array_equal(seeded[0]["score"], seeded[1]["score"])
    assert min(average_precision_score(truth, each["score"]) for each in (default, seeded[0])) > 2 * truth.mean()
    with pytest.raises(BenchError, match="choose among phenograph"):
        DoubletDetection(clustering="louvain")


def test_the_order_of_the_cells_is_scrublets_seed(input_a, as_inputs, monkeypatch):
    """Its scores hang on that order; another seed is another order, and the answer is for the cells as given."""
    import scanpy as sc

    from bench.methods.scrublet import Scrublet

    X, seen = input_a[0][:200], []

    def echo(adata, **_):
        seen.append(adata.X.toarray())
        adata.obs["doublet_score"] = np.asarray(adata.X.sum(axis=1)).ravel()
        adata.uns["scrublet"] = {"threshold": 0.0}

    monkeypatch.setattr(sc.pp, "scrublet", echo)
    for seed in (0, 1):
        score = Scrublet().run(as_inputs(X), Context(seed=seed))["score"]
        np.testing.assert_allclose(score, np.asarray(X.sum(axis=1)).ravel())
    assert not np.array_equal(*seen)
    assert sorted(map(tuple, seen[0])) == sorted(map(tuple, seen[1])) == sorted(map(tuple, X.toarray()))


def test_the_vote_is_the_majority_and_the_mean_rank(input_a, as_inputs, monkeypatch):
    from scipy.stats import rankdata

    from bench.errors import BenchError
    from bench.methods.vote import CALLERS, Vote

    class EveryThird:
        def run(self, inputs, ctx):
            place = np.arange(len(inputs.cells.obs))
            return {"score": place % 7, "call": place % 3 == 0}

    monkeypatch.setitem(CALLERS, "doubletfinder", EveryThird)
    inputs = as_inputs(input_a[0][:300])
    voted = checked(Vote(), inputs, 3)
    answers = [caller().run(inputs, Context(seed=3)) for caller in CALLERS.values()]
    assert 0 < voted["call"].sum() < 100
    np.testing.assert_array_equal(voted["call"], sum(a["call"].astype(int) for a in answers) >= 2)
    np.testing.assert_allclose(voted["score"] * 300 * 3, sum(rankdata(a["score"]) for a in answers))
    for wrong in ("cxds", "cxds,solo", ""):
        with pytest.raises(BenchError, match="no callers that can vote"):
            Vote(wrong)


def test_solo_trains_as_long_as_scvi_tools_would():
    from bench.methods.solo import Solo

    assert Solo.defaults() == {"vae_epochs": 0, "vae_lr": 1e-3, "solo_epochs": 400, "patience": 30, "n_genes": 0}
    scvi = pytest.importorskip("scvi")
    signature = inspect.signature(scvi.external.SOLO.train).parameters
    assert (signature["max_epochs"].default, signature["early_stopping_patience"].default) == (400, 30)
