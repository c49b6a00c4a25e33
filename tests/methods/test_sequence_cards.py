"""scMamba, scHyena and scBERT as methods, on cells of two kinds of which the second is called doublets."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

pytest.importorskip("torch")

from bench.errors import BenchError
from bench.method import Context
from bench.methods.nn.models.presets import presets
from bench.methods.nn.training.checkpoint import save_pretrained
from bench.plan.registry import Registry
from bench.problem import Cells, Inputs

NAMES = ("scmamba", "schyena", "scbert")
FAST = {"epochs": 10, "lr": 1e-2, "options": {"batch_size": 8}}


def cells(n, donors, rng, n_genes=30):
    kind = np.arange(n) % 2
    rate = np.where((np.arange(n_genes) < n_genes // 2) == (kind[:, None] == 0), 4.0, 0.4)
    obs = pd.DataFrame(
        {"donor": [donors[i % len(donors)] for i in range(n)]}, index=[f"{donors[0]}{i}" for i in range(n)]
    )
    var = pd.DataFrame(index=[f"ENSG{i:011d}" for i in rng.permutation(n_genes)])
    return Cells(csr_matrix(rng.poisson(rate).astype(np.float32)), obs, var.sort_index()), kind == 1


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    tested, truth = cells(40, ["t"], rng)
    train, label = cells(90, ["a", "b", "c"], rng)
    return Inputs(tested, Cells(train.X, train.obs.assign(is_doublet=label), train.var)), truth


@pytest.fixture
def method():
    registry = Registry()
    return lambda name, **params: registry.method(name).value(**params)


@pytest.mark.parametrize("name", NAMES)
def test_it_pretrains_in_the_trial_says_so_and_answers(name, problem, method):
    inputs, truth = problem
    ctx = Context(seed=2)
    answer = method(name, **FAST).run(inputs, ctx)
    assert answer["score"].shape == (40,)
    assert np.all((answer["score"] >= 0) & (answer["score"] <= 1))
    assert answer["score"][truth].mean() > answer["score"][~truth].mean()
    assert any("pre-trained here on 45 training cells" in note for note in ctx.notes)
    assert set(ctx.phases) == {"fit", "predict"}


@pytest.mark.parametrize(("level", "epochs"), [("cell_type", 1), ("subtype", 3), (None, 1)])
def test_the_recipe_is_that_of_the_level_of_labels(level, epochs, problem, method, monkeypatch):
    """Of what each level has in a preset, as ``paper`` has for all three."""
    tiny = json.loads(json.dumps(presets("scmamba")))
    tiny["tiny"] |= {"classification/subtype": {"epochs": 3}}
    monkeypatch.setattr("bench.methods.nn.models.presets.presets", {"scmamba": tiny}.__getitem__)
    inputs, _ = problem
    label = np.where(inputs.train.obs["is_doublet"], "b", "a")
    train = Cells(inputs.train.X, inputs.train.obs[["donor"]].assign(label=label), inputs.train.var)
    lines = []
    ctx = Context(seed=2, report_progress=lambda done, line: lines.append(line))
    info = {"classes": ["a", "b"]} | ({"level": level} if level else {})
    method("scmamba", pretrain_epochs=0).run(Inputs(inputs.cells, train, info), ctx)
    assert {line.split(",")[0] for line in lines if line.startswith("epoch")} == {
        f"epoch {i + 1}" for i in range(epochs)
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_names_cells_too(name, problem, method):
    inputs, truth = problem
    label = np.where(inputs.train.obs["is_doublet"], "Oligodendrocyte", "Astrocyte")
    train = Cells(inputs.train.X, inputs.train.obs[["donor"]].assign(label=label), inputs.train.var)
    info = {"classes": ["Astrocyte", "Oligodendrocyte"]}
    answer = method(name, **FAST).run(Inputs(inputs.cells, train, info), Context(seed=2))
    assert set(answer["label"]) <= set(info["classes"])
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1)
    np.testing.assert_array_equal(answer["probability"], answer["probabilities"].max(axis=1))
    oligodendrocyte = answer["probabilities"][:, 1]
    assert oligodendrocyte[truth].mean() > oligodendrocyte[~truth].mean()


def test_the_seed_decides(problem, method):
    inputs, _ = problem
    scores = [method("scmamba", **FAST).run(inputs, Context(seed=seed))["score"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


@pytest.fixture
def checkpoint(tmp_path):
    """A pre-trained scMamba of the genes that ``problem`` has, in their order."""
    from bench.methods.nn.genes import Genes
    from bench.methods.nn.models.architectures import architecture
    from bench.methods.nn.training.checkpoint import Pretrained
    from bench.methods.nn.training.pretraining import new_model

    kind = architecture("scmamba")
    config = kind.config_class.from_preset("tiny", 30)

    def make(folder="ckpt", genes=30):
        numbers = [*range(genes), *range(100, 130 - genes)]  # as many as the model has, so many of them known
        ids = tuple(f"ENSG{i:011d}" for i in numbers)
        facts = {"trained_on": [{"name": "a", "accession": "GSE1", "digest": "f", "donors": None}]}
        pretrained = Pretrained(kind, config, Genes(ids, ("",) * 30), new_model(kind, config, 0), facts)
        save_pretrained(tmp_path / folder, pretrained)
        return str(tmp_path / folder)

    return make


def test_a_checkpoint_is_fine_tuned_and_named(problem, method, checkpoint):
    inputs, _ = problem
    ctx = Context(seed=1)
    answer = method("scmamba", checkpoint=checkpoint(), **FAST).run(inputs, ctx)
    assert np.isfinite(answer["score"]).all()
    assert "from checkpoint ckpt" in ctx.notes


def test_a_checkpoint_of_other_genes_is_refused_one_of_most_genes_is_not(problem, method, checkpoint):
    inputs, _ = problem
    with pytest.raises(BenchError, match="genes are in the data"):
        method("scmamba", checkpoint=checkpoint("few", genes=10), **FAST).run(inputs, Context(seed=1))
    method("scmamba", checkpoint=checkpoint("most", genes=25), **FAST).run(inputs, Context(seed=1))


def test_a_checkpoint_of_another_model_is_refused(problem, method, checkpoint):
    with pytest.raises(BenchError, match="checkpoint of scmamba"):
        method("scbert", checkpoint=checkpoint()).run(problem[0], Context(seed=0))


def test_what_a_checkpoint_has_seen_is_known_without_loading_it(method, checkpoint):
    from pathlib import Path

    folder = Path(checkpoint())
    (folder / "model.safetensors").unlink()
    assert type(method("scmamba")).seen_before({"checkpoint": folder}) == {"a": None, "GSE1": None, "f": None}
    assert type(method("scmamba")).seen_before({}) == {}


def test_cells_without_counts_score_zero(problem, method):
    inputs, _ = problem
    X = csr_matrix(inputs.cells.X.toarray() * (np.arange(40) != 3)[:, None])
    answer = method("scmamba", **FAST).run(
        Inputs(Cells(X, inputs.cells.obs, inputs.cells.var), inputs.train), Context(seed=1)
    )
    assert answer["score"][3] == 0
    assert (answer["score"][:3] > 0).all()


def test_half_counts_are_counts(problem, method):
    """The mean of two cells is shown to the models as it is, as to the official networks."""
    inputs, _ = problem
    halved = Cells(inputs.train.X / 2, inputs.train.obs, inputs.train.var)
    both = (Inputs(inputs.cells, train) for train in (inputs.train, halved))
    whole, half = (method("scmamba", **FAST).run(shown, Context(seed=1)) for shown in both)
    np.testing.assert_allclose(half["score"], whole["score"], atol=1e-5)  # CP10K are the same
    assert type(method("scmamba")).fractional_counts


def test_values_that_are_no_counts_are_refused(problem, method):
    inputs, _ = problem
    logged = Cells(inputs.train.X.log1p(), inputs.train.obs, inputs.train.var)
    with pytest.raises(BenchError, match="log-transformed"):
        method("scmamba", **FAST).run(Inputs(inputs.cells, logged), Context(seed=0))


def test_an_unknown_option_is_refused(problem, method):
    with pytest.raises(BenchError, match="epcohs"):
        method("scmamba", options={"epcohs": 3}).run(problem[0], Context(seed=0))


def test_presets_reach_the_size():
    entry = Registry().method("schyena").value
    assert entry.resolve({}, "paper")["size"] == "paper"
    assert json.dumps(entry.resolve({}))


@pytest.fixture
def labelled(problem):
    inputs, _ = problem
    label = np.where(inputs.train.obs["is_doublet"], "b", "a")
    train = Cells(inputs.train.X, inputs.train.obs[["donor"]].assign(label=label), inputs.train.var)
    return Inputs(inputs.cells, train, {"classes": ["a", "b"]})


@pytest.fixture
def pretrainings(monkeypatch):
    """Of every pre-training the model, and its weights as they were when it ended."""
    from bench.methods.nn.training import pretraining

    ended, real = [], pretraining.pretrain

    def pretrain(fabric, kind, model, *args, **kwargs):
        real(fabric, kind, model, *args, **kwargs)
        ended.append((model, weights(model)))
        return model

    monkeypatch.setattr(pretraining, "pretrain", pretrain)
    return ended


def weights(model):
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_frozen_fine_tuned_and_from_scratch_are_three_rows_of_one_model(name, labelled, method, pretrainings):
    rows = {"": {"lr": 1e-2}, "_frozen": {}, "_scratch": {"lr": 1e-2}}
    answers, contexts = {}, {suffix: Context(seed=3) for suffix in rows}
    for suffix, params in rows.items():
        answers[suffix] = method(name + suffix, **params).run(labelled, contexts[suffix])["probabilities"]
    (_, first), (frozen, second) = pretrainings  # none from scratch
    assert first == second == weights(frozen)  # to the last bit: as the fine-tuned row's, and nothing has changed it
    for one, other in [("", "_frozen"), ("", "_scratch"), ("_frozen", "_scratch")]:
        assert not np.allclose(answers[one], answers[other])
    assert any("pre-trained here on 90 training cells" in note for note in contexts["_frozen"].notes)
    assert "no checkpoint, no pre-training: random initial weights" in contexts["_scratch"].notes
    cards = [Registry().methods[name + suffix].value for suffix in rows]
    assert {card.seeded_as or card.name for card in cards} == {name}  # trials draw the same seeds
    assert [card.tasks for card in cards[1:]] == [("annotation",)] * 2
    assert {card.kind for card in cards} == {"foundation"}


@pytest.mark.parametrize("name", NAMES)
def test_the_frozen_row_is_a_probe_of_the_mean_hidden_state(name, labelled, method, pretrainings):
    """Recomputed with scikit-learn from the model as it was after pre-training."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bench.methods.nn.expression import log1p_cp10k

    answer = method(f"{name}_frozen").run(labelled, Context(seed=3))
    ((model, _),) = pretrainings

    def embedding(cells):
        with torch.inference_mode():
            return model.encode(torch.from_numpy(log1p_cp10k(cells.X))).mean(dim=1).double().numpy()

    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    reference.fit(embedding(labelled.train), labelled.train.obs["label"])
    expected = reference.predict_proba(embedding(labelled.cells))
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-3)


def test_the_frozen_row_learns_from_training_cells_only(labelled, method):
    alone = Inputs(labelled.cells.take(np.arange(5)), labelled.train, labelled.info)
    few, all_ = (method("scmamba_frozen").run(inputs, Context(seed=3))["probabilities"] for inputs in (alone, labelled))
    np.testing.assert_allclose(few, all_[:5], atol=1e-6)


def test_a_frozen_checkpoint_has_its_own_genes_and_cells_without_counts_the_frequencies(labelled, method, checkpoint):
    X = csr_matrix(labelled.cells.X.toarray() * (np.arange(40) != 3)[:, None])
    inputs = Inputs(Cells(X, labelled.cells.obs, labelled.cells.var), labelled.train, labelled.info)
    ctx = Context(seed=1)
    answer = method("scmamba_frozen", checkpoint=checkpoint("most", genes=25)).run(inputs, ctx)
    np.testing.assert_allclose(answer["probabilities"][3], [0.5, 0.5])
    assert "from checkpoint most" in ctx.notes
