"""gene2vec: vectors of genes learned from co-expression elsewhere, read from a file the user gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bench.errors import BenchError


@dataclass(frozen=True)
class Gene2Vec:
    """Vectors in the order of a model's genes.

    Parameters
    ----------
    vectors
        (genes, dim), float32; zeros for a gene that the file does not have.
    matched
        How many genes the file has.
    """

    vectors: torch.Tensor
    matched: int


def read_gene2vec(
    vectors: Path, names: Path | Sequence[str], genes: Sequence[str], *, min_share: float = 0.5
) -> Gene2Vec:
    """Read vectors and put them in the order of ``genes``.

    Parameters
    ----------
    vectors
        A ``.npy`` file or a ``.safetensors`` file with one tensor; (rows, dim) floats. Nothing in it is executed.
    names
        The gene of each row: a list, or a text file with one name a line.
    genes
        The model's genes, named as in ``names`` (gene2vec has symbols); capitals do not matter.
    min_share
        Share of ``genes`` that the file must have.

    Raises
    ------
    BenchError
        The file cannot be read, holds something else, its names do not fit it, or it has too few of the genes.
    """
    table, where = _table(vectors), str(vectors)
    rows = _names(names) if isinstance(names, Path) else list(names)
    if len(rows) != len(table):
        raise BenchError(
            f"{len(table)} vectors but {len(rows)} gene names",
            where=where,
            fix="give one name for each row of the vectors, in the same order",
        )
    row_of = {name.strip().casefold(): row for row, name in enumerate(rows)}
    if len(row_of) < len(rows):
        raise BenchError(f"{len(rows) - len(row_of)} gene names occur more than once", where=where, fix="keep one each")
    matches = [(i, row_of[name.casefold()]) for i, name in enumerate(genes) if name and name.casefold() in row_of]
    if len(matches) < min_share * len(genes) or not matches:
        raise BenchError(
            f"gene2vec has {len(matches)} of the model's {len(genes)} genes",
            where=where,
            fix=f"use the same kind of name for both: the model has {_some(genes)}, gene2vec has {_some(rows)}",
        )
    ordered = torch.zeros(len(genes), table.shape[1])
    to, come = (torch.tensor(side) for side in zip(*matches, strict=True))
    ordered[to] = table[come]
    return Gene2Vec(ordered, len(matches))


def _table(path: Path) -> torch.Tensor:
    try:
        if path.suffix == ".safetensors":
            tensors = list(load_file(path).values())
        else:
            loaded = np.load(path, allow_pickle=False)
            tensors = [torch.from_numpy(loaded)] if isinstance(loaded, np.ndarray) else []
    except FileNotFoundError:
        raise BenchError("no such file of gene2vec vectors", where=str(path), fix="check the path") from None
    except (OSError, ValueError, TypeError, EOFError, SafetensorError) as error:
        raise BenchError(
            f"not a readable file of gene2vec vectors: {error}",
            where=str(path),
            fix="save the vectors as a plain array with numpy.save, or as one tensor with safetensors",
        ) from None
    if len(tensors) != 1 or tensors[0].ndim != 2 or not tensors[0].is_floating_point():
        raise BenchError(
            "gene2vec must be one table of floats",
            where=str(path),
            fix="save one array of (rows, dim) floats and nothing else",
        )
    if not tensors[0].isfinite().all():
        raise BenchError("gene2vec has values that are NaN or infinite", where=str(path), fix="remove these rows")
    return tensors[0].float()


def _names(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(
            f"gene names cannot be read: {error}", where=str(path), fix="give a text file with one gene name a line"
        ) from None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3])
