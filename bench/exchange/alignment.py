"""Arrays in the order of the cells from what was returned for an output: by their names where it has any.

Read by methods' processes too, which may run an older Python: nothing here but numpy, scipy and pandas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import InvalidOutputError
from bench.exchange.outputs import as_what, columns_of, described, place
from bench.problem import Inputs, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Names shown of those that do not match.
_EXAMPLES = 3


def aligned(values: Any, inputs: Inputs, output: Output) -> Any:
    """An array in the order of ``inputs.cells``; of expression a matrix of any kind.

    What carries names (a pandas Series or DataFrame, or what turns into one) is put into that order by them, and so
    are the columns of a table. A default index (0, 1, 2, ...) is no name: such values are taken as they stand.

    Raises
    ------
    InvalidOutputError
        If names do not match those of the cells, a value is missing, or what was returned cannot be made an array.
    """
    kind = described(values)
    if not isinstance(values, (pd.Series, pd.DataFrame)) and hasattr(values, "to_pandas"):
        values = _converted(lambda: values.to_pandas(), kind, output)  # xarray's has names, polars' and pyarrow's none
    if isinstance(values, (pd.Series, pd.DataFrame)):
        values = _by_name(values, inputs, output)
    is_matrix = sparse.issparse(values) or isinstance(values, np.ndarray) or _makes_rows(values)
    if output.kind == "expression" and is_matrix:  # it may be large, and is read by blocks of rows
        return values
    if isinstance(values, np.ma.MaskedArray) and np.any(values.mask):
        raise _missing(int(np.sum(values.mask)), output)
    return _converted(lambda: _array(values, kind, output), kind, output)


def _by_name(values: pd.Series[Any] | pd.DataFrame, inputs: Inputs, output: Output) -> NDArray[Any]:
    """Values of a Series or DataFrame in the order of the cells and, of a table, of its columns."""
    rows = _positions(values.index, inputs.cells.obs.index, "cell", "inputs.cells.obs.index", output)
    if rows is not None:
        values = values.iloc[rows]
    named = output.kind == "expression" or (output.kind == "matrix" and output.columns)
    if isinstance(values, pd.DataFrame) and named:
        if output.kind == "expression":
            names, noun, source = inputs.cells.var.index, "gene", "inputs.cells.var.index"
        else:
            names, noun = pd.Index(columns_of(output, inputs.info)), "column"
            source = f"inputs.info[{output.columns!r}]"
        columns = _positions(values.columns, names, noun, source, output)
        if columns is not None:
            values = values.iloc[:, columns]
    return _without_objects(np.asarray(values), output)


def _positions(
    returned: pd.Index[Any], expected: pd.Index[Any], noun: str, source: str, output: Output
) -> NDArray[np.intp] | None:
    """Positions in ``returned`` of each of the ``expected`` names; None: they stand in that order, or have no names."""
    if returned.nlevels > 1:
        raise InvalidOutputError(
            f"the {noun}s have names of {returned.nlevels} levels",
            where=place(output),
            fix=f"name them by {source} alone",
        )
    if returned.equals(pd.RangeIndex(len(returned))) or returned.equals(expected):
        return None
    returned, expected = pd.Index(returned.to_numpy(dtype=object)), pd.Index(expected.to_numpy(dtype=object))
    twice = returned[returned.duplicated()].unique()
    lost, strange = expected.difference(returned, sort=False), returned.difference(expected, sort=False)
    faults = [
        f"{len(names)} {how}, such as {', '.join(map(repr, names[:_EXAMPLES]))}"
        for names, how in (
            (twice, f"{noun}s occur more than once"),
            (lost, f"of {len(expected)} {noun}s are missing"),
            (strange, f"names are no {noun} of the inputs"),
        )
        if len(names)
    ]
    if faults:
        raise InvalidOutputError(
            f"the {noun}s of this answer are not those asked for: {'; '.join(faults)}",
            where=place(output),
            fix=f"name every {noun} once as in {source}, in any order, or return a plain array in that order",
        )
    return np.asarray(returned.get_indexer(expected))


def _makes_rows(values: Any) -> bool:
    """Return whether this is no array, but has a shape and gives arrays by slice: rows made when they are read."""
    return hasattr(values, "shape") and not hasattr(values, "__array__") and isinstance(values[:1], np.ndarray)


def _array(values: Any, kind: str, output: Output) -> NDArray[Any]:
    array = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if array.ndim == 0:
        raise InvalidOutputError(f"{kind} is no array of one entry per cell", where=place(output), fix=as_what(output))
    return _without_objects(array, output)


def _converted(convert: Callable[[], Any], kind: str, output: Output) -> Any:
    try:
        return convert()
    except (MemoryError, InvalidOutputError):
        raise
    except Exception as error:  # the trial boundary: whatever the conversion of another library raises
        raise InvalidOutputError(
            f"{kind} cannot be made an array: {error}", where=place(output), fix=as_what(output)
        ) from error


def _without_objects(array: NDArray[Any], output: Output) -> NDArray[Any]:
    """Numbers, booleans or strings for an array of Python objects."""
    if array.dtype.kind not in "OT":  # T: strings of variable width, which no .npz holds
        return array
    missing = int(np.count_nonzero(pd.isna(array)))
    if missing:
        raise _missing(missing, output)
    held = pd.api.types.infer_dtype(array.ravel(), skipna=False)
    if held == "boolean":
        return array.astype(bool)
    if held == "integer":
        return np.array(array.tolist())
    if held in ("floating", "mixed-integer-float", "decimal"):
        return array.astype(np.float64)
    return array.astype(str)


def _missing(n: int, output: Output) -> InvalidOutputError:
    return InvalidOutputError(f"{n} values are missing", where=place(output), fix="give every cell a value")
