"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count(n: int, noun: str, plural: str = "") -> str:
    """``1 donor``, ``2,000 donors``; ``plural`` where it is not the noun with an *s*."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listing(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; ``none``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"
