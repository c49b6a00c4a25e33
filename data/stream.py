"""Counts that stay on disk: ``.h5ad`` and ``.zarr`` files that store them by cell (CSR), read when they are asked for.

Tables and the start of every row are in memory (about 200 bytes a cell), counts never but for the rows of one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy import sparse

from bench.data import _stored as stored
from bench.data._columns import map_columns
from bench.data._counts import compressed, counts
from bench.data._door import readable
from bench.data._layout import is_zarr
from bench.data._peek import peek
from bench.data.ingest import canonical_obs, canonical_var, check_names, counts_elsewhere
from bench.dataset import DatasetCard
from bench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_READERS = 8  # threads on a zarr store; HDF5 answers one after another, and threads only keep each other waiting
_HEAD = 1024  # cells whose counts are checked before anything is done with the file


class StreamedCounts:
    """A file as :class:`bench.dataset.CountStore`. Made by :func:`open_counts`; usable in the process that made it.

    What :func:`bench.data.ingest.read` checks is checked here: tables and the first cells at once, other cells when
    they are read. Cells without counts are not refused: ``n_entries`` tells which they are.
    """

    def __init__(self, path: Path, card: DatasetCard, columns: Mapping[str, str], layer: str | None) -> None:
        self._path, self._card = path, card
        where = str(path)
        with ExitStack() as stack, readable(path):
            root = stack.enter_context(stored.opened(path))
            mapping = map_columns(stored.columns(root["obs"]), columns, where)
            obs = stored.table(root["obs"], mapping.values())
            self._var = canonical_var(stored.genes(root, layer, where)[0], where)
            check_names(obs.index, self._var.index, where)
            self._obs = canonical_obs(obs, mapping, where)
            try:
                self._matrix = stored.layout(stored.matrix(root, layer, path), (len(obs), len(self._var)), path)
                self.rows(np.arange(min(_HEAD, len(self))))
            except DataError as error:
                raise counts_elsewhere(error, root, layer, path) from error
            self._file = stack.pop_all()  # stays open as long as this object lives

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self._card.name

    @property
    def digest(self) -> str:
        """The card's digest."""
        return self._card.digest

    @property
    def accession(self) -> str:
        """Accession under which the dataset is published, if known."""
        return self._card.accession

    @property
    def obs(self) -> pd.DataFrame:
        """Cells with canonical columns."""
        return self._obs

    @property
    def var(self) -> pd.DataFrame:
        """Genes with symbols."""
        return self._var

    @cached_property
    def n_entries(self) -> NDArray[np.int64]:
        """(cells,): how many counts each cell has; read once from the file, since zeros may be stored too."""
        with readable(self._path):
            return self._matrix.n_entries()

    def __len__(self) -> int:
        return len(self._obs)

    def rows(self, index: NDArray[np.intp]) -> sparse.csr_matrix:
        """Read the counts of some cells; neighbours, in whatever order they are asked for, are read together."""
        cells, back = np.unique(np.asarray(index, dtype=np.int64), return_inverse=True)
        if not len(cells):
            return sparse.csr_matrix((0, self._matrix.shape[1]), dtype=np.int32)
        if cells[0] < 0 or cells[-1] >= len(self):
            raise IndexError(f"cells {cells[0]} to {cells[-1]} of {len(self)}")
        where = f"cells {cells[0]:,} to {cells[-1]:,} of {self._path}"
        gaps = np.flatnonzero(np.diff(cells) > 1)
        indptr = self._matrix.indptr
        starts = indptr[cells[np.append(0, gaps + 1)]]
        stops = indptr[cells[np.append(gaps, len(cells) - 1)] + 1]
        ends = np.append(0, np.cumsum(indptr[cells + 1] - indptr[cells]))
        with readable(self._path):
            data, indices = _runs(self._matrix.data, starts, stops), _runs(self._matrix.indices, starts, stops)
            shape = len(cells), self._matrix.shape[1]
            rows = counts(compressed(sparse.csr_matrix, shape, data, indices, ends), where)
        return rows if np.array_equal(back, np.arange(len(cells))) else rows[back]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_counts(
    path: Path, card: DatasetCard, columns: Mapping[str, str], layer: str | None = None
) -> StreamedCounts | None:
    """Open a file whose counts are stored by cell, all of genes; None for other files, which must be loaded.

    Parameters
    ----------
    path
        ``.h5ad`` or ``.zarr``.
    card
        What is known of it.
    columns
        Canonical field -> column of ``obs``.
    layer
        Where the raw counts are, if not in ``X``.

    Raises
    ------
    bench.errors.DataError
        If the file is damaged, its tables fail a check, or its first cells have no counts.
    """
    if not (path.suffix.lower() == ".h5ad" or is_zarr(path)) or peek(path, layer).left_out:
        return None
    with readable(path), stored.opened(path) as root:
        try:
            item = stored.matrix(root, layer, path)
        except DataError:  # loading it tells where counts are instead
            return None
        if item.attrs.get("encoding-type") != "csr_matrix":
            return None
    return StreamedCounts(path, card, columns, layer)


def _runs(array: Any, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
    """Stretches of an array, one after another."""
    ends = np.cumsum(stops - starts)
    out = np.empty(int(ends[-1]), dtype=array.dtype)

    def read(start: int, stop: int, end: int) -> None:
        out[end - (stop - start) : end] = array[start:stop]

    parts = starts.tolist(), stops.tolist(), ends.tolist()
    if len(starts) == 1 or isinstance(array, h5py.Dataset):
        for part in zip(*parts, strict=True):
            read(*part)
        return out
    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(read, *parts))
    return out
