from __future__ import annotations

from bench.seeds import derive_seed


def test_seeds_are_stable_and_in_range() -> None:
    assert derive_seed("split", 0) == derive_seed("split", 0)
    assert all(0 <= derive_seed("axis", i) < 2**31 for i in range(1000))
    assert len({derive_seed("axis", i) for i in range(1000)}) == 1000


def test_parts_are_told_apart() -> None:
    parts = [("a", "b"), ("ab",), ("a", "b", 0), ("a", "b", "0"), ("a", "b", 1), ("b", "a"), ()]
    assert len({derive_seed(*p) for p in parts}) == len(parts)
