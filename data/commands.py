"""What ``bench data`` does, as plain functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import library
from bench.data._spec import CohortSpec
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CohortSpec", "add", "remove", "simulate_to"]

add = library.add
remove = library.remove


def simulate_to(
    out: Path, spec: CohortSpec, progress: Callable[[int, int], None] | None = None, threads: int = 2
) -> tuple[int, int, int]:
    """Simulate a cohort into an ``.h5ad`` with everything the simulator knows.

    Returns
    -------
    Numbers of cells, genes and non-zero counts.

    Raises
    ------
    bench.errors.BenchError
        If ``out`` exists or does not end in ``.h5ad``.
    """
    if out.suffix != ".h5ad":
        raise BenchError("a cohort is written as .h5ad", where=str(out), fix=f"--out {out.with_suffix('.h5ad')}")
    if out.exists():
        raise BenchError("the file exists already", where=str(out), fix="choose another name, or remove the file")
    from bench.data.cohort import simulate

    adata = simulate(spec, progress, threads)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        adata.write_h5ad(aside)
        os.replace(aside, out)
    finally:
        aside.unlink(missing_ok=True)
    return adata.n_obs, adata.n_vars, int(adata.X.nnz)
