"""Help with naming the columns that a dataset lacks: the command to give, and the columns there are."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data._columns import map_columns
from bench.data._lookalikes import alike, option
from bench.words import listing

if TYPE_CHECKING:
    import pandas as pd

    from bench.dataset import DatasetSource

#: Columns told of, and values told of each.
_COLUMNS, _VALUES = 30, 3
#: More different values than this are hardly labels.
_LABELS = 200


def offer(source: DatasetSource, path: Path, layer: str | None, fields: Collection[str]) -> str:
    """Two lines: the command that registers a file with its columns named, and the columns that are not used yet.

    A column that is called as such columns often are is proposed, else the only one that could be one; else it says
    COLUMN.
    """
    columns = source.obs_columns()
    unused = [column for column in columns if column not in source.mapping.values()]
    if not unused:
        return f"{_all_used('file', columns)}: join your table of the cells, and write both as .h5ad"
    values = _values(path, unused)
    guesses = {field: guess for field in fields if (guess := _guess(field, unused, values, source.mapping))}
    guesses = guesses or {next(iter(fields)): "COLUMN"}
    for field in ("cell_type", "donor"):  # what most tasks ask for next
        if field not in source.mapping and (others := alike(field, unused, source.mapping)):
            guesses.setdefault(field, others[0])
    if source.origin == "BENCH_DATA":
        what = f"name the column in the manifest of BENCH_DATA: {json.dumps({'columns': guesses})}"
    else:
        what = f"name the column: {_command(source, path, layer, guesses, columns)}"
    return f"{what}\n{_columns(unused, [_about(values[column]) for column in unused[:_COLUMNS]])}"


def offer_in_memory(source: DatasetSource, fields: Collection[str]) -> str:
    """As :func:`offer`, of an AnnData: the call that names its columns."""
    unused = [column for column in source.obs_columns() if column not in source.mapping.values()]
    if not unused:
        return f"{_all_used('AnnData', source.obs_columns())}: join your table of the cells to its obs"
    guesses = {field: (*alike(field, unused, source.mapping), "COLUMN")[0] for field in fields}
    keys = [f"{option(field).lstrip('-').replace('-', '_')}={column!r}" for field, column in guesses.items()]
    what = f"name the column: bench.as_dataset(adata, {', '.join(keys)})"
    return f"{what}\n{_columns(unused)}"


def _columns(names: Sequence[str], about: Sequence[str] = ()) -> str:
    """The line on the columns there are."""
    told = [f"{name} ({words})" if words else name for name, words in zip_longest(names[:_COLUMNS], about)]
    more = f", and {len(names) - _COLUMNS} more" if len(names) > _COLUMNS else ""
    return f"         columns: {', '.join(told)}{more}"


def _all_used(what: str, columns: Collection[str]) -> str:
    return f"the {what} has no columns" + (f" but {listing(list(columns))}" if columns else "")


def _command(
    source: DatasetSource, path: Path, layer: str | None, guesses: dict[str, str], columns: Collection[str]
) -> str:
    """As the file was registered, if it was, and with the columns that are guessed."""
    usual, card = map_columns(columns), source.card
    named = {field: column for field, column in source.mapping.items() if usual.get(field) != column} | guesses
    shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    registered = source.origin in ("project", "user")
    words = ["bench", "data", "add", shown, "--name", card.name if registered else path.stem]
    words += ["--replace"] * registered + ["--user"] * (source.origin == "user")
    facts = {
        "--layer": layer,
        "--truth": card.truth if card.truth == "computational" else None,
        "--expected-doublet-rate": card.expected_doublet_rate,
        "--case": card.case,
        "--control": card.control,
        "--summary": card.summary if card.summary != f"your file {path.name}" else None,
        "--organism": card.organism,
        "--tissue": card.tissue,
        "--licence": card.licence,
        "--doi": card.source.removeprefix("https://doi.org/") if card.source.startswith("https://doi.org/") else None,
    }
    for name, value in [*((option(field), column) for field, column in named.items()), *facts.items()]:
        words += [name, str(value)] if value not in (None, "") else []
    return shlex.join(words)


def _values(path: Path, names: Collection[str]) -> pd.DataFrame:
    from bench.data._door import readable
    from bench.data._stored import opened, table

    with readable(path), opened(path) as root:
        return table(root["obs"], names)


def _guess(field: str, columns: Collection[str], values: pd.DataFrame, mapping: Mapping[str, str]) -> str:
    named = [column for column in alike(field, columns, mapping) if values[column].nunique() > 1]
    if field != "cell_type" or named:
        return named[0] if named else ""
    labels = [column for column in columns if _are_labels(values[column])]
    return labels[0] if len(labels) == 1 else ""


def _are_labels(values: pd.Series) -> bool:
    return values.dtype.kind not in "fc" and 1 < values.nunique() <= _LABELS


def _about(values: pd.Series) -> str:
    """Describe a column that may be labels: the number of its values, and the first of them; of numbers, nothing."""
    if values.dtype.kind in "fc":
        return ""
    first = [str(value) for value in values.dropna().unique()[: _VALUES + 1]]
    n = values.nunique()
    return f"{n} values: {', '.join(first[:_VALUES])}{', ...' if n > _VALUES else ''}" if n > 1 else "1 value"
