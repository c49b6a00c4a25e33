"""Pre-trained models on disk: ``model.safetensors`` and ``card.json`` in a folder; nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from bench.errors import BenchError
from bench.files import replacing
from bench.methods.nn.families import family
from bench.methods.nn.family import Family, MaskedModel
from bench.methods.nn.genes import Genes
from bench.methods.nn.snapshots import file_digest, write_tensors

MODEL, CARD = "model.safetensors", "card.json"

#: What the expression given to a model is; there is one choice so far, and a checkpoint says which it was.
NORMALISATION = "ln(1 + counts per 10,000 of the model's genes)"

_FORMAT = 1


@dataclass
class Pretrained:
    """A pre-trained model and what is known of it.

    Parameters
    ----------
    family, config, genes
        Which model, its sizes, its genes in order.
    model
        The network.
    facts
        What its card says besides: preset, recipe, data seen, final loss, versions.
    """

    family: Family
    config: Any
    genes: Genes
    model: MaskedModel
    facts: dict[str, Any] = field(default_factory=dict)


def save_pretrained(folder: Path, pretrained: Pretrained) -> None:
    """Write a checkpoint; the card comes last, so that a folder with a card is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    with replacing(folder / MODEL) as aside:
        write_tensors(aside, pretrained.model.state_dict())
    card = {
        "format": _FORMAT,
        "model": pretrained.family.name,
        "config": dataclasses.asdict(pretrained.config),
        "n_parameters": sum(p.numel() for p in pretrained.model.parameters()),
        "normalisation": NORMALISATION,
        "sha256": file_digest(folder / MODEL),
        **pretrained.facts,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "lightning", "scmamba-bench")},
        "genes": {"ids": list(pretrained.genes.ids), "symbols": list(pretrained.genes.symbols)},
    }
    with replacing(folder / CARD) as aside:
        aside.write_text(json.dumps(card, indent=1))


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint.

    Raises
    ------
    BenchError
        If there is no checkpoint, or it is of a kind this version does not know.
    """
    file = folder / CARD
    if not file.is_file():
        unfinished = (folder / "training").is_dir()
        raise BenchError(
            "the training is not finished" if unfinished else "there is no checkpoint here",
            where=str(folder),
            fix="run the same `bench pretrain` command again" if unfinished else f"give a folder with {CARD}",
        )
    try:
        card = json.loads(file.read_text())
        known = card["format"] == _FORMAT and card["normalisation"] == NORMALISATION
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"the card cannot be read: {error!r}", where=str(file), fix="fetch it again") from error
    if not known:
        raise BenchError(
            f"format {card['format']}, normalisation {card['normalisation']!r}: not what this version reads",
            where=str(file),
            fix="use the version of bench that wrote it",
        )
    return card


def load_pretrained(folder: Path, expected: str | None = None) -> Pretrained:
    """Read a checkpoint and verify it.

    Parameters
    ----------
    expected
        Name of the model it must be of.

    Raises
    ------
    BenchError
        If it is of another model, truncated, damaged or incomplete.
    """
    card = read_card(folder)
    if expected is not None and card["model"] != expected:
        raise BenchError(
            f"this is a checkpoint of {card['model']}, not of {expected}",
            where=str(folder),
            fix=f"give a checkpoint of {expected}",
        )
    kind = family(card["model"])
    try:
        if file_digest(folder / MODEL) != card["sha256"]:
            raise BenchError("the file is damaged or truncated", where=str(folder / MODEL), fix="fetch it again")
        config = kind.config_class(**card["config"])
        genes = Genes(tuple(card["genes"]["ids"]), tuple(card["genes"]["symbols"]))
        model = kind.masked_model(config)
        model.load_state_dict(load_file(folder / MODEL))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        raise BenchError(
            f"the checkpoint cannot be read: {str(error).splitlines()[0]}", where=str(folder), fix="fetch it again"
        ) from error
    return Pretrained(kind, config, genes, model, {k: v for k, v in card.items() if k not in _WRITTEN})


_WRITTEN = {"format", "model", "config", "n_parameters", "normalisation", "sha256", "versions", "genes"}


def seen(card: Mapping[str, Any]) -> dict[str, frozenset[str] | None]:
    """The data a checkpoint was trained on, by name, accession and digest; the donors, or None where it saw all."""
    return {
        str(entry[key]): None if entry["donors"] is None else frozenset(entry["donors"])
        for entry in card.get("trained_on", ())
        for key in ("name", "accession", "digest")
        if entry[key]
    }
