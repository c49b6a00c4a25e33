"""The embeddings of a dataset that a trial's method asks for, beside the cells it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.dataset import DatasetSource, Embedding
from bench.errors import NotApplicableError, UnknownNameError
from bench.problem import Cells, Inputs


def with_embeddings(inputs: Inputs, source: DatasetSource, keys: Iterable[str]) -> Inputs:
    """The inputs with the rows that embeddings of the dataset have for their cells.

    Raises
    ------
    bench.errors.NotApplicableError
        If the dataset has no such embedding, or some cells are not its own, but a task's.
    bench.errors.DataError
        If an embedding cannot be used.
    """
    try:
        found = [source.embedding(key) for key in keys]
    except UnknownNameError as error:
        raise NotApplicableError(error.what, where=error.where, fix=error.fix) from error
    train = None if inputs.train is None else _embedded(inputs.train, found)
    return replace(inputs, cells=_embedded(inputs.cells, found), train=train)


def _embedded(cells: Cells, embeddings: list[Embedding]) -> Cells:
    obsm = {}
    for embedding in embeddings:
        rows = embedding.cells.get_indexer(cells.obs.index)
        if (rows < 0).any():
            what = f"{int((rows < 0).sum()):,} of {len(rows):,} cells are not the dataset's own, but made by the task"
            raise NotApplicableError(f"{what}: the embedding {embedding.key!r} has no row for them")
        obsm[embedding.key] = embedding.values[rows]
    return replace(cells, obsm=obsm)
