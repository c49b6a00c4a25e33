from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from bench.errors import NotApplicableError
from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.training import fitting
from bench.methods.nn.training.finetuning import fine_tune_classifier, fine_tune_imputer, predict
from bench.methods.nn.training.fitting import make_fabric
from bench.methods.nn.training.pretraining import new_model
from bench.methods.nn.training.validation import Split, judge, no_validation, split_by_donor


@pytest.fixture
def label(two_kinds):
    return two_kinds.obs["is_doublet"].to_numpy().astype(np.int64)


@pytest.fixture
def split(two_kinds, label):
    return split_by_donor(two_kinds.obs["donor"].to_numpy(), label, np.random.default_rng(0))


@pytest.fixture
def tune(fabric, kind, config, two_kinds, label, split, training):
    def _tune(*, label=label, split=split, pretrained=None, **settings):
        defaults = {"epochs": 8, "lr": 1e-2, "monitor": "average_precision"}
        return fine_tune_classifier(
            fabric,
            kind,
            config,
            two_kinds.X,
            label,
            split,
            replace(training, **defaults | settings),
            0,
            n_classes=2,
            pretrained=pretrained,
        )

    return _tune


def test_it_learns_two_kinds_of_cells_and_returns_the_best_epoch(tune, fabric, two_kinds, label, split):
    tuned = tune()
    assert max(tuned.history) > 0.95
    assert tuned.history[tuned.best_epoch - 1] == max(tuned.history)
    logits = predict(fabric, tuned.model, two_kinds.X[split.validation], 16)
    again = judge(logits, label[split.validation], "average_precision")
    assert again == pytest.approx(max(tuned.history))


def test_predictions_are_in_float32_whatever_the_training_is_in(monkeypatch, kind, config, two_kinds, label, training):
    monkeypatch.setattr(fitting, "_cpu_multiplies_bfloat16", lambda: True)
    training = replace(training, precision="bf16-mixed", epochs=1)
    fabric, split = make_fabric(training), no_validation(len(label))
    tuned = fine_tune_classifier(
        fabric, kind, config, two_kinds.X, label, split, training, 0, n_classes=2, pretrained=None
    )
    found = predict(fabric, tuned.model, two_kinds.X, 16)
    x = torch.from_numpy(log1p_cp10k(two_kinds.X))
    with torch.no_grad():
        exact = kind.classifier(config, 2).double()
        exact.load_state_dict(tuned.model.state_dict())
        np.testing.assert_allclose(found, exact(x.double()).numpy(), rtol=1e-5, atol=1e-5)
        with fabric.autocast():
            rough = tuned.model(x).float().numpy()
    assert np.abs(rough - found).max() > 1e-4  # the training's precision would have shown


def test_it_starts_from_what_was_pretrained(tune, kind, config):
    pretrained = new_model(kind, config, 7)
    tuned = tune(pretrained=pretrained, lr=1e-12, epochs=1)
    theirs = pretrained.state_dict()
    for name, tensor in tuned.model.state_dict().items():
        if "head" not in name and "token" not in name:
            torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-4)


def test_without_kept_cells_the_last_epoch_is_taken(tune, label):
    tuned = tune(split=no_validation(len(label)), epochs=2)
    assert (tuned.best_epoch, tuned.history) == (2, [0.0, 1.0])


def test_one_class_is_nothing_to_learn(tune, label):
    with pytest.raises(NotApplicableError, match="one class"):
        tune(label=np.zeros_like(label))


def test_patience_ends_it(tune):
    assert len(tune(lr=1e-12, epochs=6, patience=1).history) <= 3


def test_class_weights_change_the_rare_class(tune, label, split):
    rare = Split(
        np.concatenate([split.train[label[split.train] == 0], split.train[label[split.train] == 1][:4]]),
        split.validation,
        "",
    )
    one, other = (tune(split=rare, balanced=balanced, monitor="loss", epochs=2) for balanced in (False, True))
    weights = [model.model.state_dict() for model in (one, other)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_imputation_starts_mask_from_zeros_as_officially_or_keeps_it(fabric, kind, config, two_kinds, split, training):
    pretrained = new_model(kind, config, 1)
    with torch.no_grad():
        pretrained.mask_token.fill_(0.5)
    training = replace(training, mask_nonzero=0.4, mask_zero=0.04, epochs=1, lr=1e-12, weight_decay=0.0)
    for keep, expected in ((False, 0.0), (True, 0.5)):
        tuned = fine_tune_imputer(
            fabric, kind, pretrained, new_model(kind, config, 2), two_kinds.X, split, training, 0, keep_mask_token=keep
        )
        torch.testing.assert_close(tuned.model.mask_token.detach(), torch.full((8,), expected), rtol=0, atol=1e-4)
        torch.testing.assert_close(tuned.model.regressor.weight, pretrained.regressor.weight, rtol=0, atol=1e-4)


def test_imputation_gets_better_on_kept_cells(fabric, kind, config, two_kinds, split, training):
    training = replace(training, mask_nonzero=0.4, mask_zero=0.04, epochs=15, lr=1e-2)
    pretrained = new_model(kind, config, 1)
    tuned = fine_tune_imputer(fabric, kind, pretrained, new_model(kind, config, 2), two_kinds.X, split, training, 0)
    assert tuned.history[0] < max(tuned.history) < 0


DONORS = np.repeat(["a", "b", "c", "d", "e"], 10)


def test_whole_donors_are_kept_back():
    label = np.tile([0, 1], 25)
    for seed in range(5):
        split = split_by_donor(DONORS, label, np.random.default_rng(seed))
        kept = set(DONORS[split.validation])
        assert len(kept) == 1
        assert not kept & set(DONORS[split.train])
        assert sorted([*split.train, *split.validation]) == list(range(50))
        assert kept.pop() in split.note


@pytest.mark.parametrize(
    ("donor", "label"),
    [
        (np.full(50, "only"), np.tile([0, 1], 25)),
        (DONORS, (DONORS == "a").astype(int)),  # the one donor with this class cannot be spared
    ],
)
def test_without_a_donor_to_spare_cells_of_every_class_are_kept_back(donor, label):
    split = split_by_donor(donor, label, np.random.default_rng(0))
    assert set(label[split.train]) == set(label[split.validation]) == {0, 1}
    assert not set(split.train) & set(split.validation)
    assert "no donor" in split.note


def test_a_class_of_one_cell_stays_in_training():
    label = np.array([0] * 9 + [1])
    split = split_by_donor(np.full(10, "x"), label, np.random.default_rng(0))
    assert 9 in split.train


def test_judging_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    expected = average_precision_score(label, logits[:, 1] - logits[:, 0])
    assert judge(logits, label, "average_precision") == pytest.approx(expected)
    assert judge(logits, label, "accuracy") == np.mean(logits.argmax(1) == label)
    three = rng.normal(size=(50, 3))
    many = rng.integers(0, 2, 50) * 2  # class 1 does not occur and is left out of the mean
    p = np.exp(three) / np.exp(three).sum(1, keepdims=True)
    expected = np.mean([average_precision_score(many == c, p[:, c]) for c in (0, 2)])
    assert judge(three, many, "average_precision") == pytest.approx(expected)
