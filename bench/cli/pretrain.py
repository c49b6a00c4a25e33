"""``bench pretrain``: masked expression modelling on any number of nuclei, into a checkpoint."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import complete
from bench.cli.options import MODELS, examples, names, need, settings
from bench.errors import BenchError
from bench.plan.quantities import seconds

if TYPE_CHECKING:
    from bench.methods.nn.genes import Genes
    from bench.methods.nn.training.checkpoint import Pretrained
    from bench.methods.nn.training.fitting import Fitting, StepReport


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        rich_help_panel=MODELS,
        epilog=examples(
            "bench pretrain scmamba --out my-scmamba",
            "bench pretrain scmamba --dataset my.h5ad --preset small --exclude-donors d1,d2 --out my-scmamba",
        ),
    )(pretrain)


def pretrain(
    model: Annotated[str, typer.Argument(help="scmamba, schyena or scbert.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint.")],
    dataset: Annotated[
        str, typer.Option(help="Datasets or paths, comma-separated.", autocompletion=complete.datasets)
    ] = "cohort",
    preset: Annotated[str, typer.Option(help="Sizes and training configuration: paper, small or tiny.")] = "small",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the cells. Default: the preset's.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Cells per optimiser step, all devices.")] = None,
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Cells per forward pass: lower it if memory runs out.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate. Default: the preset's.")] = None,
    precision: Annotated[str | None, typer.Option(help="bf16-mixed or 32-true. Default: the preset's.")] = None,
    min_cells: Annotated[
        float, typer.Option(min=0, max=1, help="Keep genes seen in at least this share of cells (the paper: 0.005).")
    ] = 0.0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="SETTING=VALUE of the model or the training; may be given several times."),
    ] = None,
    gene2vec: Annotated[
        Path | None, typer.Option(help="scbert: gene vectors (.npy, .safetensors), names one a line in .txt beside it.")
    ] = None,
    exclude_donors: Annotated[
        str | None, typer.Option(help="Donors to leave out, comma-separated, such as those a benchmark tests.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides weights, masks and the order of cells.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Devices (processes, on a CPU). Not under torchrun: it decides.")
    ] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of a CPU process. Default: all cores.")] = None,
    save_every: Annotated[str, typer.Option(help="Time between resume states, such as 30s, 5m.")] = "5m",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Pre-train a model: hide genes that have counts, predict them from the others.

    Known doublets and cells of type Unidentified are left out. Counts are read from disk as they are needed. A killed
    training goes on where it stopped when the same command is given again, with the same loss to the last digit. Writes
    the checkpoint (`model.safetensors`, `card.json`), `log.csv` and `loss.png`.
    """
    need("torch", "lightning", "safetensors", extra="models", command="bench pretrain")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from bench.methods.nn.models.architectures import architecture
    from bench.methods.nn.training.batches import shared_genes
    from bench.methods.nn.training.fitting import make_fabric, processes_here
    from bench.methods.nn.training.pretraining import pretrain_to
    from bench.methods.nn.training.pretraining_cells import PretrainingCells
    from bench.methods.nn.training.training_config import TrainingConfig, split_settings
    from bench.plan.registry import Registry
    from bench.results.store import usable_folder

    kind = architecture(model)
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if chosen not in {"cpu", "cuda"} or (chosen == "cuda" and not torch.cuda.is_available()):
        raise BenchError(f"there is no device {device!r} here", where="--device", fix="give cpu, or auto")
    overrides = {"epochs": epochs, "max_steps": max_steps, "batch_size": batch_size, "micro_batch": micro_batch}
    of_model, of_training = split_settings(kind, settings(set_))
    training = TrainingConfig.of(
        model, preset, "pretraining", overrides | {"lr": lr, "precision": precision} | of_training
    )
    if gene2vec is not None:
        of_model["positions"] = "gene2vec"
        split_settings(kind, of_model)
    save_every_s = seconds(save_every, "--save-every")
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // processes_here(devices)))
    registry = Registry()
    stores = [PretrainingCells(registry.open(name), names(exclude_donors)) for name in names(dataset)]
    genes = shared_genes(stores, min_cells)
    config = replace(kind.config_class.from_preset(preset, len(genes)), **of_model)
    fabric = make_fabric(training, chosen, devices)
    fabric.launch()
    with _Bar(visible=fabric.is_global_zero and not quiet) as bar:
        pretrained = pretrain_to(
            usable_folder(out),
            fabric,
            kind,
            config,
            genes,
            stores,
            training,
            seed,
            facts={"preset": preset},
            prepare=lambda net: None if gene2vec is None else _use_gene2vec(net, gene2vec, genes),
            save_every_s=save_every_s,
            on_start=bar.start,
            on_step=bar.step,
        )
    if fabric.is_global_zero:
        _tell(out, pretrained)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else gloo may abort a process whose partner has gone


def _use_gene2vec(model: Any, vectors: Path, genes: Genes) -> None:
    from bench.methods.nn.models.gene2vec import read_gene2vec

    names = [symbol or name for name, symbol in zip(genes.ids, genes.symbols, strict=True)]
    model.embedding.use_gene2vec(read_gene2vec(vectors, vectors.with_suffix(".txt"), names))


def _tell(out: Path, pretrained: Pretrained) -> None:
    facts = pretrained.facts
    n = sum(parameter.numel() for parameter in pretrained.model.parameters())
    typer.echo(
        f"wrote {out}: {pretrained.architecture.name}, {n:,} parameters, {len(pretrained.genes):,} genes, "
        f"loss {facts['final_loss']:.4g}, {facts['cells_per_s']:g} cells/s"
    )
    typer.echo(
        f"use it:   bench run --task doublet --methods {pretrained.architecture.name} "
        f"--set {pretrained.architecture.name}.checkpoint={out} --datasets YOUR.h5ad"
    )


class _Bar:
    """Progress with loss, cells per second and time left."""

    def __init__(self, *, visible: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Left

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[rate]} cells/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            Left(),
            disable=not visible,
        )
        self._cells, self._since = 0, time.monotonic()

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def start(self, fitting: Fitting) -> None:
        """Show where the training stands."""
        if fitting.step:
            self._bar.print(f"resumed after step {fitting.step} of {fitting.n_steps}")
        self._task = self._bar.add_task("steps", total=fitting.n_steps, completed=fitting.step, loss="–", rate="–")
        self._since = time.monotonic()

    def step(self, fitting: Fitting, report: StepReport) -> None:
        """Show a step."""
        self._cells += report.cells
        rate = self._cells / max(time.monotonic() - self._since, 1e-9)
        self._bar.update(self._task, completed=fitting.step, loss=f"{report.loss:.4f}", rate=f"{rate:.3g}")
