"""Reads HDF5 files, each in a process of its own, and throws away what it read; a program of its own.

A damaged file can end the process that reads it, or keep it busy for ever, inside of libhdf5 where Python cannot help.
:mod:`bench.data._guard` lets a process find out: how it ends is the answer. This program has the library loaded and
forks that process for every line ``[path, limit_s]`` on standard input, until that is closed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import NoReturn

import h5py

#: Bytes up to which a dataset is read whole; of larger ones the index of chunks, the first and the last piece.
_WHOLE = 2**26


def read_all(path: str) -> None:
    """Read tables, small datasets and the structure of large ones."""
    with h5py.File(path, "r") as file:
        file.visititems(_see)


def _see(_: str, item: h5py.Group | h5py.Dataset) -> None:
    try:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            _read(item)
    except Exception:  # noqa: BLE001 - the reader proper meets it again and tells it; the next item may be readable
        pass


def _read(item: h5py.Dataset) -> None:
    if item.chunks:
        for i in range(item.id.get_num_chunks()):
            item.id.get_chunk_info(i)
    if item.ndim == 0 or item.nbytes <= _WHOLE:
        item[()]
        return
    step = max(1, _WHOLE * len(item) // item.nbytes)
    starts = range(0, len(item), step) if item.dtype.hasobject else (0, len(item) - 1)  # stored text is addresses
    for start in starts:
        item[start : start + step]


def serve() -> None:
    """Answer each line with the exit code of the process that read the file; minus the signal that ended it."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _end_as_reader(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _end_as_reader(path: str, limit_s: float) -> NoReturn:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # whatever a library prints must not be taken for an answer
        signal.setitimer(signal.ITIMER_REAL, limit_s)  # nobody handles SIGALRM: it ends C code too
        read_all(path)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    try:
        importlib.import_module("hdf5plugin")  # filters that the reader proper will use too
    except ImportError:
        pass
    serve()
