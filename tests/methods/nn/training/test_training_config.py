import math

import pytest
import torch

from bench.errors import BenchError, UnknownNameError
from bench.methods.nn.models.presets import presets
from bench.methods.nn.training.training_config import TrainingConfig


def official_cosine(t, total, peak):
    """The schedule as the specification words it, written independently."""
    warm, low = 0.01 * total, 0.1 * peak
    if t < warm:
        return 1e-6 + t / warm * (peak - 1e-6)
    return low + 0.5 * (peak - low) * (1 + math.cos(math.pi * t / total))


@pytest.mark.parametrize("step", [0, 500, 990, 991, 50_000, 99_059])
def test_the_papers_schedule_of_pretraining(step):
    training = TrainingConfig(epochs=2, lr=1e-3)
    assert training.n_steps(49_530) == 99_060
    assert training.lr_at(step, 49_530) == pytest.approx(official_cosine(step, 99_060, 1e-3), rel=1e-12)


def test_a_limit_of_steps_ends_the_schedule_too():
    training = TrainingConfig(epochs=100, lr=1e-3, max_steps=50)
    assert training.n_steps(10) == 50
    assert training.lr_at(50, 10) == pytest.approx(1e-4)


def test_epochs_that_are_begun():
    assert TrainingConfig(epochs=3, batch_size=10).n_epochs(95) == 3
    assert TrainingConfig(epochs=3, batch_size=10, max_steps=11).n_epochs(95) == 2
    assert TrainingConfig(epochs=3, batch_size=10, max_steps=10).n_epochs(95) == 1


def test_restarts_run_in_cycles_of_15_25_45_epochs_with_lower_peaks():
    training = TrainingConfig(epochs=100, lr=1e-4, schedule="restarts")
    rate = [training.lr_at(7 * epoch, 7) for epoch in range(90)]
    starts = [epoch for epoch in range(90) if rate[epoch] == pytest.approx(1e-6)]
    assert starts == [0, 15, 40, 85]
    assert [rate[start + 5] for start in starts[:3]] == pytest.approx([1e-4, 0.9e-4, 0.81e-4])


def parameters():
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    return list(net.named_parameters())


def test_decay_reaches_everything_as_officially_or_matrices_only():
    [everything] = TrainingConfig(epochs=1).make_optimiser(parameters()).param_groups
    assert len(everything["params"]) == 4
    assert everything["weight_decay"] == 0.1
    matrices, others = TrainingConfig(epochs=1, decay_all=False).make_optimiser(parameters()).param_groups
    assert (len(matrices["params"]), len(others["params"]), others["weight_decay"]) == (1, 3, 0.0)


@pytest.mark.parametrize("model", ["scmamba", "schyena", "scbert"])
def test_every_recipe_of_every_preset_can_be_read(model):
    assert set(presets(model)) == {"paper", "small", "tiny"}
    for name, settings in presets(model).items():
        for section in settings.keys() - {"sizes"}:
            assert TrainingConfig.of(model, name, section).epochs > 0


def test_the_papers_recipes():
    pretraining, classes, imputing = (
        TrainingConfig.of("scmamba", "paper", section) for section in ("pretraining", "classification", "imputation")
    )
    assert (pretraining.epochs, pretraining.batch_size, pretraining.lr) == (2, 32, 1e-3)
    assert (classes.epochs, classes.batch_size, classes.lr, classes.monitor) == (5, 32, 1e-4, "accuracy")
    assert (imputing.mask_nonzero, imputing.mask_zero, imputing.batch_size) == (0.4, 0.04, 16)
    for training in (pretraining, classes, imputing):
        assert (training.optimiser, training.betas, training.weight_decay, training.clip) == (
            "adamw",
            (0.9, 0.95),
            0.1,
            1.0,
        )


@pytest.mark.parametrize("model", ["scmamba", "schyena"])
@pytest.mark.parametrize(
    ("what", "epochs", "batch"), [("cell_type", 5, 16), ("subtype", 10, 32), ("subcluster", 10, 32), ("doublet", 5, 32)]
)
def test_the_papers_fine_tuning_by_what_is_told(model, what, epochs, batch):
    training = TrainingConfig.of(model, "paper", f"classification/{what}")
    assert (training.epochs, training.batch_size, training.lr) == (epochs, batch, 1e-4)
    assert TrainingConfig.of(model, "paper", f"classification/{what}", {"epochs": 3}).epochs == 3


def test_settings_that_are_given_replace_the_presets():
    assert TrainingConfig.of("scmamba", "tiny", "pretraining", {"epochs": 9, "lr": None}).epochs == 9
    with pytest.raises(UnknownNameError, match="epocs"):
        TrainingConfig.of("scmamba", "tiny", "pretraining", {"epocs": 9})
    with pytest.raises(BenchError, match="greater than 0"):
        TrainingConfig(epochs=0)
    with pytest.raises(BenchError, match="scbert has no imputation"):
        TrainingConfig.of("scbert", "tiny", "imputation")
