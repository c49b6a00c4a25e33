"""From a pre-trained model to one that classifies cells or fills in expression, at its best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.errors import BenchError, NotApplicableError
from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.models.architecture import Architecture, MaskedModel
from bench.methods.nn.models.weights import load_pretrained_weights
from bench.methods.nn.training.fitting import Batch, Fitting
from bench.methods.nn.training.pretraining import MaskedExpression
from bench.methods.nn.training.training_config import TrainingConfig
from bench.methods.nn.training.validation import Split, judge
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

#: Called with the share of the training that is done and a line about it.
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class FineTuned:
    """A model at its best epoch.

    Parameters
    ----------
    model
        In evaluation mode and float32 whatever the training's precision, as the official code predicts.
    best_epoch
        Counted from 1.
    history
        What the monitor said after every epoch; the number of epochs before it where no cells were kept back.
    """

    model: nn.Module
    best_epoch: int
    history: list[float]


class CellClasses:
    """Cross-entropy; a batch is (expression, class). Classes count alike unless ``weights`` are given."""

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        self.weights = weights

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Summed loss of the cells."""
        expression, label = batch
        weights = None if self.weights is None else self.weights.to(expression.device)
        return F.cross_entropy(model(expression).float(), label, weights, reduction="sum")

    def weight(self, batch: Batch) -> float:
        """Number of cells, or the sum of their weights."""
        return float(len(batch[1]) if self.weights is None else self.weights[batch[1]].sum())


def fine_tune_classifier(
    fabric: Fabric,
    architecture: Architecture,
    config: Any,
    counts: csr_matrix,
    label: NDArray[np.intp],
    split: Split,
    training: TrainingConfig,
    seed: int,
    *,
    n_classes: int,
    pretrained: MaskedModel | None,
    report: Report = lambda done, line: None,
) -> FineTuned:
    """Train a classifier of cells.

    Parameters
    ----------
    counts
        (cells, genes) in the model's genes, no cell empty.
    label
        Class of every cell, in [0, n_classes).
    split
        Which cells to train on and which to judge epochs by; without the latter the last epoch is the best one.
    pretrained
        Start from this model, all of it but what the architecture wants fresh; None: from scratch.

    Raises
    ------
    NotApplicableError
        If the cells to train on are of one class.
    """
    if len(np.unique(label[split.train])) < 2:
        raise NotApplicableError("all training cells are of one class: there is nothing to learn")
    torch.manual_seed(derive_seed("classifier", seed))
    model = architecture.classifier(config, n_classes)
    if pretrained is not None:
        load_pretrained_weights(model, pretrained.state_dict(), architecture.fresh)
    weights = _balanced(label[split.train], n_classes) if training.balanced else None
    objective = CellClasses(weights)
    # From scratch there is no backbone worth keeping: everything is trained, whatever the architecture does otherwise.
    trained = architecture.trained(model) if pretrained is not None else None
    fitting = _fitting(fabric, model, training, len(split.train), seed, trained)
    truth = torch.from_numpy(label)

    def batch(rows: NDArray[np.intp]) -> Batch:
        return torch.from_numpy(log1p_cp10k(counts[rows])), truth[rows]

    def monitor() -> float:
        logits = predict(fabric, fitting.model, counts[split.validation], training.micro_batch)
        if training.monitor == "loss":
            return -float(F.cross_entropy(torch.from_numpy(logits), truth[split.validation], weights))
        return judge(logits, label[split.validation], training.monitor)

    return _best_epoch(fitting, split, objective, batch, monitor, report)


def fine_tune_imputer(
    fabric: Fabric,
    architecture: Architecture,
    pretrained: MaskedModel,
    model: MaskedModel,
    counts: csr_matrix,
    split: Split,
    training: TrainingConfig,
    seed: int,
    *,
    keep_mask_token: bool = False,
    report: Report = lambda done, line: None,
) -> FineTuned:
    """Train a model to fill in expression, with more genes masked than in pre-training and genes without counts too.

    Parameters
    ----------
    model
        A fresh one of the same sizes.
    keep_mask_token
        Default false, as in the official code, where [MASK] starts again from zeros because its name contains a word
        by which heads are recognised; probably not meant.
    """
    fresh = tuple(word for word in architecture.fresh if not (keep_mask_token and word == "token"))
    load_pretrained_weights(model, pretrained.state_dict(), fresh)
    objective = MaskedExpression(architecture)
    fitting = _fitting(fabric, model, training, len(split.train), seed, None)

    def batch(rows: NDArray[np.intp]) -> Batch:
        return objective.batch(torch.from_numpy(log1p_cp10k(counts[rows])), training, fitting.generator())

    def monitor() -> float:
        # The same masks after every epoch: the official code draws new ones, which makes epochs hard to compare.
        generator = torch.Generator().manual_seed(derive_seed("validation masks", seed))
        total = weight = 0.0
        fitting.model.eval()
        with torch.no_grad():
            for rows in _slices(split.validation, training.micro_batch):
                expression = torch.from_numpy(log1p_cp10k(counts[rows]))
                masked = objective.batch(expression, training, generator)
                total += float(objective.loss(fitting.model, tuple(t.to(fabric.device) for t in masked)))
                weight += objective.weight(masked)
        return -total / max(weight, 1.0)

    return _best_epoch(fitting, split, objective, batch, monitor, report)


def predict(
    fabric: Fabric,
    model: nn.Module,
    counts: csr_matrix,
    micro_batch: int,
    on_part: Callable[[float], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Predict every cell by ``model``, (cells, ...), float32; ``on_part`` is told the share of cells done."""
    model.eval()
    parts = []
    with torch.no_grad():
        for rows in _slices(np.arange(counts.shape[0]), micro_batch):
            expression = torch.from_numpy(log1p_cp10k(counts[rows])).to(fabric.device)
            parts.append(model(expression).float().cpu().numpy())
            on_part((rows[-1] + 1) / counts.shape[0])
    return np.concatenate(parts)


def _fitting(
    fabric: Fabric,
    model: nn.Module,
    training: TrainingConfig,
    n_cells: int,
    seed: int,
    trained: list[nn.Parameter] | None,
) -> Fitting:
    steps_per_epoch = math.ceil(n_cells / training.batch_size)
    return Fitting(fabric, model, training, steps_per_epoch=steps_per_epoch, seed=seed, trained=trained)


def _best_epoch(
    fitting: Fitting,
    split: Split,
    objective: MaskedExpression | CellClasses,
    batch: Callable[[NDArray[np.intp]], Batch],
    monitor: Callable[[], float],
    report: Report,
) -> FineTuned:
    """Train to the end, then go back to the epoch that the monitor liked best."""
    history: list[float] = []
    best, best_state = 0, None
    while fitting.step < fitting.n_steps:
        for part in _epoch(split.train, fitting):
            step = fitting.take_step(batch(part), objective)
            line = f"epoch {len(history) + 1}, loss {step.loss:.3g}"
            report(fitting.step / fitting.n_steps, line)
        history.append(monitor() if len(split.validation) else float(len(history)))
        if best_state is None or history[-1] > history[best]:
            best = len(history) - 1
            best_state = {name: tensor.detach().clone() for name, tensor in fitting.bare.state_dict().items()}
        patience = fitting.training.patience
        if patience is not None and len(history) - 1 - best > patience:
            break
    if best_state is None:
        raise BenchError("there is no training step", where="training configuration", fix="give more epochs or steps")
    fitting.bare.load_state_dict(best_state)
    fitting.bare.eval()
    return FineTuned(fitting.bare, best + 1, history)


def _epoch(rows: NDArray[np.intp], fitting: Fitting) -> Iterator[NDArray[np.intp]]:
    """Rows of each batch of the coming epoch, in an order of its own."""
    epoch = fitting.step // fitting.steps_per_epoch
    order = np.random.default_rng(derive_seed("order", fitting.seed, epoch)).permutation(rows)
    remaining = fitting.n_steps - fitting.step
    yield from list(_slices(order, fitting.training.batch_size))[:remaining]


def _slices(rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _balanced(label: NDArray[np.intp], n_classes: int) -> torch.Tensor:
    """Weight of every class, inversely proportional to its cells; 1 on average over the cells."""
    cells = np.bincount(label, minlength=n_classes)
    return torch.tensor(len(label) / (n_classes * np.maximum(cells, 1)), dtype=torch.float32)
