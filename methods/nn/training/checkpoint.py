"""Pre-trained models on disk: ``model.safetensors`` and ``card.json`` in a folder; nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from bench.errors import BenchError
from bench.methods.nn.genes import Genes
from bench.methods.nn.models.architecture import Architecture, MaskedModel
from bench.methods.nn.models.architectures import architecture
from bench.methods.nn.training.resume_state import file_digest, write_tensors
from bench.system import replacing

MODEL, CARD = "model.safetensors", "card.json"

#: What the expression given to a model is; there is one choice so far, and a checkpoint says which it was.
NORMALISATION = "ln(1 + counts per 10,000 of the model's genes)"

_FORMAT = 2


@dataclass
class Pretrained:
    """A pre-trained model and what is known of it.

    Parameters
    ----------
    architecture, config, genes
        Which model, its sizes, its genes in order.
    model
        The network.
    facts
        What its card says besides: preset, training configuration (``recipe``), data seen, final loss, versions.
    """

    architecture: Architecture
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
        "model": pretrained.architecture.name,
        "config": dataclasses.asdict(pretrained.config),
        "n_parameters": sum(p.numel() for p in pretrained.model.parameters()),
        "normalisation": NORMALISATION,
        "sha256": file_digest(folder / MODEL),
        **pretrained.facts,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "lightning", "scmamba-bench")},
        "genes": {"ids": list(pretrained.genes.ids), "symbols": list(pretrained.genes.symbols)},
    }
    with replacing(folder / CARD) as aside:
        aside.write_text(json.dumps(card | {"digest": _digest(card)}, indent=1))


def _digest(card: Mapping[str, Any]) -> str:
    """sha256 over all that a card says, that of the weights included."""
    content = {key: value for key, value in card.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Seen(BaseModel):
    name: str
    accession: str
    digest: str
    donors: list[str] | None


class _Genes(BaseModel):
    ids: list[str]
    symbols: list[str]


class _Card(BaseModel):
    model: str
    config: dict[str, Any]
    sha256: str
    digest: str
    genes: _Genes
    trained_on: list[_Seen] = []


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
        card = json.loads(file.read_text(), parse_constant=_no_number)
        if not isinstance(card, dict):
            raise ValueError("no JSON object")
        version, normalisation = card.get("format"), card.get("normalisation")
        if (version, normalisation) != (_FORMAT, NORMALISATION):
            raise BenchError(
                f"format {version}, normalisation {normalisation!r}: not what this version reads (format {_FORMAT})",
                where=str(file),
                fix="use the version of bench that wrote it, or run `bench pretrain` again",
            )
        _Card.model_validate(card)
        if card["digest"] != _digest(card):
            raise ValueError("it was changed after it had been written: its digest is another")
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, ValueError, RecursionError) as error:
        fault = str(error)
    else:
        return card
    raise BenchError(f"the card cannot be used: {fault}", where=str(file), fix="fetch the checkpoint again")


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


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
    kind = architecture(card["model"])
    try:
        if file_digest(folder / MODEL) != card["sha256"]:
            raise BenchError("the file is damaged or truncated", where=str(folder / MODEL), fix="fetch it again")
        config = kind.config_class(**card["config"])
        genes = Genes(tuple(card["genes"]["ids"]), tuple(card["genes"]["symbols"]))
        if len(genes) != config.n_genes:
            raise ValueError(f"{len(genes):,} genes are named, the model has {config.n_genes:,}")
        model = kind.masked_model(config)
        model.load_state_dict(load_file(folder / MODEL))
        if not all(bool(t.isfinite().all()) for t in model.state_dict().values()):
            raise ValueError("weights are not finite")
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError, ArithmeticError, AssertionError) as error:
        fault = (str(error) or type(error).__name__).splitlines()[0]
        raise BenchError(f"the checkpoint cannot be read: {fault}", where=str(folder), fix="fetch it again") from error
    return Pretrained(kind, config, genes, model, {k: v for k, v in card.items() if k not in _WRITTEN})


_WRITTEN = {"format", "model", "config", "n_parameters", "normalisation", "sha256", "digest", "versions", "genes"}


def data_seen(card: Mapping[str, Any]) -> dict[str, frozenset[str] | None]:
    """The data a checkpoint was trained on, by name, accession and digest; the donors, or None where it saw all."""
    return {
        str(entry[key]): None if entry["donors"] is None else frozenset(entry["donors"])
        for entry in card.get("trained_on", ())
        for key in ("name", "accession", "digest")
        if entry[key]
    }
