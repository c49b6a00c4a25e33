"""Probes of an embedding are scikit-learn's classifiers, taught by training cells only."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.errors import NotApplicableError, UnknownNameError
from bench.method import Context
from bench.methods.embedding_probe import EmbeddingProbe
from bench.problem import Cells, Inputs

REFERENCES = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "knn": lambda: KNeighborsClassifier(15),
    "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier(max_iter=500, random_state=3)),
}


def cells(n, rng, **columns):
    obs = pd.DataFrame({"donor": "d", **columns}, index=[f"c{i}" for i in range(n)])
    return Cells(csr_matrix((n, 2), dtype=np.float32), obs, pd.DataFrame(index=["g0", "g1"]))


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    label = rng.choice(["a", "b", "c"], 90)
    centres = {"a": [0, 0, 0], "b": [3, 0, 0], "c": [0, 40, 0]}

    def embedded(labels):
        means = np.array([centres[name] for name in labels], dtype=float)
        return (means + rng.normal(scale=[1, 15, 1], size=(len(labels), 3))).astype(np.float32)

    train, tested = cells(90, rng, label=label), cells(30, rng)
    train.obsm["X_a"], tested.obsm["X_a"] = embedded(label), embedded(rng.choice(["a", "b", "c"], 30))
    return Inputs(tested, train, {"classes": ["a", "b", "c"]})


@pytest.mark.parametrize("probe", REFERENCES)
def test_a_probe_is_that_of_scikit_learn(probe, inputs):
    X = inputs.train.obsm["X_a"].astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        expected = REFERENCES[probe]().fit(X, inputs.train.obs["label"])
    ours = EmbeddingProbe("X_a", probe).run(inputs, Context(seed=3))
    tested = inputs.cells.obsm["X_a"].astype(float)
    np.testing.assert_allclose(ours["probabilities"], expected.predict_proba(tested), atol=1e-6)
    np.testing.assert_array_equal(ours["label"], expected.predict(tested))


@pytest.mark.parametrize("probe", REFERENCES)
def test_a_probe_learns_from_training_cells_only(probe, inputs):
    method = EmbeddingProbe("X_a", probe)
    tested = inputs.cells.take(np.arange(30))
    tested.obsm["X_a"][5:] += 1000
    everyone, moved = (method.run(i, Context(seed=3)) for i in (inputs, Inputs(tested, inputs.train, inputs.info)))
    np.testing.assert_allclose(moved["probabilities"][:5], everyone["probabilities"][:5], atol=1e-9)


def test_a_class_without_training_cells_is_never_answered_and_one_class_always(inputs):
    info = {"classes": ["a", "aa", "b", "c"]}
    answer = EmbeddingProbe("X_a").run(Inputs(inputs.cells, inputs.train, info), Context(seed=0))
    assert answer["probabilities"].shape == (30, 4)
    assert not answer["probabilities"][:, 1].any()
    only = Cells(inputs.train.X, inputs.train.obs.assign(label="b"), inputs.train.var, inputs.train.obsm)
    answer = EmbeddingProbe("X_a").run(Inputs(inputs.cells, only, info), Context(seed=0))
    assert set(answer["label"]) == {"b"}


def test_few_training_cells_all_vote(inputs):
    few = Inputs(inputs.cells, inputs.train.take(np.arange(6)), inputs.info)
    share = EmbeddingProbe("X_a", "knn").run(few, Context(seed=0))["probabilities"]
    np.testing.assert_allclose(share * 6, np.round(share * 6))


def test_an_embedding_that_is_not_there_and_an_unknown_probe_are_refused(inputs):
    with pytest.raises(NotApplicableError, match="without the embedding 'X_b'"):
        EmbeddingProbe("X_b").run(inputs, Context(seed=0))
    with pytest.raises(UnknownNameError, match="unknown probe 'svm'") as error:
        EmbeddingProbe("X_a", "svm")
    assert "logistic" in error.value.fix


def test_a_probe_that_has_not_converged_says_so(inputs, monkeypatch):
    monkeypatch.setattr("bench.methods._shared.probe._MAX_ITER", 2)
    ctx = Context(seed=0)
    EmbeddingProbe("X_a", "mlp").run(inputs, ctx)
    assert ctx.notes == ["the network had not converged after 2 passes"]
