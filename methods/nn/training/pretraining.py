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
from bench.methods.nn.models.family import Family, MaskedModel
from bench.methods.nn.training.batches import CellBatches
from bench.methods.nn.training.checkpoint import CARD, MODEL, Pretrained, load_pretrained, save_pretrained
from bench.methods.nn.training.fitting import Batch, Fitting, StepReport
from bench.methods.nn.training.folder_lock import alone_in
from bench.methods.nn.training.recipe import Recipe
from bench.methods.nn.training.snapshots import Snapshots
from bench.methods.nn.training.training_log import LOG, PICTURE, TrainingLog, is_log
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from lightning.fabric import Fabric

OnStart = Callable[[Fitting], None]
OnStep = Callable[[Fitting, StepReport], None]


class MaskedExpression:
    """Mean loss over the masked genes of all cells of a batch; a batch is (expression, scored, hidden).

    The paper's equation 3 is a sum per cell; its code takes this mean, in which cells with more genes weigh more.
    """

    def __init__(self, family: Family) -> None:
        self.family = family

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Summed loss of the masked genes."""
        expression, scored, hidden = batch
        return self.family.losses(model(expression, hidden), expression, scored).sum()

    def weight(self, batch: Batch) -> float:
        """Number of masked genes."""
        return float(batch[1].sum())

    def batch(self, expression: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> Batch:
        """Mask anew."""
        corruption = self.family.corrupt(expression, recipe.rates, generator)
        return expression, corruption.scored, corruption.hidden


def new_model(family: Family, config: Any, seed: int) -> MaskedModel:
    """A model whose initial weights follow from the seed."""
    torch.manual_seed(derive_seed("weights", seed))
    return family.masked_model(config)


def pretrain(
    fabric: Fabric,
    family: Family,
    model: MaskedModel,
    cells: CellBatches,
    recipe: Recipe,
    seed: int,
    *,
    snapshots: Snapshots | None = None,
    save_every_s: float = 300.0,
    on_start: OnStart = lambda fitting: None,
    on_step: OnStep = lambda fitting, report: None,
) -> MaskedModel:
    """Train ``model`` in place, from the newest snapshot if there is one.

    Parameters
    ----------
    snapshots
        Where to keep the state of the training; None for short ones that need not be resumed.
    save_every_s
        Time between snapshots.
    on_start, on_step
        Called once before the first step, and after each.

    Raises
    ------
    DivergedError
        If the loss is no longer finite; ``snapshots`` then still hold the last good state.
    """
    fitting = Fitting(fabric, model, recipe, steps_per_epoch=cells.steps_per_epoch, seed=seed)
    if snapshots is not None:
        snapshots.restore(fitting)
    on_start(fitting)
    objective, saved = MaskedExpression(family), time.monotonic()
    for counts in _batches(cells, fitting):
        expression = torch.from_numpy(log1p_cp10k(counts))
        on_step(fitting, fitting.take_step(objective.batch(expression, recipe, fitting.generator()), objective))
        if snapshots is not None and fabric.is_global_zero and time.monotonic() - saved >= save_every_s:
            snapshots.save(fitting)
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
    family: Family,
    config: Any,
    genes: Genes,
    stores: Sequence[CountStore],
    recipe: Recipe,
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
    cells = CellBatches(stores, genes, recipe.batch_size, seed)
    trained_on = [_seen(store) for store in stores]
    identity = _identity(family, config, genes, dataclasses.asdict(recipe), trained_on, seed)
    with alone_in(folder, fabric), TrainingLog(folder if fabric.is_global_zero else None) as log:
        if (finished := _finished(folder, identity)) is not None:
            return finished
        _refuse_foreign(folder)
        model = new_model(family, config, seed)
        prepare(model)
        snapshots = Snapshots(folder / "training", identity)

        def started(fitting: Fitting) -> None:
            log.start(fitting.step)
            on_start(fitting)

        def stepped(fitting: Fitting, report: StepReport) -> None:
            log.write(report, fitting.steps_per_epoch)
            on_step(fitting, report)

        pretrain(
            fabric,
            family,
            model,
            cells,
            recipe,
            seed,
            snapshots=snapshots,
            save_every_s=save_every_s,
            on_start=started,
            on_step=stepped,
        )
        done = {
            **facts,
            **{key: identity[key] for key in ("recipe", "trained_on", "seed")},
            "left_out": cells.left_out,
            **log.summary(),
        }
        pretrained = Pretrained(family, config, genes, model, done)
        if fabric.is_global_zero:
            log.draw()
            save_pretrained(folder, pretrained)
            snapshots.remove()
        fabric.barrier()
        return pretrained


def _seen(store: CountStore) -> dict[str, Any]:
    """What a card says of a dataset; ``donors`` is None where they are not told apart."""
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
    family: Family, config: Any, genes: Genes, recipe: Mapping[str, Any], trained_on: Sequence[Any], seed: int
) -> dict[str, Any]:
    """What makes two trainings the same, as JSON gives it back."""
    identity = {
        "model": family.name,
        "sizes": dataclasses.asdict(config),
        "genes": hashlib.sha256("\n".join(genes.ids).encode()).hexdigest(),
        "recipe": recipe,
        "trained_on": trained_on,
        "seed": seed,
    }
    return json.loads(json.dumps(identity))


def _finished(folder: Path, identity: Mapping[str, Any]) -> Pretrained | None:
    """What an earlier run of the same training has left; None if there is nothing yet."""
    if not (folder / CARD).exists():
        return None
    found = load_pretrained(folder)
    facts: dict[str, Any] = {key: found.facts.get(key) for key in ("recipe", "trained_on", "seed")}
    theirs = _identity(found.family, found.config, found.genes, **facts)
    if changed := [key for key in identity if identity[key] != theirs[key]]:
        raise BenchError(
            f"the folder holds a checkpoint that differs in: {', '.join(changed)}",
            where=str(folder),
            fix="give another --out; nothing is overwritten",
        )
    return found


def _refuse_foreign(folder: Path) -> None:
    """Do not write over what no training of ours has written."""
    there = [name for name in (LOG, PICTURE, MODEL) if (folder / name).exists()]
    if there and not is_log(folder / LOG):
        raise BenchError(
            f"the folder holds {', '.join(there)} of something else",
            where=str(folder),
            fix="give another --out; nothing is overwritten",
        )
