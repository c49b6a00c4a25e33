"""Facts of a file read from its own tables, without loading its counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data._door import readable
from bench.data._layout import Shape, by_format, folder_shape, h5_shape
from bench.data._stored import columns, genes_of, is_group, kinds, length, opened


@dataclass(frozen=True)
class Facts:
    """Size and columns of a file, whether it is a cohort of our own simulator, and what it says of its labels.

    Parameters
    ----------
    labels
        ``uns["source"]["labels"]``: where they come from, in words.
    weak_labels
        ``uns["weak_labels"]``: why they are weak, as ``bench data pair`` writes it.
    left_out
        A line about features that are no genes, if there are any; they do not count.
    """

    n_cells: int
    n_genes: int
    obs_columns: tuple[str, ...]
    is_cohort: bool = False
    labels: str = ""
    weak_labels: str = ""
    left_out: str = ""


def peek(path: Path, layer: str | None = None) -> Facts:
    """Size and columns of an ``.h5ad``, a ``.zarr`` of AnnData, a 10x ``.h5`` or a 10x folder.

    Parameters
    ----------
    layer
        Where the counts are, if not in ``X``: ``raw`` has genes of its own.

    Raises
    ------
    bench.errors.DataError
        If there is no such file, its type is not known, or it is damaged.
    """
    with readable(path):
        return by_format(
            path,
            anndata=lambda path: _peek_anndata(path, layer),
            h5=lambda file: _without_columns(h5_shape(file)),
            folder=lambda folder: _without_columns(folder_shape(folder)),
        )


def _without_columns(shape: Shape) -> Facts:
    return Facts(shape.n_cells, shape.n_genes, (), left_out=shape.left_out)


def _peek_anndata(path: Path, layer: str | None) -> Facts:
    with opened(path) as root:
        var = genes_of(root, layer)
        shape = Shape(length(root["obs"]), length(var)).of_genes(kinds(var), path)
        return Facts(
            shape.n_cells,
            shape.n_genes,
            tuple(columns(root["obs"])),
            "uns/cohort/generator" in root,
            _words(root, "uns/source/labels"),
            _words(root, "uns/weak_labels"),
            shape.left_out,
        )


def _words(root: Any, where: str) -> str:
    """A text among the unstructured facts, or nothing."""
    item = root[where] if where in root else None
    if item is None or is_group(item) or item.shape != ():
        return ""
    value = np.asarray(item[()]).item()
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str) else ""
