"""Random seeds derived from names, so that every axis of randomness is independent and reproducible."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**31), hashed from names and replicate numbers.

    Parts are told apart by position and type: ``("a", "b")``, ``("ab",)``, ``("a", "b", 0)`` and ``("a", "b", "0")``
    give unrelated seeds. Replicate 0 is a seed like any other.
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
