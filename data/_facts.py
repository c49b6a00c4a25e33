"""Numbers of values in a file's columns: what a card must know for tasks to tell whether they can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.dataset import without_label
from bench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_NAMES = ("donor", "batch")


def n_values(path: Path, mapping: Mapping[str, str]) -> dict[str, int]:
    """Canonical field -> how many different values it has; of ``is_doublet`` and ``exclude``, how many cells are true.

    Labels that say that there is none (:func:`bench.dataset.without_label`) do not count. Fields that are not as they
    should be are left away: whoever loads the cells is told.

    Parameters
    ----------
    path
        ``.h5ad`` or ``.zarr``.
    mapping
        Canonical field -> column of ``obs``.
    """
    if not mapping:
        return {}
    from bench.data._door import readable
    from bench.data._stored import opened, table

    with readable(path), opened(path) as root:
        read = table(root["obs"], mapping.values())
    return of_columns({field: read[column] for field, column in mapping.items()})


def of_columns(columns: Mapping[str, pd.Series]) -> dict[str, int]:
    """The same of columns at hand, by canonical field."""
    n_of_field, left_out = {}, None
    if "exclude" in columns and (left_out := _booleans(columns["exclude"], None)) is not None:
        n_of_field["exclude"] = int(left_out.sum())
    for field, values in columns.items():
        if field == "is_doublet":
            if (doublets := _booleans(values, left_out)) is not None:
                n_of_field[field] = int(doublets.sum())
        elif field in _NAMES:
            n_of_field[field] = int(values.nunique())
        elif field != "exclude":
            n_of_field[field] = int(values[~without_label(values)].nunique())
    return n_of_field


def _booleans(values: pd.Series, left_out: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    from bench.data.checks import as_boolean

    try:
        return as_boolean(values, "", left_out).to_numpy(dtype=bool)
    except DataError:
        return None
