"""Arguments of metrics as arrays, refused in words where they do not fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def vectors(**arguments: ArrayLike) -> list[NDArray[Any]]:
    """Arguments (cells,) as arrays of one length.

    Raises
    ------
    bench.errors.BenchError
        If one is no vector, or their lengths differ.
    """
    arrays = {name: np.asarray(values) for name, values in arguments.items()}
    for name, array in arrays.items():
        if array.ndim != 1:
            raise BenchError(f"{name} has {array.ndim} dimensions", where=name, fix="give one value a cell")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {n:,}" for name, n in lengths.items())
        raise BenchError(f"the arguments differ in length ({told})", where="metrics", fix="give all of the same cells")
    return list(arrays.values())


def booleans(values: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """True and false, or 1 and 0; text such as ``"False"`` would count as true."""
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise BenchError(
            f"{name} is neither true and false nor 1 and 0", where=name, fix=f"for example {name} == 'yes'"
        )
    return values.astype(bool)


def finite(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Numbers without gaps."""
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise BenchError(
            f"{name} has values that are NaN or infinite", where=name, fix="leave those out of all arguments"
        )
    return numbers


def texts(values: NDArray[Any]) -> NDArray[np.object_]:
    """Labels as text."""
    return values.astype(str).astype(object)
