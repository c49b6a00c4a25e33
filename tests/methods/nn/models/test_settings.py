import pytest

from bench.errors import BenchError
from bench.methods.nn.models.scbert import ScBertConfig
from bench.methods.nn.models.schyena import ScHyenaConfig
from bench.methods.nn.models.scmamba import ScMambaConfig
from bench.methods.nn.training.training_config import TrainingConfig

CASES = [
    (ScMambaConfig, "d_model", "abc"),
    (ScMambaConfig, "d_model", 0),
    (ScMambaConfig, "n_layers", -1),
    (ScMambaConfig, "d_state", 2.0),
    (ScMambaConfig, "d_conv", True),
    (ScMambaConfig, "vocabulary", "paepr"),
    (ScMambaConfig, "zero_backward_dt_bias", 1),
    (ScHyenaConfig, "bands", "none"),
    (ScHyenaConfig, "embed_dropout", 1.5),
    (ScBertConfig, "head_hidden", 3),
    (ScBertConfig, "head_hidden", [3]),
    (ScBertConfig, "fine_tune", "some"),
    (TrainingConfig, "optimiser", "sgd"),
    (TrainingConfig, "schedule", "linear"),
    (TrainingConfig, "precision", "fp8"),
    (TrainingConfig, "betas", 0.9),
    (TrainingConfig, "betas", [0.9, "x"]),
    (TrainingConfig, "lr", float("nan")),
    (TrainingConfig, "lr", -1.0),
    (TrainingConfig, "mask_nonzero", 0),
    (TrainingConfig, "mask_zero", 1.5),
    (TrainingConfig, "max_steps", 0),
]


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_a_value_that_will_not_do_is_named(kind, name, value):
    with pytest.raises(BenchError, match=rf"^{name} must be "):
        kind(5, **{name: value})


def test_what_json_gives_will_do():
    assert ScBertConfig(5, head_hidden=[8, 4]).head_hidden == (8, 4)
    assert TrainingConfig(5, betas=[0, 0.99], lr=1, max_steps=None) == TrainingConfig(5, betas=(0.0, 0.99), lr=1.0)
