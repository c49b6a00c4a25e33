"""A checked prediction in a run folder: written, read back, linked from another trial."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.exchange import matrices
from bench.exchange.expression import at_mask
from bench.exchange.outputs import columns_of, expression_names
from bench.system import link_or_copy

if TYPE_CHECKING:
    from bench.problem import Problem
    from bench.task import Output


def save(arrays: Mapping[str, Any], outputs: Sequence[Output], problem: Problem, folder: Path) -> dict[str, Any]:
    """Write a prediction with the dataset's own cell names, in the dataset's order, into a new folder.

    ``prediction.parquet`` has a column an output; a matrix has a file of its name, with its own columns; expression is
    ``<name>.npz`` (:func:`bench.exchange.matrices.save`) where entries were asked for, else ``<name>.zarr``.

    Returns
    -------
    The prediction as it is kept, so that scoring it again gives the same.
    """
    shutil.rmtree(folder, ignore_errors=True)  # whatever a method may have left there
    folder.mkdir()
    cells, genes = problem.solution.index.astype(str), problem.inputs.cells.var.index.astype(str)
    tables = {
        o.name: columns_of(o, problem.inputs.info) if o.columns else _numbered(arrays[o.name])
        for o in outputs
        if o.kind == "matrix" and o.name in arrays
    }
    whole = [name for name in expression_names(outputs) if name in arrays]
    arrays = dict(arrays) | {name: np.asarray(arrays[name], np.float32) for name in tables}
    single = {name: array for name, array in arrays.items() if name not in tables and name not in whole}
    pd.DataFrame({"cell": cells, **single}).to_parquet(folder / "prediction.parquet", index=False)
    for name, columns in tables.items():
        table = pd.DataFrame(arrays[name], columns=columns)
        table.insert(0, "cell", cells)
        table.to_parquet(folder / f"{name}.parquet", index=False)
    for name in whole:
        if problem.asked is None:
            matrices.save_dense(folder / f"{name}.zarr", arrays[name], cells, genes)
        else:
            matrices.save(folder / f"{name}.npz", _masked(arrays[name], problem.asked), cells, genes)
    return arrays | _load_expression(folder, outputs)


def _numbered(table: Any) -> list[str]:
    """Names for columns that have none."""
    return [f"dimension_{k}" for k in range(1, table.shape[1] + 1)]


def _masked(values: Any, mask: sparse.csr_matrix) -> sparse.csr_matrix:
    """The masked entries: a method's are there already, a control may give the whole matrix."""
    if sparse.issparse(values) and np.array_equal(values.indptr, mask.indptr):
        if np.array_equal(values.indices, mask.indices):
            return values.astype(np.float32)
    return at_mask(values, mask)


def load(folder: Path, outputs: Sequence[Output], cells: pd.Index) -> dict[str, Any]:
    """Read what :func:`save` wrote, in the order of ``cells``, the problem's.

    Raises
    ------
    FileNotFoundError
        If the files of a required output are gone.
    """
    cells = cells.astype(str)
    table = pd.read_parquet(folder / "prediction.parquet").set_index("cell").loc[cells]
    arrays: dict[str, Any] = {column: table[column].to_numpy() for column in table.columns}
    for output in outputs:
        file = folder / f"{output.name}.parquet"
        if output.kind == "matrix" and file.exists():
            arrays[output.name] = pd.read_parquet(file).set_index("cell").loc[cells].to_numpy()
    arrays |= _load_expression(folder, outputs)
    taken = {output.instead_of for output in outputs if output.name in arrays}
    for output in outputs:
        if output.required and output.name not in taken | set(arrays):
            raise FileNotFoundError(f"there is no file of output {output.name!r}")
    return arrays


def _load_expression(folder: Path, outputs: Sequence[Output]) -> dict[str, Any]:
    loaded: dict[str, Any] = {}
    for name in expression_names(outputs):
        if (folder / f"{name}.npz").exists():
            loaded[name] = matrices.load(folder / f"{name}.npz")
        elif (folder / f"{name}.zarr").exists():
            loaded[name] = matrices.load_dense(folder / f"{name}.zarr")
    return loaded


def link(source: Path, outputs: Sequence[Output], folder: Path) -> None:
    """Make a new ``folder`` with the prediction that another trial's folder holds, without copying its bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = ["prediction.parquet", *(f"{o.name}.{end}" for o in outputs for end in ("parquet", "npz", "zarr"))]
    for name in names:
        if (source / name).exists():
            link_or_copy(source / name, folder / name)
