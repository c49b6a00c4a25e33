"""Facts of a file read from its own tables, without loading its counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data._features import KINDS
from bench.data._layout import Shape, by_format, folder_shape, h5_shape, is_zarr
from bench.errors import DataError


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
    return by_format(
        path,
        h5ad=lambda file: _peek_anndata(file, layer),
        zarr=lambda folder: _peek_anndata(folder, layer),
        h5=lambda file: _without_columns(h5_shape(file)),
        folder=lambda folder: _without_columns(folder_shape(folder)),
    )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The root group of an ``.h5ad`` or of a ``.zarr`` of AnnData, read-only; both have the same layout."""
    if is_zarr(path):
        import zarr

        yield zarr.open_group(path, mode="r")
        return
    import h5py

    with h5py.File(path, "r") as file:
        yield file


def n_distinct(path: Path, column: str) -> int:
    """Number of distinct values of a column of ``obs`` of an ``.h5ad`` or ``.zarr``."""
    with opened(path) as file:
        item = file["obs"][column]
        if is_group(item) and "codes" in item:
            codes = item["codes"][:]
            return len(set(codes[codes >= 0].tolist()))
        values = item["values"][:] if is_group(item) else item[:]
        return len(set(values.tolist()))


def is_group(item: Any) -> bool:
    """Whether this is a group, of HDF5 or zarr, rather than an array."""
    return not hasattr(item, "dtype")


def _without_columns(shape: Shape) -> Facts:
    return Facts(shape.n_cells, shape.n_genes, (), left_out=shape.left_out)


def _peek_anndata(path: Path, layer: str | None) -> Facts:
    with opened(path) as file:
        if "obs" not in file or "var" not in file:
            raise DataError(
                f"this is no AnnData: it has no tables obs and var (found: {', '.join(file) or 'nothing'})",
                where=str(path),
                fix="if it is CellRanger's, let its name end in .h5",
            )
        obs, var = file["obs"], file["var"]
        if not is_group(obs):
            raise DataError(
                "the file was written by anndata before 0.7",
                where=str(path),
                fix="read and write it once with a newer anndata",
            )
        columns = tuple(str(_text(name)) for name in obs.attrs["column-order"])
        if layer == "raw" and "raw" in file and "var" in file["raw"]:
            var = file["raw"]["var"]
        shape = Shape(_length(obs), _length(var)).of_genes(_kinds(var), path)
        return Facts(
            shape.n_cells,
            shape.n_genes,
            columns,
            "uns/cohort/generator" in file,
            _words(file, "uns/source/labels"),
            _words(file, "uns/weak_labels"),
            shape.left_out,
        )


def _kinds(var: Any) -> list[object] | None:
    """The kinds of the features, if a column of ``var`` tells them."""
    name = next((name for name in KINDS if name in var), None)
    if name is None:
        return None
    from anndata.io import read_elem

    return list(read_elem(var[name]))


def _length(group: Any) -> int:
    return int(group[_text(group.attrs["_index"])].shape[0])


def _words(file: Any, where: str) -> str:
    """A text among the unstructured facts, or nothing."""
    return _text(file[where][()]) if where in file and not is_group(file[where]) else ""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
