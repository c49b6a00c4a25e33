"""The gate between what a method or a control returns and the scores: everything that is checked of it, in order.

A method's answer passes twice. In the method's process, where the counts that it was shown are at hand, :func:`admit`
and :func:`hand_over`; then :func:`receive` in the harness's, on the bytes that were left behind, which a method can
reach. There the cells return to the dataset's order. A control's answer passes :func:`admit` alone.

Read by methods' processes too, which may run an older Python: nothing here but numpy, scipy and pandas.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bench.blocks import Rows
from bench.errors import InvalidOutputError, UnknownNameError
from bench.exchange import expression
from bench.exchange.alignment import aligned
from bench.exchange.expression_order import check_order
from bench.exchange.expression_scale import check_scale
from bench.exchange.files import permutation, read_query, round_folders
from bench.exchange.outputs import columns_of, described, expression_names, place, what_to_return
from bench.problem import Inputs, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray


# -- in the method's process, and of controls -------------------------------------------------------------------------


def admit(prediction: Any, inputs: Inputs, outputs: Sequence[Output]) -> dict[str, Any]:
    """The declared outputs as checked arrays in the order of ``inputs.cells``; expression as a matrix of any kind.

    Raises
    ------
    InvalidOutputError
        If it is no mapping, an output is missing or unknown, names do not match those of the cells, or an array has not
        the shape, type or range of its output.
    """
    if not isinstance(prediction, Mapping):
        raise InvalidOutputError(f"run() returned {described(prediction)}", fix=what_to_return(outputs))
    _check_names(prediction, outputs)
    arrays = {o.name: aligned(prediction[o.name], inputs, o) for o in outputs if o.name in prediction}
    return check(arrays, inputs, outputs)


def check(arrays: Mapping[str, Any], inputs: Inputs, outputs: Sequence[Output]) -> dict[str, Any]:
    """Arrays in the order of ``inputs.cells`` as the task's outputs declare them: names, shapes, types and ranges.

    Expression passes as it is: :func:`hand_over` and :func:`receive` check it, by blocks of rows.
    """
    _check_names(arrays, outputs)
    checked: dict[str, Any] = {}
    for output in outputs:
        if output.name in arrays and output.kind == "expression":
            checked[output.name] = arrays[output.name]
        elif output.name in arrays:
            array = np.asarray(arrays[output.name])
            _check_shape(array, output, inputs)
            checked[output.name] = _typed(array, output)
    return checked


def hand_over(
    arrays: Mapping[str, Any], inputs: Inputs, outputs: Sequence[Output], folder: Path, number: int = 0
) -> list[str]:
    """Write the admitted answer to one masking round into ``folder``; returns what a reader of the row must know.

    Expression is checked and reduced to the masked entries at once; other arrays are those of the last round.

    Raises
    ------
    InvalidOutputError
        If expression is not finite, or has another shape, scale or order of cells than asked for.
    """
    notes, plain = [], dict(arrays)
    for name in expression_names(outputs):
        if name in plain:
            values = _matrix(plain.pop(name), inputs, name)
            negative = check_expression(values, inputs, name)
            expression.write(values, inputs, folder, name, number, clip=negative > 0)
            if negative:
                size = inputs.cells.X.shape[0] * inputs.cells.X.shape[1]
                notes.append(f"{negative:,} of {size:,} values were negative and count as 0")
    np.savez(folder / "prediction.npz", **{f"output:{name}": array for name, array in plain.items()})
    return notes


def check_expression(values: Any, inputs: Inputs, name: str) -> int:
    """Refuse expression that is not finite or has another scale or order of cells; the number of negative values."""
    matrix = Rows(values)
    negative = _check_finite(matrix, name)
    check_scale(matrix, inputs, name)
    check_order(matrix, inputs, name)
    return negative


# -- in the harness's process -----------------------------------------------------------------------------------------


def receive(
    folder: Path, written_inputs: Path, inputs_id: str, inputs: Inputs, outputs: Sequence[Output]
) -> dict[str, Any]:
    """Read what a method's process left in ``folder``, checked again, its cells back in the dataset's order.

    Parameters
    ----------
    written_inputs
        The inputs as it saw them (:func:`bench.exchange.files.write_rounds`), permuted by ``inputs_id``.
    inputs
        The same in the dataset's order.

    Raises
    ------
    InvalidOutputError
        If a file is missing or damaged, or holds what the method's process would not have handed over.
    """
    arrays = {**_read_arrays(folder / "prediction.npz"), **_read_expression(folder, written_inputs, inputs, outputs)}
    checked = check(arrays, inputs, outputs)
    position = np.argsort(permutation(len(inputs.cells.obs), inputs_id))
    return {
        name: Rows(values, position) if isinstance(values, np.memmap) else values[position]
        for name, values in checked.items()
    }


def _read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            # The prefix keeps an output of any name apart from the arguments of numpy.savez.
            return {name[len("output:") :]: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(error) from error


def _read_expression(folder: Path, written_inputs: Path, inputs: Inputs, outputs: Sequence[Output]) -> dict[str, Any]:
    masks = [mask for mask in map(read_query, round_folders(written_inputs)) if mask is not None]
    arrays: dict[str, Any] = {}
    for name in expression_names(outputs):
        files = [folder / f"{name}_{k}.npy" for k in range(len(masks))] or [folder / f"{name}.npy"]
        if not files[0].exists():
            continue
        if masks:
            values = [_mapped(file, (mask.nnz,)) for file, mask in zip(files, masks, strict=True)]
            arrays[name] = expression.merged(masks, values)
        else:
            arrays[name] = _mapped(files[0], inputs.cells.X.shape)
    return arrays


def _mapped(file: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from error
    if array.dtype != np.float32 or array.shape != shape:
        raise InvalidOutputError(f"{file.name} was changed after it had been checked")
    _check_finite(Rows(array if array.ndim == 2 else array[None]), file.stem)
    return array


def _unreadable(error: Exception) -> InvalidOutputError:
    return InvalidOutputError(f"the prediction cannot be read back: {type(error).__name__}: {error}")


# -- the checks, in the order in which they are made ------------------------------------------------------------------


def _check_names(names: Iterable[str], outputs: Sequence[Output]) -> None:
    """Refuse an unknown output, the lack of a required one, and one beside the output whose place it may take."""
    by_name = {output.name: output for output in outputs}
    returned = list(names)
    for name in returned:
        if name not in by_name:
            error = UnknownNameError("output", str(name), by_name)
            raise InvalidOutputError(f"{error.what}: {error.fix}", fix=what_to_return(outputs))
    taken = {output.instead_of: output.name for output in outputs if output.instead_of and output.name in returned}
    for output in outputs:
        if output.name in taken and output.name in returned:
            raise InvalidOutputError(
                f"outputs {output.name!r} and {taken[output.name]!r} were both returned",
                fix=f"return one of the two: {what_to_return(outputs)}",
            )
        if output.required and output.name not in returned and output.name not in taken:
            raise InvalidOutputError(
                f"output {output.name!r} is missing", where=output.summary, fix=what_to_return(outputs)
            )


def _check_shape(array: NDArray[Any], output: Output, inputs: Inputs) -> None:
    n_cells = len(inputs.cells.obs)
    if output.kind == "matrix" and not output.columns:
        _check_table(array, output, n_cells)
        return
    shape = (n_cells, len(columns_of(output, inputs.info))) if output.kind == "matrix" else (n_cells,)
    if array.shape == shape:
        return
    entry = "row" if output.kind == "matrix" else "entry"
    fix = f"return one {entry} per cell of inputs.cells, in the same order"
    if array.shape == (*shape, 1):
        fix = "return the column itself, values[:, 0] of an array or table[name] of a DataFrame"
    elif array.shape == shape[::-1]:
        fix = "turn it round (values.T): a row per cell"
    elif output.kind == "matrix" and len(array) == n_cells:
        fix = f"return a column for each of inputs.info[{output.columns!r}], in that order or under their names"
    raise InvalidOutputError(f"shape {array.shape}, expected {shape}", where=place(output), fix=fix)


def _check_table(array: NDArray[Any], output: Output, n_cells: int) -> None:
    """Refuse what is no table of a row per cell; it may have any number of columns."""
    if array.ndim == 2 and len(array) == n_cells and array.shape[1]:
        return
    turned = array.ndim == 2 and array.shape[1] == n_cells
    raise InvalidOutputError(
        f"shape {array.shape}, expected ({n_cells}, dimensions)",
        where=place(output),
        fix="turn it round (values.T): a row per cell" if turned else "return a row per cell, a column per dimension",
    )


def _typed(array: NDArray[Any], output: Output) -> NDArray[Any]:
    """The array in the type of its output: strings, booleans, or finite numbers within its range."""
    where = place(output)
    if output.kind == "label":
        if array.dtype.kind in "biufc":
            raise InvalidOutputError(
                f"type {array.dtype}, expected strings",
                where=where,
                fix="return the names themselves, not numbers that stand for them",
            )
        return array.astype(str)
    if output.kind == "bool":
        if array.dtype != bool:
            raise InvalidOutputError(
                f"type {array.dtype}, expected bool",
                where=where,
                fix="return a boolean array, such as values == 1 or values > threshold",
            )
        return array
    if not (np.issubdtype(array.dtype, np.number) and not np.issubdtype(array.dtype, np.complexfloating)):
        raise InvalidOutputError(f"type {array.dtype}, expected numbers", where=where, fix="return a float array")
    numbers = array.astype(np.float64)
    _check_range(numbers, output)
    return array if output.kind == "matrix" and array.dtype == np.float32 else numbers  # as a run folder has it


def _check_range(array: NDArray[np.float64], output: Output) -> None:
    broken = ~np.isfinite(array)
    if broken.any():
        raise InvalidOutputError(
            f"{int(broken.sum())} of {array.size} values are NaN or infinite",
            where=f"{place(output)}, first at cell {int(np.argwhere(broken)[0][0])}",
            fix="give every cell finite values"
            + (", the lowest where the method cannot tell" * (output.kind == "float")),
        )
    low = -np.inf if output.low is None else output.low
    high = np.inf if output.high is None else output.high
    if array.size and (array.min() < low or array.max() > high):
        raise InvalidOutputError(
            f"values from {array.min():g} to {array.max():g}, allowed from {low:g} to {high:g}",
            where=place(output),
            fix="rescale the output",
        )


def _matrix(values: Any, inputs: Inputs, name: str) -> Any:
    """Expression as a matrix of the right shape that gives rows by slice."""
    matrix = values.tocsr() if sparse.issparse(values) else np.asanyarray(values)  # a memory map stays one
    if not sparse.issparse(matrix) and (matrix.ndim != 2 or matrix.dtype.kind not in "fiu"):
        raise InvalidOutputError(
            f"{name!r} is an array of {matrix.dtype} with {matrix.ndim} dimensions, expected numbers with 2",
            fix="return a float32 array (cells, genes)",
        )
    if matrix.shape != inputs.cells.X.shape:
        raise InvalidOutputError(
            f"{name!r} has shape {matrix.shape}, expected {inputs.cells.X.shape} (cells, genes)",
            fix="return a row per cell and a column per gene of inputs.cells, in the same order",
        )
    return matrix


def _check_finite(matrix: Rows, name: str) -> int:
    """Refuse what is not finite; returns the number of negative values."""
    broken = negative = 0
    for _, block in matrix.blocks():
        broken += int(np.count_nonzero(~np.isfinite(block)))
        negative += int(np.count_nonzero(block < 0))
    if broken:
        raise InvalidOutputError(
            f"{broken:,} values of {name!r} are NaN or infinite", fix="give every gene of every cell a finite value"
        )
    return negative
