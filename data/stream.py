"""Counts that stay on disk: ``.h5ad`` and ``.zarr`` files that store them by cell (CSR), read when they are asked for.

Tables and the start of every row are in memory (about 200 bytes a cell), counts never but for the rows of one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from bench.data import checks
from bench.data._columns import map_columns
from bench.data._layout import is_zarr, readable
from bench.data._peek import is_group, opened, peek
from bench.data.ingest import canonical_counts, canonical_obs, canonical_var, with_counts
from bench.dataset import DatasetCard
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData
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
        with ExitStack() as stack, readable(path):
            root = stack.enter_context(opened(path))
            head = with_counts(_head(root), layer, path)
            group = _location(root, layer)
            self._data, self._indices = group["data"], group["indices"]
            self._indptr = np.asarray(group["indptr"][:], dtype=np.int64)
            self._n_genes = int(group.attrs["shape"][1])
            obs = _table(root["obs"], columns)
            self._check_layout(obs, head)
            self._file = stack.pop_all()  # stays open as long as this object lives
        checks.check_unique(obs.index, "cell", str(path))
        self._obs = canonical_obs(obs, map_columns(list(obs.columns), columns, str(path)), str(path))
        self._var = canonical_var(head.var, str(path))
        canonical_counts(head.X, f"first cells of {path}")

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
        """Where the dataset is published, if known."""
        return self._card.accession

    @property
    def obs(self) -> pd.DataFrame:
        """Cells with canonical columns."""
        return self._obs

    @property
    def var(self) -> pd.DataFrame:
        """Genes with symbols."""
        return self._var

    @property
    def n_entries(self) -> NDArray[np.int64]:
        """(cells,): how many counts are stored of each cell."""
        return np.diff(self._indptr)

    def __len__(self) -> int:
        return len(self._obs)

    def rows(self, index: NDArray[np.intp]) -> sparse.csr_matrix:
        """Read the counts of some cells; neighbours, in whatever order they are asked for, are read together."""
        cells, back = np.unique(np.asarray(index, dtype=np.int64), return_inverse=True)
        if not len(cells):
            return sparse.csr_matrix((0, self._n_genes), dtype=np.int32)
        if cells[0] < 0 or cells[-1] >= len(self):
            raise IndexError(f"cells {cells[0]} to {cells[-1]} of {len(self)}")
        where = f"cells {cells[0]:,} to {cells[-1]:,} of {self._path}"
        gaps = np.flatnonzero(np.diff(cells) > 1)
        starts = self._indptr[cells[np.append(0, gaps + 1)]]
        stops = self._indptr[cells[np.append(gaps, len(cells) - 1)] + 1]
        with readable(self._path):
            data, indices = _runs(self._data, starts, stops), _runs(self._indices, starts, stops)
        lengths = self._indptr[cells + 1] - self._indptr[cells]
        stored = sparse.csr_matrix((len(cells), self._n_genes), dtype=data.dtype)
        # Set one by one: the constructor looks at, and may copy, what check_structure looks at next.
        stored.data, stored.indices = data, indices
        stored.indptr = np.append(0, np.cumsum(lengths)).astype(indices.dtype)
        counts = canonical_counts(stored, where)
        return counts if np.array_equal(back, np.arange(len(cells))) else counts[back]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_layout(self, obs: pd.DataFrame, head: AnnData) -> None:
        n, entries = self._indptr, int(self._data.shape[0])
        problem = ""
        if len(n) != len(obs) + 1 or head.n_vars != self._n_genes:
            problem = f"counts of {len(n) - 1:,} cells, table of {len(obs):,}"
        elif n[0] != 0 or (np.diff(n) < 0).any() or n[-1] != entries or self._indices.shape[0] != entries:
            problem = f"its rows end at entry {n[-1]:,} of {entries:,}"
        elif is_zarr(self._path) and (missing := _missing_chunks(self._data) + _missing_chunks(self._indices)):
            problem = f"{missing:,} chunks of the counts are missing"  # zarr would read zeros
        if problem:
            raise DataError(
                f"the file is damaged: {problem}",
                where=str(self._path),
                fix="copy or download it again; it was changed or cut on its way",
            )


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
    with readable(path), opened(path) as root:
        if not _is_csr(_location(root, layer)):
            return None
    return StreamedCounts(path, card, columns, layer)


def _location(root: Any, layer: str | None) -> Any:
    """Group or array with the counts; None if it is not there."""
    item = root
    for name in {None: ["X"], "X": ["X"], "raw": ["raw", "X"]}.get(layer, ["layers", layer]):
        if not is_group(item) or name not in item:
            return None
        item = item[name]
    return item


def _is_csr(item: Any) -> bool:
    return item is not None and is_group(item) and item.attrs.get("encoding-type") == "csr_matrix"


def _head(root: Any) -> AnnData:
    """The first cells with all layers, so that an error can tell which of them has counts."""
    from anndata import AnnData
    from anndata.io import read_elem

    n = min(_HEAD, int(root["obs"][root["obs"].attrs["_index"]].shape[0]))
    layers = {name: _first_rows(root["layers"][name], n) for name in root["layers"]} if "layers" in root else {}
    obs = pd.DataFrame(index=pd.RangeIndex(n).astype(str))
    head = AnnData(
        X=_first_rows(root["X"], n) if "X" in root else None,
        obs=obs,
        var=read_elem(root["var"]),
        layers={name: rows for name, rows in layers.items() if rows is not None},
    )
    raw = _location(root, "raw")
    if raw is not None and (rows := _first_rows(raw, n)) is not None:
        head.raw = AnnData(X=rows, obs=obs, var=read_elem(root["raw"]["var"]))
    return head


def _first_rows(item: Any, n: int) -> Any:
    if not is_group(item):
        return item[:n]
    if not _is_csr(item):
        return None
    indptr = item["indptr"][: n + 1]
    parts = item["data"][: indptr[-1]], item["indices"][: indptr[-1]], indptr
    return sparse.csr_matrix(parts, shape=(n, int(item.attrs["shape"][1])))


def _table(group: Any, columns: Mapping[str, str]) -> pd.DataFrame:
    """The columns of ``obs`` that are needed: others may be larger than all of them."""
    from anndata.io import read_elem

    wanted = list(dict.fromkeys(columns.values()))
    if group.attrs.get("encoding-version") != "0.2.0":  # older tables keep the categories apart from their column
        return read_elem(group)[wanted]
    index = pd.Index(read_elem(group[group.attrs["_index"]])).astype(str)
    return pd.DataFrame({name: read_elem(group[name]) for name in wanted}, index=index)


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


def _missing_chunks(array: Any) -> int:
    return int(array.nchunks - array.nchunks_initialized)
