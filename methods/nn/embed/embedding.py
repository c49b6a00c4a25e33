"""Cells and genes as vectors of a pre-trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.dataset import CountStore
from bench.errors import BenchError
from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.genes import GeneMap, match
from bench.methods.nn.training.checkpoint import Pretrained

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOW = 2048  # cells read from disk at a time, as counts; dense they are only a batch at a time


def embed_cells(
    pretrained: Pretrained,
    store: CountStore,
    *,
    batch_size: int = 16,
    device: str = "cpu",
    gene_map: GeneMap | None = None,
    on_cells: Callable[[int], None] = lambda n: None,
) -> NDArray[np.float32]:
    """Mean over all genes of the final hidden states of every cell, nothing masked and no [CLS] among the genes.

    So the paper makes the cell embeddings of its figure 2.

    Parameters
    ----------
    store
        Read a window of cells after another.
    batch_size
        Cells of a forward pass.
    gene_map
        Where the model's genes are in ``store``; found by :func:`bench.methods.nn.genes.match` if not given.
    on_cells
        Called after every batch with the number of cells that are done.

    Returns
    -------
    (cells, d_model), in the order of ``store``; rows of NaN for cells without counts in the model's genes.

    Raises
    ------
    bench.errors.BenchError
        If too few of the model's genes are there, the counts are no counts, or the model answers with NaN.
    """
    if batch_size < 1:
        raise BenchError(f"a batch of {batch_size} cells", where="batch_size", fix="give a number from 1 on")
    gene_map = gene_map or match(pretrained.genes, store.var, where=store.name)
    model = pretrained.model.to(device).eval()
    width = pretrained.model.gene_vectors.shape[1]
    embedding = np.full((len(store), width), np.nan, dtype=np.float32)
    for start in range(0, len(store), _WINDOW):
        cells = np.arange(start, min(start + _WINDOW, len(store)))
        counts = gene_map.select(store.rows(cells))
        counted = np.flatnonzero(np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel() > 0)
        for first in range(0, len(counted), batch_size):
            rows = counted[first : first + batch_size]
            expression = torch.from_numpy(log1p_cp10k(counts[rows], where=store.name)).to(device)
            with torch.inference_mode():
                states = model.encode(expression)
                embedding[cells[rows]] = states.float().mean(dim=1).cpu().numpy()
            on_cells(int(cells[rows[-1]]) + 1)
        _refuse_nan(embedding[cells[counted]], store.name)
    on_cells(len(store))
    return embedding


def gene_embedding(pretrained: Pretrained) -> NDArray[np.float32]:
    """Learned vectors of the model's genes, (genes, d_model)."""
    return pretrained.model.gene_vectors.detach().float().cpu().numpy()


def along(vectors: NDArray[np.float32], gene_map: GeneMap) -> NDArray[np.float32]:
    """Vectors of the model's genes in the order of the genes of the data; NaN for genes that the model lacks."""
    matched = gene_map.target >= 0
    out = np.full((len(matched), vectors.shape[1]), np.nan, dtype=np.float32)
    out[matched] = vectors[gene_map.target[matched]]
    return out


def is_embedded(embedding: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(cells,): false for cells without counts in the model's genes."""
    return np.logical_not(np.isnan(embedding).any(axis=1))


def _refuse_nan(embedding: NDArray[np.float32], where: str) -> None:
    if not np.isfinite(embedding).all():
        raise BenchError(
            "the model answers with NaN or infinite values",
            where=where,
            fix="the checkpoint is of a training that diverged: use another one",
        )
