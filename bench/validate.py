"""A method's output is checked against its task's outputs before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import InvalidOutputError, UnknownNameError

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
    known = {output.name: output for output in outputs}
    for name in prediction:
        if name not in known:
            raise InvalidOutputError(str(UnknownNameError("output", name, known)), fix="return only declared outputs")
    arrays: dict[str, Any] = {}
    for output in outputs:
        if output.name in prediction and output.kind == "expression":
            arrays[output.name] = prediction[output.name]
        elif output.name in prediction:
            arrays[output.name] = _checked(np.asarray(prediction[output.name]), output, _shape(output, n_cells, info))
        elif output.required:
            raise InvalidOutputError(
                f"output {output.name!r} is missing", where=output.summary, fix=f"return {list(known)} from run()"
            )
    return arrays


def columns_of(output: Output, info: Mapping[str, Json]) -> list[str]:
    """Names of the columns of a matrix."""
    names = info[output.columns]
    if not isinstance(names, list):
        raise TypeError(f"inputs.info[{output.columns!r}] is no list of columns")
    return [str(name) for name in names]


def _shape(output: Output, n_cells: int, info: Mapping[str, Json]) -> tuple[int, ...]:
    return (n_cells, len(columns_of(output, info))) if output.kind == "matrix" else (n_cells,)


def _checked(array: NDArray[Any], output: Output, shape: tuple[int, ...]) -> NDArray[Any]:
    where = f"output {output.name!r} ({output.summary})"
    if array.shape != shape:
        entry = "row" if output.kind == "matrix" else "entry"
        raise InvalidOutputError(
            f"shape {array.shape}, expected {shape}", where=where, fix=f"return one {entry} per cell, in order"
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
