"""The subcommands of ``bench data`` as plain functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import library
from bench.data._builtin import simulated
from bench.data._paired_spec import PairedSpec
from bench.data._registered import libraries
from bench.data._spec import CohortSpec
from bench.errors import BenchError
from bench.system import replacing

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from bench.dataset import Dataset, DatasetCard, DatasetSource

__all__ = [
    "CohortSpec",
    "PairedSpec",
    "add",
    "column_lines",
    "like_donors",
    "marked",
    "pair_to",
    "remove",
    "simulate_to",
]

column_lines = library.column_lines


def add(path: Path, name: str, *, user: bool = False, **facts: Any) -> tuple[DatasetCard, str, str]:
    """Register a file (see :func:`bench.data.library.add`): its card, where the name holds, and what it hides there."""
    card = library.add(path, name, user=user, **facts)
    users, project = libraries()
    here = name in project.entries()
    if user:
        return card, users.where, f"; the project's {name} hides it {project.where}" if here else ""
    return card, project.where, f"; it hides your own {name} there" if name in users.entries() else ""


def remove(name: str) -> str:
    """Forget a dataset that was added: what is so now, in a sentence."""
    place = library.remove(name)
    left = f"; {name} is your own again" if name in library.sources() else ""
    return f"removed {name} {place.where}{left}"


def like_donors(source: DatasetSource) -> list[str]:
    """Columns of a dataset without known donors that look as if they named them."""
    from bench.data._lookalikes import alike

    return alike("donor", source.obs_columns(), source.mapping)


def marked(values: pd.Series, where: str, *, gaps: bool = False) -> NDArray[np.bool_]:
    """(cells,): where a column of true and false is true; with ``gaps``, what is neither counts as false.

    Raises
    ------
    bench.errors.DataError
        If there are values that are neither, and may not be.
    """
    import numpy as np

    from bench.data.checks import as_boolean

    return as_boolean(values, where, np.ones(len(values), dtype=bool) if gaps else None).to_numpy(dtype=bool)


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
    _check_out(out)
    adata = simulated(spec, progress, threads)
    _write(adata, out)
    return adata.n_obs, adata.n_vars, int(adata.X.nnz)


def pair_to(out: Path, train: Dataset, test: Dataset, labels: Path | None) -> list[str]:
    """Write two studies as one ``.h5ad`` with a ``split`` column; what a reader must know about it.

    Raises
    ------
    bench.errors.BenchError
        If ``out`` exists or does not end in ``.h5ad``, or the studies do not go together.
    """
    _check_out(out)
    from bench.data.pair import pair, read_label_map

    paired = pair(train, test, read_label_map(labels) if labels is not None else None)
    _write(paired.adata, out)
    return [str(note) for note in paired.notes]


def _check_out(out: Path) -> None:
    if out.suffix != ".h5ad":
        raise BenchError("the file is written as .h5ad", where=str(out), fix=f"name it {out.with_suffix('.h5ad')}")
    if out.exists():
        raise BenchError("the file exists already", where=str(out), fix="choose another name, or remove the file")


def _write(adata: AnnData, out: Path) -> None:
    """Write in one step: a file of this name is whole or not there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as aside:
        adata.write_h5ad(aside)
