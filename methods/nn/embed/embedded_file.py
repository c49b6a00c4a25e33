"""A copy of an ``.h5ad`` with embeddings in it; its counts are never read."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
from anndata.io import write_elem

from bench.errors import BenchError
from bench.system import replacing

if TYPE_CHECKING:
    from anndata import AnnData

#: Group of the file (``obsm``, ``varm``, ``uns``) -> key -> value.
Additions = Mapping[str, Mapping[str, Any]]


def refuse_target(out: Path, needed: int) -> None:
    """Say before the work that ``out`` cannot be written.

    Parameters
    ----------
    needed
        Bytes, as far as known.

    Raises
    ------
    bench.errors.BenchError
        If it is no ``.h5ad``, exists, or does not fit on the disk.
    """
    if out.suffix != ".h5ad":
        raise BenchError("embeddings are written as .h5ad", where=str(out), fix=f"--out {out.with_suffix('.h5ad')}")
    if out.exists():
        raise BenchError("the file exists already", where=str(out), fix="give another --out, or remove the file")
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if needed > free:
        raise BenchError(
            f"the copy needs {needed / 1e6:,.0f} MB, the disk has {free / 1e6:,.0f} MB left",
            where=str(out.parent),
            fix="free some space, or give an --out on another disk",
        )


def write_copy(source: Path | AnnData, out: Path, additions: Additions) -> None:
    """Write ``source`` with ``additions`` to ``out``; the file appears whole or not at all.

    Raises
    ------
    bench.errors.BenchError
        If it cannot be written, for one because the disk is full.
    """
    with _explained(out), replacing(out) as aside:
        if isinstance(source, Path):
            shutil.copyfile(source, aside)
        else:
            source.write_h5ad(aside)
        with h5py.File(aside, "r+") as file:
            for group, entries in additions.items():
                _add(file, group, entries)


def _add(file: h5py.File, group: str, entries: Mapping[str, Any]) -> None:
    if group not in file:
        write_elem(file, group, dict(entries))
        return
    if not isinstance(file[group], h5py.Group):
        raise BenchError(
            f"{group} is stored as AnnData did before 0.7",
            where=file.filename,
            fix="read the file with anndata, write it again, and embed that",
        )
    for key, value in entries.items():
        write_elem(file[group], key, value)


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # h5py tells a full disk in words, without a number
        raise BenchError(
            f"the file cannot be written: {error.strerror or str(error).splitlines()[0]}",
            where=str(out),
            fix="check that the folder may be written to and the disk is not full",
        ) from error
