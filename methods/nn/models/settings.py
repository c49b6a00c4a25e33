"""Settings that come from a command line or a file are checked by what their dataclass says of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bench.errors import BenchError


def check_settings(settings: Any, *, positive: Iterable[str] = (), shares: Iterable[str] = ()) -> None:
    """Refuse values of another type than a frozen dataclass declares; lists, as JSON has them, become tuples.

    Parameters
    ----------
    positive
        Numbers that must be above 0. Whole numbers must always be.
    shares
        Numbers that must lie in [0, 1].

    Raises
    ------
    BenchError
        At the first value that will not do.
    """
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(settings, name, value)
        if not _is(value, kind):
            raise BenchError(f"{name} must be {_words(kind)}, got {value!r}", where="settings", fix="give such a value")
    for name in positive:
        if (value := getattr(settings, name)) <= 0:
            raise BenchError(f"{name} must be above 0, got {value}", where="settings", fix="give a positive number")
    for name in shares:
        if not 0 <= (value := getattr(settings, name)) <= 1:
            raise BenchError(f"{name} must be from 0 to 1, got {value}", where="settings", fix="give such a share")


def _is(value: Any, kind: Any) -> bool:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return value in parts
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_is, value, parts))
    if isinstance(kind, UnionType):
        return any(_is(value, part) for part in parts)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is int:
        return isinstance(value, int) and value > 0
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(map(str, parts))
    if get_origin(kind) is tuple:
        return f"a list of {len(parts)} ({', '.join(map(_words, parts))})"
    if isinstance(kind, UnionType):
        return " or ".join(map(_words, parts))
    return {int: "a whole number above 0", float: "a number", bool: "true or false", type(None): "null"}[kind]
