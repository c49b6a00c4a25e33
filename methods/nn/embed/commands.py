"""The commands of the pre-trained models as plain functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.dataset import CountStore
from bench.errors import BenchError
from bench.methods.nn.embed.embedded_file import refuse_target, write_copy
from bench.methods.nn.embed.embedding import along, embed_cells, gene_embedding, is_embedded
from bench.methods.nn.embed.embedding_maps import SEED, map_of_cells, map_of_genes, write_maps
from bench.methods.nn.genes import GeneMap, match
from bench.methods.nn.training.checkpoint import Pretrained, data_seen, load_pretrained

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Embedded:
    """Result of :func:`embed`.

    Parameters
    ----------
    out
        The file written.
    key
        Of ``obsm``.
    shape
        Cells and dimensions.
    empty
        Cells without counts in the model's genes, whose rows are NaN.
    unknown
        Genes of the data that the model lacks, whose rows in ``varm`` are NaN.
    maps
        Folder of the maps in the run, if they were asked for.
    """

    out: Path
    key: str
    shape: tuple[int, int]
    empty: int
    unknown: tuple[str, ...]
    maps: Path | None


def embed(
    checkpoint: Path,
    store: CountStore,
    source: Path | Callable[[], AnnData],
    out: Path,
    *,
    run: Path | None = None,
    batch_size: int = 16,
    device: str = "cpu",
    threads: int | None = None,
    on_match: Callable[[Pretrained, GeneMap], None] = lambda pretrained, gene_map: None,
    on_cells: Callable[[int], None] = lambda n: None,
    on_maps: Callable[[], None] = lambda: None,
) -> Embedded:
    """Write a copy of a dataset with the embeddings of its cells and genes, and their maps into a run.

    Parameters
    ----------
    source
        The ``.h5ad`` to copy, or what gives the cells of ``store`` where there is none.
    out
        Must not exist.
    run
        Run folder whose report shall show the maps.
    on_match, on_cells, on_maps
        Called once genes are matched, after every batch with the cells that are done, and before the maps are drawn.

    Raises
    ------
    bench.errors.BenchError
        If the checkpoint, the data or ``out`` cannot be used.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise BenchError("there is no GPU that torch can use", where="--device cuda", fix="leave --device out")
    if threads is not None:
        torch.set_num_threads(threads)
    pretrained = load_pretrained(checkpoint)
    gene_map = match(pretrained.genes, store.var, where=store.name)
    on_match(pretrained, gene_map)
    vectors = gene_embedding(pretrained)
    needed = len(store) * 4 * vectors.shape[1] + (source.stat().st_size if isinstance(source, Path) else 0)
    refuse_target(out, needed)

    embedding = embed_cells(
        pretrained, store, batch_size=batch_size, device=device, gene_map=gene_map, on_cells=on_cells
    )
    empty = int((~is_embedded(embedding)).sum())
    facts = _facts(checkpoint, pretrained, store, gene_map, empty)
    name = pretrained.architecture.name
    additions: dict[str, dict[str, Any]] = {
        "obsm": {f"X_{name}": embedding},
        "varm": {f"{name}_genes": along(vectors, gene_map)},
        "uns": {f"{name}_embedding": facts | {"pretrained_on": sorted(data_seen(pretrained.facts))}},
    }
    write_copy(source if isinstance(source, Path) else source(), out, additions)
    maps = None
    if run is not None:
        on_maps()
        maps = _write_maps(run, pretrained, store, gene_map, embedding, vectors, facts)
    unknown = tuple(store.var.index[gene_map.target < 0].astype(str))
    return Embedded(out, f"X_{name}", (len(store), embedding.shape[1]), empty, unknown, maps)


def _facts(
    checkpoint: Path, pretrained: Pretrained, store: CountStore, gene_map: GeneMap, empty: int
) -> dict[str, Any]:
    """Facts that stand beside the vectors; paths of the machine do not."""
    seen = data_seen(pretrained.facts)
    return {
        "model": pretrained.architecture.name,
        "checkpoint": checkpoint.resolve().name,
        "dataset": store.name,
        "seen_in_pretraining": bool({store.name, store.accession, store.digest} & set(seen) - {""}),
        "cells": len(store),
        "cells_without_counts": empty,
        "genes": gene_map.n_genes,
        "genes_matched": gene_map.matched,
        "matched_by": gene_map.by,
    }


def _write_maps(
    run: Path,
    pretrained: Pretrained,
    store: CountStore,
    gene_map: GeneMap,
    embedding: NDArray[np.float32],
    vectors: NDArray[np.float32],
    facts: dict[str, Any],
) -> Path:
    cells = map_of_cells(embedding, store)
    genes = map_of_genes(vectors, pretrained.genes, store.var, gene_map)
    model = () if facts["model"] in facts["checkpoint"] else (facts["model"],)
    parts = (*model, facts["checkpoint"], Path(store.name).stem)
    card = {**facts, "cells_shown": len(cells), "seed": SEED}
    return write_maps(run, "-".join(parts), cells, genes, card)
