"""Numbers and lists in sentences, and tables as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: What a control is, as a person reads it.
ROLES = {"random": "random control", "perfect": "perfect control", "trap": "trivial baseline"}

#: Beginnings of a text that spreadsheets take for a formula, or cut off before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def count(n: int, noun: str, plural: str = "") -> str:
    """``1 donor``, ``2,000 donors``; ``plural`` where it is not the noun with an *s*."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listing(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; ``none``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def few(words: Sequence[str], most: int = 8) -> str:
    """``a, b, c``; of more than ``most`` the first, as ``a, b and 3 more``."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV in which a spreadsheet runs nothing: a text like ``=SUM(A1)`` has an apostrophe before it."""
    import pandas as pd

    columns = {i: _safe(column) for i, (_, column) in enumerate(table.items())}
    safe = pd.DataFrame(columns, index=table.index).set_axis([_without_formula(name) for name in table.columns], axis=1)
    text: str = safe.to_csv(index=False)
    return text


def _safe(column: pd.Series) -> pd.Series:
    from pandas.api.types import is_numeric_dtype

    return column if is_numeric_dtype(column.dtype) else column.astype(object).map(_without_formula)


def _without_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
