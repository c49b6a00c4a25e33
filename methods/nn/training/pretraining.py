"""Masked expression modelling: hide genes that have counts, predict them from the rest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bench.dataset import CountStore
from bench.errors import BenchError
from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.genes import Genes
from bench.methods.nn.models.architecture import Architecture, MaskedModel
from bench.methods.nn.training.batches import CellBatches
from bench.methods.nn.training.checkpoint import CARD, MODEL, Pretrained, load_pretrained, save_pretrained
from bench.methods.nn.training.fitting import Batch, Fitting, StepReport
from bench.methods.nn.training.folder_lock import alone_in
from bench.methods.nn.training.resume_state import ResumeStates
from bench.methods.nn.training.training_config import TrainingConfig
from bench.methods.nn.training.training_log import LOG, PICTURE, TrainingLog, is_log
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from lightning.fabric import Fabric

OnStart = Callable[[Fitting], None]
OnStep = Callable[[Fitting, StepReport], None]

#: What a card says of a training beyond the model and its genes (names on disk), in the order of :func:`_identity`.
_TRAINED_BY = ("recipe", "trained_on", "seed")


class MaskedExpression:
    """Mean loss over the masked genes of all cells of a batch; a batch is (expression, scored, hidden).

    The paper's equation 3 is a sum per cell; its code takes this mean, in which cells with more genes weigh more.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Summed loss of the masked genes."""
        expression, scored, hidden = batch
        return self.architecture.losses(model(expression, hidden), expression, scored).sum()

    def weight(self, batch: Batch) -> float:
        """Number of masked genes."""
        return float(batch[1].sum())

    def batch(self, expression: torch.Tensor, training: TrainingConfig, generator: torch.Generator) -> Batch:
        """Mask anew."""
        corruption = self.architecture.corrupt(expression, training.rates, generator)
        return expression, corruption.scored, corruption.hidden


def new_model(architecture: Architecture, config: Any, seed: int) -> MaskedModel:
    """A model whose initial weights follow from the seed."""
    torch.manual_seed(derive_seed("weights", seed))
    return architecture.masked_model(config)


def pretrain(
    fabric: Fabric,
    architecture: Architecture,
    model: MaskedModel,
    cells: CellBatches,
    training: TrainingConfig,
    seed: int,
    *,
    resume_states: ResumeStates | None = None,
    save_every_s: float = 300.0,
    on_start: OnStart = lambda fitting: None,
    on_step: OnStep = lambda fitting, report: None,
) -> MaskedModel:
    """Train ``model`` in place, from the newest resume state if there is one.

    Parameters
    ----------
    resume_states
        Where to keep the state of the training; None for short ones that need not be resumed.
    save_every_s
        Time between resume states.
    on_start, on_step
        Called once before the first step, and after each.

    Raises
    ------
    DivergedError
        If the loss is no longer finite; ``resume_states`` then still hold the last good state.
    """
    fitting = Fitting(fabric, model, training, steps_per_epoch=cells.steps_per_epoch, seed=seed)
    if resume_states is not None:
        resume_states.restore(fitting)
    on_start(fitting)
    objective, saved = MaskedExpression(architecture), time.monotonic()
    for counts in _batches(cells, fitting):
        expression = torch.from_numpy(log1p_cp10k(counts))
        on_step(fitting, fitting.take_step(objective.batch(expression, training, fitting.generator()), objective))
        if resume_states is not None and fabric.is_global_zero and time.monotonic() - saved >= save_every_s:
            resume_states.save(fitting)
            saved = time.monotonic()
    return model


def _batches(cells: CellBatches, fitting: Fitting) -> Iterator[Any]:
    """Batches from where the training stands to its end."""
    while fitting.step < fitting.n_steps:
        epoch, start = divmod(fitting.step, fitting.steps_per_epoch)
        for counts in cells.epoch(epoch, start):
            if fitting.step == fitting.n_steps:
                return
            yield counts


def pretrain_to(
    folder: Path,
    fabric: Fabric,
    architecture: Architecture,
    config: Any,
    genes: Genes,
    stores: Sequence[CountStore],
    training: TrainingConfig,
    seed: int,
    *,
    facts: Mapping[str, Any],
    prepare: Callable[[MaskedModel], None] = lambda model: None,
    save_every_s: float = 300.0,
    on_start: OnStart = lambda fitting: None,
    on_step: OnStep = lambda fitting, report: None,
) -> Pretrained:
    """Pre-train a model into a checkpoint folder, with a log, or go on where a killed training stopped.

    Parameters
    ----------
    facts
        What the card shall say besides, such as the preset's name.
    prepare
        Called with the fresh model, to load gene2vec for instance.

    Raises
    ------
    BenchError
        If the folder holds another checkpoint, an unfinished training with other arguments, or files of the same names
        that are not of a training; if another training is writing into it.
    DivergedError
        If the loss is no longer finite; the last good state stays in ``folder/training``.
    """
    cells = CellBatches(stores, genes, training.batch_size, seed)
    trained_on = [_dataset_facts(store) for store in stores]
    identity = _identity(architecture, config, genes, dataclasses.asdict(training), trained_on, seed)
    with alone_in(folder, fabric), TrainingLog(folder if fabric.is_global_zero else None) as log:
        if (finished := _finished(folder, identity)) is not None:
            return finished
        _refuse_foreign(folder)
        model = new_model(architecture, config, seed)
        prepare(model)
        resume_states = ResumeStates(folder / "training", identity)

        def started(fitting: Fitting) -> None:
            log.start(fitting.step)
            on_start(fitting)

        def stepped(fitting: Fitting, report: StepReport) -> None:
            log.write(report, fitting.steps_per_epoch)
            on_step(fitting, report)

        pretrain(
            fabric,
            architecture,
            model,
            cells,
            training,
            seed,
            resume_states=resume_states,
            save_every_s=save_every_s,
            on_start=started,
            on_step=stepped,
        )
        done = {
            **facts,
            **{key: identity[key] for key in _TRAINED_BY},
            "left_out": cells.left_out,
            **log.summary(),
        }
        pretrained = Pretrained(architecture, config, genes, model, done)
        if fabric.is_global_zero:
            log.draw()
            save_pretrained(folder, pretrained)
            resume_states.remove()
        fabric.barrier()
        return pretrained


def _dataset_facts(store: CountStore) -> dict[str, Any]:
    """Facts of a dataset on a card; ``donors`` is None where they are not told apart."""
    used = store.obs[~store.obs["exclude"].to_numpy(bool)] if "exclude" in store.obs else store.obs
    return {
        "name": store.name,
        "accession": store.accession,
        "digest": store.digest,
        "cells": len(used),
        "genes": store.var.shape[0],
        "donors": sorted(used["donor"].astype(str).unique()) if "donor" in used else None,
    }


def _identity(
    architecture: Architecture,
    config: Any,
    genes: Genes,
    training: Mapping[str, Any],
    trained_on: Sequence[Any],
    seed: int,
) -> dict[str, Any]:
    """Collect what makes two trainings the same, as JSON gives it back."""
    identity = {
        "model": architecture.name,
        "sizes": dataclasses.asdict(config),
        "genes": hashlib.sha256("\n".join(genes.ids).encode()).hexdigest(),
        "recipe": training,
        "trained_on": trained_on,
        "seed": seed,
    }
    return json.loads(json.dumps(identity))


def _finished(folder: Path, identity: Mapping[str, Any]) -> Pretrained | None:
    """Load the result of an earlier run of the same training; None if there is nothing yet."""
    if not (folder / CARD).exists():
        return None
    earlier = load_pretrained(folder)
    facts: list[Any] = [earlier.facts.get(key) for key in _TRAINED_BY]
    its_identity = _identity(earlier.architecture, earlier.config, earlier.genes, *facts)
    if changed := [key for key in identity if identity[key] != its_identity[key]]:
        raise BenchError(
            f"the folder holds a checkpoint that differs in: {', '.join(changed)}",
            where=str(folder),
            fix="give another --out; nothing is overwritten",
        )
    return earlier


def _refuse_foreign(folder: Path) -> None:
    """Do not write over what no training of ours has written."""
    present = [name for name in (LOG, PICTURE, MODEL) if (folder / name).exists()]
    if present and not is_log(folder / LOG):
        raise BenchError(
            f"the folder holds {', '.join(present)} of something else",
            where=str(folder),
            fix="give another --out; nothing is overwritten",
        )
