"""One optimiser step after another, the same on one process and on many."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import torch
import torch.distributed as dist
from torch import nn

from bench.errors import BenchError
from bench.methods.nn.kernels.cpu_tensors import keep_freed_memory
from bench.methods.nn.training.training_config import TrainingConfig
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from lightning.fabric import Fabric

#: One entry per cell in each tensor.
Batch = tuple[torch.Tensor, ...]


class Objective(Protocol):
    """Objective that a training minimises: the sum of ``loss`` over the cells, divided by the sum of ``weight``."""

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Loss summed over the cells of ``batch``; calls ``model`` once."""

    def weight(self, batch: Batch) -> float:
        """Count the terms of that sum, or add up their weights."""


@dataclass(frozen=True)
class StepReport:
    """Report of a step: its number (from 0), the loss before it, learning rate, norm of the gradient, cells."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    cells: int


class DivergedError(BenchError):
    """The loss or its gradient is no longer a number."""


def processes_here(devices: int) -> int:
    """Processes of the training on this machine: one a device, or those of ``torchrun``."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if dist.is_torchelastic_launched() else devices


def make_fabric(training: TrainingConfig, device: str = "cpu", devices: int = 1) -> Fabric:
    """Lightning Fabric for a training: device, precision, and DDP where there are several devices.

    Under ``torchrun`` its processes count, whatever ``devices`` says: else each would be a training of its own.
    """
    from lightning.fabric import Fabric  # takes longer than torch: not for a checkpoint that is only read

    precision, n_processes = training.precision, processes_here(devices)
    nodes = int(os.environ["WORLD_SIZE"]) // n_processes if dist.is_torchelastic_launched() else 1
    if device == "cpu":
        keep_freed_memory()
    if device == "cpu" and precision == "bf16-mixed" and not _cpu_multiplies_bfloat16():
        precision = "32-true"
    return Fabric(accelerator=device, devices=n_processes, num_nodes=nodes, precision=precision)


def _cpu_multiplies_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


class Fitting:
    """A model in training.

    Parameters
    ----------
    fabric
        Already launched.
    model
        Its parameters are changed in place.
    parameters
        Names of the parameters to train; None for all.
    steps_per_epoch
        For the learning rate's schedule.
    seed
        Every random number of a step follows from it and the step's number alone: nothing else has to be restored
        for a resumed training to go on identically.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        training: TrainingConfig,
        *,
        steps_per_epoch: int,
        seed: int,
        trained: list[nn.Parameter] | None = None,
    ) -> None:
        if trained is not None:
            chosen = {id(parameter) for parameter in trained}
            for parameter in model.parameters():
                parameter.requires_grad_(id(parameter) in chosen)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.fabric, self.training, self.seed = fabric, training, seed
        self.steps_per_epoch, self.step = steps_per_epoch, 0
        self.n_steps = training.n_steps(steps_per_epoch)
        self.bare = model
        self.model, self.optimiser = fabric.setup(model, training.make_optimiser(named))

    def generator(self) -> torch.Generator:
        """Random numbers of the coming step, the same on every process."""
        return torch.Generator().manual_seed(derive_seed("batch", self.seed, self.step))

    def take_step(self, batch: Batch, objective: Objective) -> StepReport:
        """One optimiser step on a batch that all processes hold whole; each works on its own share of the cells.

        The gradient is that of the whole batch's mean, however the cells are spread over processes and forward passes.

        Raises
        ------
        DivergedError
            If the loss or the gradient is not finite; the parameters are then as before the step.
        """
        torch.manual_seed(derive_seed("step", self.seed, self.step, self.fabric.global_rank))  # dropout and the like
        lr = self.training.lr_at(self.step, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.model.train()
        self.optimiser.zero_grad()
        scale = self.fabric.world_size / max(objective.weight(batch), 1e-12)  # DDP averages over processes
        total = torch.zeros((), device=self.fabric.device)
        parts = list(self._parts(batch))
        for i, (part, counts) in enumerate(parts):
            with self.fabric.no_backward_sync(self.model, enabled=i < len(parts) - 1):
                loss = objective.loss(self.model, part) * (scale * counts)
                self.fabric.backward(loss)
            total += loss.detach()
        value = float(cast("torch.Tensor", self.fabric.all_reduce(total, reduce_op="mean")))
        clipped = self.fabric.clip_gradients(
            self.model, self.optimiser, max_norm=self.training.clip, error_if_nonfinite=False
        )
        norm = float(cast("torch.Tensor", clipped))
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise DivergedError(
                f"the loss is {value}, the norm of its gradient {norm}",
                where=f"step {self.step + 1} of {self.n_steps}",
                fix="use a lower learning rate (--lr), or full precision (--precision 32-true)",
            )
        self.optimiser.step()
        report = StepReport(self.step, value, lr, norm, len(batch[0]))
        self.step += 1
        return report

    def _parts(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Cells of this process in forward passes; the factor is 0 where it has none and only must take part."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        n = len(batch[0])
        first, last = n * rank // world, n * (rank + 1) // world
        if first == last:
            yield self._to_device(batch, slice(0, 1)), 0.0
        for start in range(first, last, self.training.micro_batch):
            yield self._to_device(batch, slice(start, min(start + self.training.micro_batch, last))), 1.0

    def _to_device(self, batch: Batch, rows: slice) -> Batch:
        return tuple(tensor[rows].to(self.fabric.device) for tensor in batch)
