"""Files and folders that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: Beginnings of a text that spreadsheets take for a formula, or cut off before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def no_space(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that a disk is full or a quota used up."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write a file or a folder to; at the end it takes the place of ``target`` in one step.

    Whatever goes wrong meanwhile, ``target`` is as it was and nothing is left beside it.
    """
    aside = target.with_name(f".{target.stem[:100]}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield aside
        if aside.is_dir():
            _replace_folder(aside, target)
        else:
            aside.replace(target)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)


def _replace_folder(aside: Path, folder: Path) -> None:
    """Rename ``aside`` to ``folder``; of two concurrent writers one wins whole."""
    while True:
        try:
            aside.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            old = folder.with_name(f".old-{folder.name[:100]}-{secrets.token_hex(4)}")
            with contextlib.suppress(FileNotFoundError):
                folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        else:
            return


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV in which a spreadsheet runs nothing: a text like ``=SUM(A1)`` has an apostrophe before it."""
    import pandas as pd

    columns = {i: _safe(column) for i, (_, column) in enumerate(table.items())}
    safe = pd.DataFrame(columns, index=table.index).set_axis([_shown(name) for name in table.columns], axis=1)
    text: str = safe.to_csv(index=False)
    return text


def _safe(column: pd.Series) -> pd.Series:
    from pandas.api.types import is_numeric_dtype

    return column if is_numeric_dtype(column.dtype) else column.astype(object).map(_shown)


def _shown(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
