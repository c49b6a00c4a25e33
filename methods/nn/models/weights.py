"""From a pre-trained model to one for a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    import torch
    from torch import nn


def load_pretrained_weights(
    model: nn.Module, pretrained: Mapping[str, torch.Tensor], fresh: Iterable[str]
) -> list[str]:
    """Copy every tensor of a pre-trained backbone by name, except those whose name contains a word of ``fresh``.

    Returns
    -------
    Names of the tensors that keep their fresh values.

    Raises
    ------
    BenchError
        If any other tensor is missing in the pre-trained model, or has another shape: the official code would go on
        with it silently unloaded.
    """
    state, fresh_names = model.state_dict(), []
    for name in state:
        if any(word in name for word in fresh):
            fresh_names.append(name)
        elif name not in pretrained or pretrained[name].shape != state[name].shape:
            raise BenchError(
                f"the pre-trained model has no fitting tensor {name!r}",
                where="backbone",
                fix="use the sizes of the checkpoint",
            )
        else:
            state[name] = pretrained[name]
    model.load_state_dict(state)
    return fresh_names
