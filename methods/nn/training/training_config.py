"""Training configurations as data, and the learning rate that follows from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import nn

from bench.errors import BenchError, UnknownNameError
from bench.methods.nn.models.architecture import Architecture, MaskRates
from bench.methods.nn.models.presets import preset
from bench.methods.nn.models.settings import Positive, Share, Size, check_settings

_FIRST_LR = 1e-6


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training; the defaults are those scMamba's paper and code have in common for all tasks.

    Parameters
    ----------
    epochs
        Passes over the cells.
    batch_size
        Cells of an optimiser step, over all devices together.
    micro_batch
        Cells of a forward pass on one device; the gradient of a step does not depend on it.
    max_steps
        Stop (and end the learning rate's schedule) after so many steps, if the epochs last longer.
    lr
        Highest learning rate.
    optimiser, weight_decay, betas
        AdamW, or Adam (then without decay).
    decay_all
        Default true, as in the official code: decay reaches biases, norms, embeddings, A and D too. False: matrices of
        the linear maps only.
    schedule
        ``cosine``: linear warm-up from 1e-6 over ``warmup`` of the steps, then a cosine over all steps down to
        ``floor`` of ``lr``. ``restarts`` (scBERT): per epoch, cycles of 15, 25, 45, ... epochs, each 5 epochs of
        linear warm-up from 1e-6 and a cosine back, its peak smaller by a tenth each time.
    clip
        Largest norm of the gradient.
    precision
        ``bf16-mixed`` or ``32-true``; the former falls back to the latter on a CPU without bfloat16 instructions.
    mask_nonzero, mask_zero
        Share of genes with and without counts that is masked (pre-training and imputation).
    monitor
        What picks the best epoch on the validation donors: ``accuracy`` (as published), ``average_precision``
        (mean over classes; better suited to rare classes), or ``loss``.
    patience
        Stop after so many epochs without a better one.
    balanced
        Weight classes by the inverse of their frequency (not done in the paper).
    """

    epochs: Size
    batch_size: Size = 32
    micro_batch: Size = 16
    max_steps: Size | None = None
    lr: Positive = 1e-4
    optimiser: Literal["adamw", "adam"] = "adamw"
    weight_decay: Share = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    decay_all: bool = True
    schedule: Literal["cosine", "restarts"] = "cosine"
    warmup: Share = 0.01
    floor: Share = 0.1
    clip: Positive = 1.0
    precision: Literal["bf16-mixed", "32-true"] = "32-true"
    mask_nonzero: Annotated[Share, Field(gt=0)] = 0.15
    mask_zero: Share = 0.0
    monitor: Literal["accuracy", "average_precision", "loss"] = "accuracy"
    patience: Size | None = None
    balanced: bool = False

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def of(cls, model: str, name: str, section: str, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a preset's section, with the settings that are given (not None) in place of the preset's.

        Of ``classification/subtype`` the settings stand over those of ``classification``, where there are any.
        """
        chosen = {key: value for key, value in (overrides or {}).items() if value is not None}
        names = {field.name for field in dataclasses.fields(cls)}
        for key in chosen:
            if key not in names:
                raise UnknownNameError("setting of a training", key, names)
        settings, whole = preset(model, name), section.partition("/")[0]
        if whole not in settings:
            raise BenchError(f"{model} has no {whole}", where=f"preset {name}", fix="use another model")
        return cls(**settings[whole] | settings.get(section, {}) | chosen)

    @property
    def rates(self) -> MaskRates:
        """Shares of genes to mask."""
        return MaskRates(self.mask_nonzero, self.mask_zero)

    def n_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole training."""
        steps = self.epochs * steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def n_epochs(self, n_cells: int) -> int:
        """Epochs that are begun on so many cells, fewer than ``epochs`` if ``max_steps`` ends the training before."""
        steps_per_epoch = math.ceil(n_cells / self.batch_size)
        return math.ceil(self.n_steps(steps_per_epoch) / steps_per_epoch)

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from 0."""
        if self.schedule == "restarts":
            return _restarts(step // steps_per_epoch, self.lr)
        total = self.n_steps(steps_per_epoch)
        warm = self.warmup * total
        if step < warm:
            return _FIRST_LR + (self.lr - _FIRST_LR) * step / warm
        low = self.floor * self.lr
        return low + (self.lr - low) * (1 + math.cos(math.pi * step / total)) / 2

    def make_optimiser(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Optimiser of the named parameters."""
        if self.optimiser == "adam":
            return torch.optim.Adam([p for _, p in parameters], lr=self.lr, betas=self.betas)
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in parameters:
            matrix = name.endswith("weight") and parameter.ndim >= 2 and "embedding" not in name and "conv" not in name
            (decayed if self.decay_all or matrix else others).append(parameter)
        groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": self.weight_decay}]
        if others:
            groups.append({"params": others, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas)


def _restarts(epoch: int, peak: float, first: int = 15, warm: int = 5) -> float:
    """Learning rate of scBERT's schedule: warm-up and cosine in cycles, the part after the warm-up doubling."""
    length = first
    while epoch >= length:
        epoch, peak = epoch - length, 0.9 * peak
        length = 2 * (length - warm) + warm
    if epoch < warm:
        return _FIRST_LR + (peak - _FIRST_LR) * epoch / warm
    return _FIRST_LR + (peak - _FIRST_LR) * (1 + math.cos(math.pi * (epoch - warm) / (length - warm))) / 2


def split_settings(kind: Architecture, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings by name, parted into those of the model's configuration and those of a training's.

    Raises
    ------
    UnknownNameError
        If neither has such a setting.
    """
    of_model = {field.name for field in dataclasses.fields(kind.config_class)} - {"n_genes"}
    of_training = {field.name for field in dataclasses.fields(TrainingConfig)}
    for name in settings:
        if name not in of_model | of_training:
            raise UnknownNameError(f"setting of {kind.name}", name, of_model | of_training)
    return (
        {name: value for name, value in settings.items() if name in of_model},
        {name: value for name, value in settings.items() if name in of_training},
    )
