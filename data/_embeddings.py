"""Named embeddings of a dataset: arrays of ``obsm``, checked when somebody asks for one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.data import _stored as stored
from bench.data._door import readable
from bench.data._layout import is_zarr
from bench.dataset import Embedding
from bench.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Name of the entry of ``uns[KEY_embedding]`` that tells what an embedding was pre-trained on.
_TOLD = "pretrained_on"


def told_names(told: object) -> tuple[str, ...] | None:
    """Names of data as a text with commas, a sequence or an array; None where they are not told."""
    if told is None:
        return None
    several = told.split(",") if isinstance(told, str) else np.atleast_1d(np.asarray(told, dtype=object)).tolist()
    return tuple(name for each in several if (name := str(each).strip()))


def facts_key(key: str) -> str:
    """The entry of ``uns`` with the facts of an embedding: ``scgpt_embedding`` of ``X_scgpt``."""
    return f"{key.removeprefix('X_')}_embedding"


def keys_of_file(path: Path) -> tuple[str, ...]:
    """Keys of ``obsm`` in a file; none where its format has no such thing."""
    if not _has_obsm(path):
        return ()
    with readable(path), stored.opened(path) as root:
        return tuple(root["obsm"]) if "obsm" in root else ()


def of_file(path: Path, key: str, told: Mapping[str, Sequence[str]]) -> Embedding:
    """The embedding ``key`` of a file, checked (:func:`checked`).

    Parameters
    ----------
    told
        Key -> what its user says that it was pre-trained on; the file's own words hold for others.
    """
    check_known(key, keys_of_file(path), str(path))
    with readable(path), stored.opened(path) as root:
        cells = stored.table(root["obs"], []).index
        values = stored.element(root["obsm"][key])
        facts = f"uns/{facts_key(key)}/{_TOLD}"
        own = stored.element(root[facts]) if facts in root else None
    return checked(key, values, cells, told.get(key, own), str(path))


def of_memory(
    obsm: Mapping[str, Any],
    uns: Mapping[str, Any],
    key: str,
    cells: pd.Index,
    told: Mapping[str, Sequence[str]],
    where: str,
) -> Embedding:
    """The same of an AnnData's parts."""
    check_known(key, tuple(obsm), where)
    facts = uns.get(facts_key(key))
    own = facts.get(_TOLD) if isinstance(facts, Mapping) else None
    return checked(key, obsm[key], cells, told.get(key, own), where)


def check_known(key: str, known: Collection[str], where: str) -> None:
    """Refuse a key that is not there.

    Raises
    ------
    bench.errors.UnknownNameError
        With the keys that may have been meant.
    """
    if key not in known:
        raise UnknownNameError("embedding", key, known, where=f"obsm of {where}")


def checked(key: str, values: Any, cells: pd.Index, told: object, where: str) -> Embedding:
    """An embedding as a table of finite numbers with a row a cell.

    Raises
    ------
    bench.errors.DataError
        If it is none.
    """
    place = f"obsm[{key!r}] of {where}"
    if isinstance(values, pd.DataFrame):
        fix = f"store its values: adata.obsm[{key!r}] = adata.obsm[{key!r}].to_numpy()"
        raise DataError("the embedding is a table with named columns, not an array", where=place, fix=fix)
    if sparse.issparse(values):
        fix = f"store it dense: adata.obsm[{key!r}] = adata.obsm[{key!r}].toarray()"
        raise DataError("the embedding is a sparse matrix, not an array", where=place, fix=fix)
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise DataError(f"the embedding has type {array.dtype}", where=place, fix="store numbers")
    if array.ndim != 2 or not array.shape[1]:
        shape = " x ".join(map(str, array.shape))
        raise DataError(f"the embedding is {shape}, not cells x dimensions", where=place, fix="store a row a cell")
    if len(array) != len(cells):
        fix = "compute it on the cells of this dataset, in their order"
        raise DataError(f"the embedding has {len(array):,} rows for {len(cells):,} cells", where=place, fix=fix)
    _refuse_gaps(array, cells, place)
    return Embedding(key, array.astype(np.float32), cells, told_names(told))


def _refuse_gaps(array: NDArray[Any], cells: pd.Index, place: str) -> None:
    with np.errstate(over="ignore"):
        gaps = np.flatnonzero(~np.isfinite(array.astype(np.float32)).all(axis=1))
    if len(gaps):
        raise DataError(
            f"the embedding is NaN or infinite for {len(gaps):,} of {len(cells):,} cells, such as {cells[gaps[0]]!r}",
            where=place,
            fix="leave these cells out of the dataset (a column `exclude` does not do), or give them values",
        )


def _has_obsm(path: Path) -> bool:
    return path.suffix.lower() == ".h5ad" or is_zarr(path)
