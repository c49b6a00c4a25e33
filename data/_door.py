"""The door for files of the user's: whatever goes wrong while one is read is told in a sentence."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.data._guard import tried
from bench.errors import BenchError, DataError
from bench.system import path_hint

_DAMAGED = "check that it is complete and not damaged: copy or download it again"

#: How files begin that are often taken for HDF5, what they are, and what to do.
_NOT_HDF5 = (
    (b"\x1f\x8b", "it is gzipped", "unpack it: gunzip"),
    (b"PK\x03\x04", "it is a zip archive", "unpack it"),
    (b"version https://git-lfs", "it is a pointer of Git LFS", "fetch what it stands for: git lfs pull"),
    (b"<", "it is a web page or XML", "download the file itself"),
    (b"%%MatrixMarket", "it is a matrix in text", "hand over the folder with the matrix, its barcodes and features"),
)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Everything that is done to read ``path`` stands in this context, and nothing else.

    Raises
    ------
    bench.errors.DataError
        For any failure: libraries raise whatever they like on files that are damaged, or not what they seem to be.
    """
    try:
        _more_filters()
        tried(path)
        yield
    except BenchError:
        raise
    except Exception as error:
        raise _as_data_error(error, path) from error


@cache
def _more_filters() -> None:
    """Let HDF5 have the filters of ``hdf5plugin`` (zstd, blosc), where that is installed."""
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")


def _as_data_error(error: Exception, path: Path) -> DataError:
    reason = str(error).strip().partition("\n")[0]
    message, fix = f"the file cannot be read: {type(error).__name__}: {reason}", _DAMAGED
    if isinstance(error, FileNotFoundError):
        message, fix = "there is no such file or folder", path_hint(path)
    elif isinstance(error, PermissionError):
        message, fix = "the file cannot be read: you may not", "ask its owner for the right to read it (chmod)"
    elif isinstance(error, MemoryError):
        message = f"the file cannot be read: it asks for more memory than there is ({reason or 'MemoryError'})"
        fix = "free some memory; if the file is small, it is damaged: copy or download it again"
    elif type(error).__name__ == "IORegistryError":
        message = f"the file cannot be read: anndata {version('anndata')} does not know how it is stored ({reason})"
        fix = "write it again with this version of anndata, or install a newer one: pip install -U anndata"
    elif isinstance(error, OSError) and path.is_file():
        message, fix = _hdf5_fault(path, reason) or (message, fix)
    elif isinstance(error, TypeError | AttributeError | AssertionError):
        fix += "; if anndata can read it, the fault is ours: please report it"
    return DataError(message, where=str(path), fix=fix)


def _hdf5_fault(path: Path, reason: str) -> tuple[str, str] | None:
    """Say what an HDF5 file lacks that cannot be opened, or whose data cannot be unpacked."""
    import h5py

    if not h5py.is_hdf5(path):
        if not path.stat().st_size:
            return "the file cannot be read: it is empty", _DAMAGED
        with path.open("rb") as file:
            start = file.read(64).lstrip()
        for signature, description, fix in _NOT_HDF5:
            if start.startswith(signature):
                return f"the file cannot be read: {description}, no HDF5 file", fix
        return "the file cannot be read: this is no HDF5 file, or its beginning is damaged", _DAMAGED
    if ("filter" in reason or "plugin" in reason) and (name := _lacking_filter(path)):
        fix = "pip install hdf5plugin, or write the file again with compression='gzip'"
        return f"the file cannot be read: it is compressed with a filter that this HDF5 lacks ({name})", fix
    return None


def _lacking_filter(path: Path) -> str:
    """Name and number of the first filter of a file that is not there."""
    import h5py

    def lacking(_: str, item: Any) -> str | None:
        if not isinstance(item, h5py.Dataset):
            return None
        filters = item.id.get_create_plist()
        for i in range(filters.get_nfilters()):
            number, _flags, _values, name = filters.get_filter(i)
            if not h5py.h5z.filter_avail(number):
                return f"{name.decode(errors='replace').split(';')[0]}, {number}"
        return None

    with h5py.File(path, "r") as file:
        return file.visititems(lacking) or ""
