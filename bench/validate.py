"""A method's output is checked against its task's outputs before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import InvalidOutputError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.task import Output


def validated(prediction: Mapping[str, Any], outputs: Sequence[Output], n_cells: int) -> dict[str, NDArray[Any]]:
    """The prediction as arrays of the declared kinds.

    Raises
    ------
    InvalidOutputError
        If an array is missing, unknown, of the wrong length or type, not finite, or out of range.
    """
    known = {output.name: output for output in outputs}
    for name in prediction:
        if name not in known:
            raise InvalidOutputError(str(UnknownNameError("output", name, known)), fix="return only declared outputs")
    arrays = {}
    for output in outputs:
        if output.name in prediction:
            arrays[output.name] = _checked(np.asarray(prediction[output.name]), output, n_cells)
        elif output.required:
            raise InvalidOutputError(
                f"output {output.name!r} is missing", where=output.summary, fix=f"return {list(known)} from run()"
            )
    return arrays


def _checked(array: NDArray[Any], output: Output, n_cells: int) -> NDArray[Any]:
    where = f"output {output.name!r} ({output.summary})"
    if array.shape != (n_cells,):
        raise InvalidOutputError(
            f"shape {array.shape}, expected ({n_cells},)", where=where, fix="return one entry per cell, in order"
        )
    if output.kind == "label":
        return array.astype(str)
    if output.kind == "bool":
        if array.dtype != bool:
            raise InvalidOutputError(f"type {array.dtype}, expected bool", where=where, fix="return a boolean array")
        return array
    if not (np.issubdtype(array.dtype, np.number) and not np.issubdtype(array.dtype, np.complexfloating)):
        raise InvalidOutputError(f"type {array.dtype}, expected numbers", where=where, fix="return a float array")
    array = array.astype(np.float64)
    broken = ~np.isfinite(array)
    if broken.any():
        raise InvalidOutputError(
            f"{int(broken.sum())} of {n_cells} values are NaN or infinite",
            where=f"{where}, first at cell {int(np.argmax(broken))}",
            fix="give every cell a finite value (the lowest score where the method cannot tell)",
        )
    low = -np.inf if output.low is None else output.low
    high = np.inf if output.high is None else output.high
    if n_cells and (array.min() < low or array.max() > high):
        raise InvalidOutputError(
            f"values from {array.min():g} to {array.max():g}, allowed from {low:g} to {high:g}",
            where=where,
            fix="rescale the output",
        )
    return array
