"""The authors' scMamba checkpoint as one of ours: other names for the same tensors.

Names and layout are those of the official code (arXiv 2502.19429).
"""

from __future__ import annotations

import pickle
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PosixPath
from typing import Any

import torch

from bench.errors import BenchError
from bench.methods.nn.genes import Genes
from bench.methods.nn.models.architectures import architecture
from bench.methods.nn.models.scmamba import ScMambaConfig
from bench.methods.nn.training.checkpoint import CARD, Pretrained, save_pretrained
from bench.words import few

REFERENCE = "Oh et al., arXiv 2502.19429"

#: The studies that the paper pre-trains on, and where they are published.
PRETRAINED_ON = {
    "Agarwal 2020": "GSE140231",
    "Gerrits 2021": "GSE148822",
    "Kamath 2022": "GSE178265",
    "Marcos (Otero-Garcia) 2022": "GSE129308",
    "Morabito 2021": "GSE174367",
    "Sadick 2022": "GSE167494",
    "Smith 2022": "GSE160936",
    "Wang 2022": "GSE184950",
    "Yang 2022": "GSE163577",
    "Zhang 2022": "GSE188545",
}

# The table of gene vectors has a row for each line of the vocabulary: BERT's reserved words first.
_CLS_LINE, _FIRST_GENE = 101, 1005

_DIRECTIONS = {"from_start": "", "from_end": "_b"}
_ONCE = {
    "backbone.expression_embedding.weight": "embedding.adapter.weight",
    "backbone.expression_embedding.bias": "embedding.adapter.bias",
    "backbone.gene_id_embedding.weight": "embedding.genes.weight",
    "backbone.mask_token": "mask_token",
    "backbone.norm_f.weight": "encoder.norm.weight",
    "regressor.weight": "regressor.weight",
    "regressor.bias": "regressor.bias",
}
# Tensors that the sizes are read off -> their dimensions.
_SIZED = {
    "backbone.expression_embedding.weight": 2,
    "backbone.layers.0.mixer.A_log": 2,
    "backbone.layers.0.mixer.conv1d.weight": 3,
}
# Settings that Lightning keeps beside the weights are objects of this package; they are read as empty shells.
_SETTINGS = {
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": tuple(f"{kind}Node" for kind in ("Any", "Boolean", "Float", "Integer", "Path", "String")),
}
_OTHERS = (
    (r"(^|\.)decoder_omics[12]\.", "the multi-omics scMamba (arXiv 2506.20697)"),
    (r"\.mixer\.dt_bias$", "a model of Mamba-2 blocks such as SC-MAMBA2 (bioRxiv 2024.09.30.615775)"),
    (r"layers\.\d+\.mamba\.|(^|\.)genemamba\.", "GeneMamba (arXiv 2504.16956)"),
)
_NOT_OURS = (
    f"give the pre-training checkpoint of scMamba by {REFERENCE}; the multi-omics scMamba (arXiv 2506.20697), "
    "SC-MAMBA2 and GeneMamba (arXiv 2504.16956) are other models"
)


def import_official(file: Path, vocabulary: Path, folder: Path) -> Pretrained:
    """Write the authors' pre-training checkpoint as a checkpoint folder of ours.

    Parameters
    ----------
    file
        Lightning checkpoint, or a state dict saved by torch. Nothing in it is executed.
    vocabulary
        The official ``vocab.txt``: a token a line, genes from line 1,006 on.
    folder
        Where ``model.safetensors`` and ``card.json`` go.

    Raises
    ------
    bench.errors.BenchError
        If the file cannot be read safely, is of another model, lacks a tensor or has one too many, if vocabulary and
        tensors do not fit, or if the folder holds a checkpoint.
    """
    if (folder / CARD).exists():
        raise BenchError("there is a checkpoint already", where=str(folder), fix="name a new folder")
    official = _weights(_read(file), where=str(file))
    genes = read_vocabulary(vocabulary)
    kind = architecture("scmamba")
    model = kind.masked_model(config := _config(official, len(genes)))
    model.load_state_dict(_renamed(official, model.state_dict(), where=str(file)))
    seen = [{"name": name, "accession": gse, "digest": "", "donors": None} for name, gse in PRETRAINED_ON.items()]
    facts = {"preset": "paper", "reference": REFERENCE, "imported_from": file.name, "trained_on": seen}
    pretrained = Pretrained(kind, config, genes, model, facts)
    save_pretrained(folder, pretrained)
    return pretrained


def read_vocabulary(file: Path) -> Genes:
    """The genes of the official ``vocab.txt``, in its order, which is that of the table of gene vectors.

    Raises
    ------
    bench.errors.BenchError
        If the file is not laid out as the official one is.
    """
    fix = (
        "give the vocab.txt that belongs to the checkpoint: reserved words, then lower-case Ensembl IDs from line 1,006"
    )
    try:
        tokens = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"the vocabulary cannot be read: {error}", where=str(file), fix=fix) from error
    tokens = [token.strip() for token in tokens]
    while tokens and not tokens[-1]:
        tokens.pop()
    if len(tokens) <= _FIRST_GENE or tokens[_CLS_LINE] != "[CLS]":
        raise BenchError("line 102 is not [CLS], or there are no genes after line 1,005", where=str(file), fix=fix)
    ids = [token.upper() for token in tokens[_FIRST_GENE:]]
    for line, name in enumerate(ids, _FIRST_GENE + 1):
        if not re.fullmatch(r"ENSG\d{11}", name):
            raise BenchError(f"line {line:,} is {name[:40]!r}, not an Ensembl ID", where=str(file), fix=fix)
    return Genes(tuple(ids), ("",) * len(ids))


def _read(file: Path) -> Any:
    """The content of a file, as far as torch reads it without executing anything."""
    shells = [(type(name, (), {}), f"{module}.{name}") for module, names in _SETTINGS.items() for name in names]
    plain = [
        *((kind, f"builtins.{kind.__name__}") for kind in (dict, list, int, str, float, bool)),
        (Any, "typing.Any"),
    ]
    harmless: list[Any] = [*shells, *plain, defaultdict, PosixPath]
    _refuse_others(file)
    try:
        with torch.serialization.safe_globals(harmless):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unknown = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise BenchError(
            f"it holds {unknown.group(1) if unknown else 'objects'} beside weights, and nothing is executed here",
            where=str(file),
            fix="ask its authors for the weights alone: torch.save(checkpoint['state_dict'], 'weights.pt')",
        ) from error
    except Exception as error:  # damaged bytes can end in any
        fault = (str(error) or type(error).__name__).splitlines()[0]
        raise BenchError(f"the checkpoint cannot be read: {fault}", where=str(file), fix="fetch it again") from error


def _refuse_others(file: Path) -> None:
    """Refuse what torch cannot have written: a zip archive, or before torch 1.6 a bare pickle."""
    if not file.is_file():
        fault = "this is a folder, not a file" if file.is_dir() else "there is no such file"
        raise BenchError(fault, where=str(file), fix="check the path")
    with file.open("rb") as stream:
        start = stream.read(2)
    if not start.startswith((b"PK", b"\x80")):
        raise BenchError("this is no file of torch" if start else "the file is empty", where=str(file), fix=_NOT_OURS)


def _weights(content: Any, where: str) -> dict[str, torch.Tensor]:
    """Tensors by official name, without what Lightning puts before it and the states of its metrics."""
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(n, str) and _plain(t) for n, t in state.items()):
        raise BenchError("this is neither a state dict nor a Lightning checkpoint", where=where, fix=_NOT_OURS)
    names = {name.removeprefix("model."): tensor for name, tensor in state.items() if "torchmetrics" not in name}
    for pattern, whose in _OTHERS:
        if any(re.search(pattern, name) for name in names):
            raise BenchError(f"this is a checkpoint of {whose}", where=where, fix=_NOT_OURS)
    if "cls_head.weight" in names:
        n = next(iter(names["cls_head.weight"].shape), "no")
        raise BenchError(f"this is a model that was fine-tuned for {n} classes", where=where, fix=_NOT_OURS)
    needed = ("backbone.expression_embedding.weight", "backbone.gene_id_embedding.weight", *_mixer(0))
    if absent := [name for name in needed if name not in names]:
        there = few(sorted(names), 4) or "none"
        raise BenchError(f"it has no tensors {few(sorted(absent), 4)}; it has {there}", where=where, fix=_NOT_OURS)
    shapes = {name: tuple(names[name].shape) for name in _SIZED}
    if odd := [f"{name} is {shape}" for name, shape in shapes.items() if len(shape) != _SIZED[name] or 0 in shape]:
        raise BenchError(f"the tensors do not fit: {', '.join(odd)}", where=where, fix=_NOT_OURS)
    return names


def _plain(tensor: object) -> bool:
    """Tell a tensor of real numbers that are all there from others."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        return False
    return not (tensor.is_meta or tensor.is_complex() or tensor.is_quantized)


def _config(official: Mapping[str, torch.Tensor], n_genes: int) -> ScMambaConfig:
    """Sizes, read off the tensors."""
    d_model = len(official["backbone.expression_embedding.weight"])
    layers = {match.group(1) for name in official if (match := re.match(r"backbone\.layers\.(\d+)\.", name))}
    d_inner, d_state = official["backbone.layers.0.mixer.A_log"].shape
    d_conv = official["backbone.layers.0.mixer.conv1d.weight"].shape[-1]
    return ScMambaConfig(n_genes, d_model, len(layers), d_state, d_conv, max(1, d_inner // d_model))


def _mixer(layer: int) -> dict[str, str]:
    """Our names of the tensors of a layer, by their official ones."""
    theirs, ours = f"backbone.layers.{layer}.", f"encoder.blocks.{layer}."
    names = {
        f"{theirs}{name}": f"{ours}{name}" for name in ("norm.weight", "mixer.in_proj.weight", "mixer.out_proj.weight")
    }
    for direction, b in _DIRECTIONS.items():
        own = {
            f"conv1d{b}.weight": "conv_weight",
            f"conv1d{b}.bias": "conv_bias",
            f"x_proj{b}.weight": "x_proj.weight",
            f"dt_proj{b}.weight": "dt_proj.weight",
            f"dt_proj{b}.bias": "dt_proj.bias",
            f"A{b}_log": "A_log",
            f"D{b}": "D",
        }
        names |= {f"{theirs}mixer.{name}": f"{ours}mixer.{direction}.{mine}" for name, mine in own.items()}
    return names


def _renamed(official: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor], where: str) -> dict[str, Any]:
    """Every tensor under our name and in our shape; an error names all that do not fit."""
    layers = sum(name.endswith(".norm.weight") for name in ours if ".blocks." in name)
    names = dict(_ONCE)
    for layer in range(layers):
        names |= _mixer(layer)
    faults = []
    if missing := sorted(names.keys() - official.keys()):
        faults.append(f"missing: {', '.join(missing)}")
    if left_over := sorted(official.keys() - names.keys()):
        faults.append(f"left over: {', '.join(left_over)}")
    renamed = {}
    for name in names.keys() & official.keys():
        # (1, 1, d) and (channels, 1, taps) with them; ours are without the ones
        tensor, wanted = official[name].float(), ours[names[name]].shape
        if [n for n in tensor.shape if n != 1] != [n for n in wanted if n != 1]:
            faults.append(f"{name} is {tuple(tensor.shape)} where {tuple(wanted)} is expected")
        elif not bool(tensor.isfinite().all()):
            faults.append(f"{name} is not finite")
        else:
            renamed[names[name]] = tensor.reshape(wanted)
    if faults:
        raise BenchError(
            "the tensors do not fit: " + "; ".join(faults),
            where=where,
            fix="give the vocab.txt that belongs to the checkpoint" if not (missing or left_over) else _NOT_OURS,
        )
    return renamed
