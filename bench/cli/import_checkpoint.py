"""``bench import-checkpoint``: the authors' scMamba as a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import MODELS, examples, need


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "import-checkpoint",
        rich_help_panel=MODELS,
        epilog=examples("bench import-checkpoint scmamba.ckpt --vocab vocab.txt --out scmamba-official"),
    )(import_checkpoint)


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="Lightning checkpoint or state dict of the official code.")],
    vocab: Annotated[Path, typer.Option(help="The official vocab.txt, which names the genes.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Turn the authors' pre-trained scMamba (arXiv 2502.19429) into a checkpoint that `bench` reads.

    The file is read without executing anything in it. Every tensor must find its place, or nothing is written. The
    card names the ten studies that the paper pre-trains on, so that results on them are flagged.
    """
    need("torch", "safetensors", extra="models", command="bench import-checkpoint")
    from bench.methods.nn.training.official_scmamba import REFERENCE, import_official
    from bench.results.store import usable_folder

    pretrained = import_official(file, vocab, usable_folder(out))
    n = sum(parameter.numel() for parameter in pretrained.model.parameters())
    typer.echo(f"wrote {out}: scMamba ({REFERENCE}), {n:,} parameters, {len(pretrained.genes):,} genes")
    typer.echo(
        f"use it:   bench run --task annotation --methods scmamba --set scmamba.checkpoint={out} --datasets YOUR.h5ad"
    )
