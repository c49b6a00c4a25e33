"""A method's output is checked against its task's outputs before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import InvalidOutputError
from bench.exchange.alignment import check_names, check_shape, place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Json
    from bench.task import Output


def validated(
    prediction: Mapping[str, Any],
    outputs: Sequence[Output],
    n_cells: int,
    info: Mapping[str, Json] = MappingProxyType({}),
) -> dict[str, Any]:
    """The prediction as arrays of the declared kinds.

    ``info`` is that of the inputs: it lists the columns of matrices. Expression was checked where it was made.

    Raises
    ------
    InvalidOutputError
        If an array is missing, unknown, of the wrong length or type, not finite, or out of range.
    """
    check_names(prediction, outputs)
    arrays: dict[str, Any] = {}
    for output in outputs:
        if output.name in prediction and output.kind == "expression":
            arrays[output.name] = prediction[output.name]
        elif output.name in prediction:
            array = np.asarray(prediction[output.name])
            check_shape(array, output, n_cells, info)
            arrays[output.name] = _checked(array, output)
    return arrays


def _checked(array: NDArray[Any], output: Output) -> NDArray[Any]:
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
    array = array.astype(np.float64)
    broken = ~np.isfinite(array)
    if broken.any():
        raise InvalidOutputError(
            f"{int(broken.sum())} of {array.size} values are NaN or infinite",
            where=f"{where}, first at cell {int(np.argwhere(broken)[0][0])}",
            fix="give every cell a finite value (the lowest score where the method cannot tell)",
        )
    low = -np.inf if output.low is None else output.low
    high = np.inf if output.high is None else output.high
    if array.size and (array.min() < low or array.max() > high):
        raise InvalidOutputError(
            f"values from {array.min():g} to {array.max():g}, allowed from {low:g} to {high:g}",
            where=where,
            fix="rescale the output",
        )
    return array.astype(np.float32) if output.kind == "matrix" else array  # as it is kept, so that rescoring agrees
