"""Times and sizes as people write them."""

from __future__ import annotations

import re

from bench.errors import BenchError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "mb": 1.0, "gb": 1024.0, "g": 1024.0}


def seconds(text: str, where: str = "--timeout") -> float:
    """``"90"``, ``"15m"`` or ``"2h"`` in seconds."""
    return _quantity(text, where, ("", "s", "m", "h"))


def megabytes(text: str | None, where: str = "--memory") -> float | None:
    """``"800mb"`` or ``"8gb"`` in MB; None stays None."""
    return None if text is None else _quantity(text, where, ("mb", "gb", "g"))


def _quantity(text: str, where: str, units: tuple[str, ...]) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in units or float(match[1]) <= 0:
        example = "90s, 15m or 2h" if "h" in units else "800mb or 8gb"
        raise BenchError(f"{text!r} is not a usable value", where=where, fix=f"write for example {example}")
    return float(match[1]) * _UNITS[match[2]]
