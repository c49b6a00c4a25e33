"""AnnData in a file, HDF5 or zarr, which have one layout: its tables and where its matrices are.

Elements are read one by one, as they are asked for: what nobody needs may be as large or as odd as it likes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.data._columns import id_column, symbol_column
from bench.data._counts import Matrix
from bench.data._features import KINDS, which_genes
from bench.data._layout import is_zarr
from bench.errors import DataError

#: Encodings of matrices, and how they lie.
_FORMS = {("csr_matrix", "0.1.0"): "csr", ("csc_matrix", "0.1.0"): "csc", ("array", "0.2.0"): "dense"}
_ROWS = {"csr": "cells", "csc": "genes"}


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The root group of an ``.h5ad`` or of a ``.zarr`` of AnnData, read-only.

    Raises
    ------
    bench.errors.DataError
        If it is something else, or was written by anndata before 0.7.
    """
    if is_zarr(path):
        import zarr

        root = zarr.open_group(path, mode="r")
        _check_root(root, path)
        yield root
        return
    import h5py

    with h5py.File(path, "r") as root:
        _check_root(root, path)
        yield root


def _check_root(root: Any, path: Path) -> None:
    if "mod" in root and is_group(root["mod"]) and "X" not in root:
        raise DataError(
            f"this is MuData: several matrices ({', '.join(root['mod'])})",
            where=str(path),
            fix="write the one of the genes as .h5ad: mudata.read_h5mu(FILE)['rna'].write_h5ad(...)",
        )
    if "obs" not in root or "var" not in root:
        raise DataError(
            f"this is no AnnData: it has no tables obs and var (found: {', '.join(root) or 'nothing'})",
            where=str(path),
            fix="if it is CellRanger's, let its name end in .h5",
        )
    if not is_group(root["obs"]) or not is_group(root["var"]):
        raise DataError(
            "the file was written by anndata before 0.7",
            where=str(path),
            fix="read and write it once with a newer anndata",
        )


def is_group(item: Any) -> bool:
    """Return whether this is a group, of HDF5 or zarr, rather than an array."""
    return not hasattr(item, "dtype")


def element(item: Any) -> Any:
    """An element as anndata reads it."""
    from anndata.io import read_elem

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Element .* was written without encoding metadata")
        return read_elem(item)


def columns(stored: Any) -> list[str]:
    """Names of a table's columns."""
    return [_text(name) for name in stored.attrs["column-order"]]


def length(stored: Any) -> int:
    """Number of a table's rows; nothing is read."""
    index = stored[_text(stored.attrs["_index"])]
    if is_group(index):  # text that may be missing, or categories
        index = index["codes" if "codes" in index else "values"]
    return int(index.shape[0])


def table(stored: Any, names: Iterable[str]) -> pd.DataFrame:
    """Some columns of a table, by the names of its rows; the index has no name."""
    names = list(dict.fromkeys(names))
    if stored.attrs.get("encoding-version") != "0.2.0":  # older tables keep categories apart from their column
        whole = element(stored)
        return whole[names].set_axis(_names(whole.index), axis=0)
    index = _names(element(stored[_text(stored.attrs["_index"])]))
    return pd.DataFrame({name: _column(stored, name, len(index)) for name in names}, index=index)


def _column(stored: Any, name: str, n: int) -> Any:
    values = element(stored[name])
    return values if np.ndim(values) else np.repeat(values, n)  # anndata takes one old text for no column


def _names(values: Any) -> pd.Index:
    names = np.atleast_1d(np.asarray(values, dtype=object))
    return pd.Index([_text(name) for name in names])


def layers(root: Any) -> list[str]:
    """Names of the layers, ``counts`` first; a slash in a name is a group in a group."""
    names = _leaves(root["layers"]) if "layers" in root and is_group(root["layers"]) else []
    return sorted(names, key=lambda name: (name != "counts", name))


def _leaves(group: Any) -> list[str]:
    leaves = []
    for name in group:
        item = group[name]
        plain = is_group(item) and item.attrs.get("encoding-type", "dict") == "dict"
        leaves += [f"{name}/{leaf}" for leaf in _leaves(item)] if plain else [name]
    return leaves


def matrix(root: Any, layer: str | None, path: Path) -> Any:
    """The group or array of ``X`` (None, ``X``), of ``raw.X`` (``raw``) or of a layer.

    Raises
    ------
    bench.errors.DataError
        If it is not there.
    """
    places = {"X": "X"} if "X" in root and root["X"].attrs.get("encoding-type") != "null" else {}
    places |= {name: f"layers/{name}" for name in layers(root) if name != "X"}
    places |= {"raw": "raw/X"} if has_raw(root) else {}
    if (layer or "X") in places:
        return root[places[layer or "X"]]
    layer_names = ", ".join(places)
    if layer is None:
        fix = (
            f"choose what to take for it: --layer, one of {layer_names}"
            if layer_names
            else "write it again with counts in X"
        )
        raise DataError("there is no X", where=str(path), fix=fix)
    raise DataError(f"there is no layer {layer!r}", where=str(path), fix=f"layers: {layer_names or 'none'}")


def layout(item: Any, shape: tuple[int, int], path: Path) -> Matrix:
    """A stored matrix, whose entries are not read yet; it must have the size that the tables have.

    Raises
    ------
    bench.errors.DataError
        If it is damaged, or stored in a way that is not known.
    """
    kind = _text(item.attrs.get("encoding-type", "array")), _text(item.attrs.get("encoding-version", "0.2.0"))
    form = _FORMS.get(kind)
    if form is None or (form == "dense") == is_group(item):
        raise DataError(
            f"the matrix is stored in a way that is not known: {' '.join(kind)}",
            where=f"{item.name} of {path}",
            fix="write it again with anndata, as a numpy array or a scipy.sparse.csr_matrix",
        )
    dtype = (item if form == "dense" else item["data"]).dtype
    if dtype.kind not in "iufb" or dtype.itemsize > 8:
        fix = "write it again with numbers that a float64 can hold"
        raise DataError(f"the matrix has type {dtype}", where=f"{item.name} of {path}", fix=fix)
    if form == "dense":
        _check_size(tuple(item.shape), shape, path)
        return Matrix(form, shape, item)
    stored_shape = tuple(int(n) for n in item.attrs["shape"])
    _check_size(stored_shape, shape, path)
    return compressed(item, form, shape, path)


def compressed(item: Any, form: str, shape: tuple[int, int], path: Path) -> Matrix:
    """A group of ``data``, ``indices`` and ``indptr``, whose entries are not read yet.

    Raises
    ------
    bench.errors.DataError
        If these do not fit each other or the shape.
    """
    data, indices, indptr = item["data"], item["indices"], item["indptr"]
    n_rows = shape[0 if form == "csr" else 1]
    if indptr.shape != (n_rows + 1,):
        raise _damaged(f"counts of {indptr.shape[0] - 1:,} {_ROWS[form]}, table of {n_rows:,}", path)
    starts = np.asarray(indptr[:])
    ordered = starts.dtype.kind in "iu" and starts[0] == 0 and bool((starts[1:] >= starts[:-1]).all())
    if not ordered or not int(starts[-1]) == data.shape[0] == indices.shape[0]:
        raise _damaged(f"its {_ROWS[form]} end at entry {starts[-1]:,} of {data.shape[0]:,}", path)
    if indices.dtype.kind not in "iu":
        raise _damaged(f"its indices are of type {indices.dtype}", path)
    # Of one gene, all indices are zero, and zarr leaves out chunks of zeros.
    parts = [data, indices] if shape != (shape[0], 1) else [data]
    if missing := sum(map(_missing_chunks, parts)):
        raise _damaged(f"{missing:,} chunks of the counts are missing", path)  # they would be read as zeros
    return Matrix(form, shape, data, indices, starts.astype(np.int64))


def _check_size(stored: tuple[int, ...], shape: tuple[int, int], path: Path) -> None:
    if stored == shape:
        return
    if stored == shape[::-1]:
        raise DataError(
            f"the matrix is transposed: it is {_size(stored)}, for {shape[0]:,} cells and {shape[1]:,} genes",
            where=str(path),
            fix="write it again cells x genes; programs in R may write what they call genes x cells that way",
        )
    raise _damaged(f"{_size(stored)} in the matrix, {_size(shape)} in the tables", path)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape)


def _damaged(reason: str, path: Path) -> DataError:
    return DataError(
        f"the file is damaged: {reason}",
        where=str(path),
        fix="copy or download it again; it was changed or cut on its way",
    )


def _missing_chunks(array: Any) -> int:
    """Count the pieces of an array that were never written, or got lost."""
    if hasattr(array, "nchunks_initialized"):
        # Of an array in shards, zarr counts all chunks that a shard has room for.
        shards = array.shards or array.chunks
        in_shard = math.prod(shard // chunk for shard, chunk in zip(shards, array.chunks, strict=True))
        return _n_pieces(array.shape, shards) - array.nchunks_initialized // in_shard
    if array.chunks is None:
        return int(array.id.get_storage_size() < array.nbytes)
    return _n_pieces(array.shape, array.chunks) - int(array.id.get_num_chunks())


def _n_pieces(shape: tuple[int, ...], piece: tuple[int, ...]) -> int:
    return math.prod(-(-n // size) for n, size in zip(shape, piece, strict=True))


def genes_of(root: Any, layer: str | None) -> Any:
    """The table of the genes of a layer."""
    return root["raw"]["var"] if layer == "raw" and has_raw(root) else root["var"]


def genes(root: Any, layer: str | None, where: str) -> tuple[pd.DataFrame, list[bool] | None]:
    """The features of a layer, with the columns that may tell their names; and which are genes, if not all are."""
    stored = genes_of(root, layer)
    names = columns(stored)
    var = table(stored, [name for name in (symbol_column(names), id_column(names)) if name is not None])
    return var, which_genes(kinds(stored), where)[0]


def kinds(var: Any) -> list[object] | None:
    """The kinds of the features, if a column of ``var`` tells them."""
    name = next((name for name in KINDS if name in var), None)
    return None if name is None else list(table(var, [name])[name])


def has_raw(root: Any) -> bool:
    """Return whether there is ``raw.X``, with genes of its own."""
    return "raw" in root and is_group(root["raw"]) and "X" in root["raw"]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
