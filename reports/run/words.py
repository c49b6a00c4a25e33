"""Numbers as the page shows them (its script does the same), and statuses in words."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd

STATUS_WORDS = {
    "ok": "finished",
    "timeout": "ran out of time",
    "oom": "ran out of memory",
    "crash": "crashed",
    "invalid_output": "returned an invalid answer",
    "not_applicable": "not applicable",
    "unavailable": "not installed",
    "missing": "no record yet",
}


def number(value: float | None) -> str:
    """Three decimals below ten, one below a thousand, none above; two figures below 0.001; a dash for none.

    Halves are rounded away from zero. ``number`` of ``report.js`` gives the same text for the same value.
    """
    if value is None or pd.isna(value):
        return "–"
    size = abs(value)
    if 0 < size < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    step = Decimal("0.001") if size < 10 else Decimal("0.1") if size < 1000 else Decimal(1)
    rounded = Decimal(float(value)).quantize(step, ROUND_HALF_UP)
    return f"{rounded:,}" if size >= 1000 else f"{rounded}".removesuffix(".0")


def interval(low: float | None, high: float | None) -> str:
    """``[0.561, 0.701]``; nothing where a bound is missing."""
    return "" if pd.isna(low) or pd.isna(high) else f"[{number(low)}, {number(high)}]"


def rounded(value: float | None) -> float | None:
    """Nine significant digits, so that rounding again is as rounding once; None for what is missing."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.9g}")


def short(name: str, most: int = 40) -> str:
    """A name cut off so that a sentence or a figure can hold it."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
