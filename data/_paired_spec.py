"""The recipe of a paired cohort: plain numbers, readable without any scientific package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.data._spec import CohortSpec, generator_digest
from bench.errors import BenchError

#: Files that decide the bytes of a paired cohort, beside those of every cohort.
_FILES = ("_paired_spec.py", "paired_cohort.py")


@dataclass(frozen=True)
class PairedSpec(CohortSpec):
    """The simulation of two arms: :class:`CohortSpec`, but each of ``n_donors`` donors has a library in both arms."""

    n_cells: int = 4800
    n_donors: int = 12
    arms: tuple[str, ...] = ("CN", "AD")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.arms)) != 2 or len(self.arms) != 2:
            raise BenchError(
                f"a paired cohort cannot be simulated: arms {list(self.arms)}",
                where="PairedSpec.arms",
                fix="name two of CN, AD, PD",
            )

    @property
    def digest(self) -> str:
        """sha256 of the recipe and of the generator's own source; known without simulating."""
        digest = hashlib.sha256((json.dumps(asdict(self), sort_keys=True) + generator_digest()).encode())
        for name in _FILES:
            digest.update(name.encode() + b"\0" + (Path(__file__).parent / name).read_bytes())
        return digest.hexdigest()
