"""What a method or a control returned, as plain arrays in the order of the cells that it was shown.

Read by methods' processes too, which may run an older Python: nothing here but numpy, scipy and pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import InvalidOutputError, UnknownNameError
from bench.problem import Inputs, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Json

#: What one entry of an output is, for the sentence that says what to return.
_ENTRIES = {
    "float": "a number per cell",
    "bool": "True or False per cell",
    "label": "a string per cell",
    "expression": "ln(1 + counts per 10,000), a row per cell and a column per gene: array, sparse matrix, DataFrame",
}
#: Names shown of those that do not match.
_EXAMPLES = 3


def plain(prediction: Any, inputs: Inputs, outputs: Sequence[Output]) -> dict[str, Any]:
    """The declared outputs as arrays in the order of ``inputs.cells``; expression as a matrix of any kind.

    What carries names (a pandas Series or DataFrame, or what turns into one) is put into that order by them, and so
    are the columns of a table. A default index (0, 1, 2, ...) is no name: such values are taken as they stand.

    Raises
    ------
    InvalidOutputError
        If it is no mapping, an output is missing or unknown, names do not match those of the cells, or what was
        returned is no array of one entry (or row) per cell.
    """
    if not isinstance(prediction, Mapping):
        raise InvalidOutputError(f"run() returned {_described(prediction)}", fix=what_to_return(outputs))
    check_names(prediction, outputs)
    return {o.name: _plain(prediction[o.name], inputs, o) for o in outputs if o.name in prediction}


def check_names(names: Iterable[str], outputs: Sequence[Output]) -> None:
    """Refuse an unknown output, and the lack of a required one."""
    known = {output.name: output for output in outputs}
    found = list(names)
    for name in found:
        if name not in known:
            error = UnknownNameError("output", str(name), known)
            raise InvalidOutputError(f"{error.what}: {error.fix}", fix=what_to_return(outputs))
    for output in outputs:
        if output.required and output.name not in found:
            raise InvalidOutputError(
                f"output {output.name!r} is missing", where=output.summary, fix=what_to_return(outputs)
            )


def check_shape(array: NDArray[Any], output: Output, n_cells: int, info: Mapping[str, Json]) -> None:
    """Refuse an array of another shape than the output has."""
    shape = (n_cells, len(columns_of(output, info))) if output.kind == "matrix" else (n_cells,)
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


def place(output: Output) -> str:
    """How an error names an output."""
    return f"output {output.name!r} ({output.summary.rstrip('.')})"


def columns_of(output: Output, info: Mapping[str, Json]) -> list[str]:
    """Names of the columns of a matrix."""
    names = info[output.columns]
    if not isinstance(names, list):
        raise TypeError(f"inputs.info[{output.columns!r}] is no list of columns")
    return [str(name) for name in names]


def what_to_return(outputs: Sequence[Output]) -> str:
    """One sentence with what a task's outputs are."""

    def listed(required: bool) -> str:
        return ", ".join(f'"{o.name}": {_entry(o)}' for o in outputs if o.required is required)

    optional = listed(False)
    return f"return a dict {{{listed(True)}}}" + (f" and, if the method has it, {optional}" if optional else "")


def by_name(values: pd.Series[Any] | pd.DataFrame, inputs: Inputs, output: Output) -> NDArray[Any]:
    """Values of a Series or DataFrame in the order of the cells and, of a table, of its columns."""
    rows = _positions(values.index, inputs.cells.obs.index, "cell", "inputs.cells.obs.index", output)
    if rows is not None:
        values = values.iloc[rows]
    if isinstance(values, pd.DataFrame) and output.kind in ("matrix", "expression"):
        if output.kind == "expression":
            wanted, what, source = inputs.cells.var.index, "gene", "inputs.cells.var.index"
        else:
            wanted, what = pd.Index(columns_of(output, inputs.info)), "column"
            source = f"inputs.info[{output.columns!r}]"
        columns = _positions(values.columns, wanted, what, source, output)
        if columns is not None:
            values = values.iloc[:, columns]
    return _without_objects(np.asarray(values), output)


def _entry(output: Output) -> str:
    if output.kind == "matrix":
        return f"a row per cell and a column for each of inputs.info[{output.columns!r}]"
    bounds = "" if output.low is None or output.high is None else f" from {output.low:g} to {output.high:g}"
    return _ENTRIES[output.kind] + bounds


def _plain(values: Any, inputs: Inputs, output: Output) -> Any:
    what = _described(values)
    if not isinstance(values, (pd.Series, pd.DataFrame)) and hasattr(values, "to_pandas"):
        values = _converted(lambda: values.to_pandas(), what, output)  # xarray's has names, polars' and pyarrow's none
    if isinstance(values, (pd.Series, pd.DataFrame)):
        values = by_name(values, inputs, output)
    whole = output.kind == "expression"  # which may be large, and is checked where it is taken, by blocks of rows
    if whole and (sparse.issparse(values) or isinstance(values, np.ndarray) or _makes_rows(values)):
        return values
    if isinstance(values, np.ma.MaskedArray) and np.any(values.mask):
        raise _missing(int(np.sum(values.mask)), output)
    array = _converted(lambda: _array(values, what, output), what, output)
    if not whole:
        check_shape(array, output, len(inputs.cells.obs), inputs.info)
    return array


def _makes_rows(values: Any) -> bool:
    """Whether this is no array, but has a shape and gives arrays by slice: rows that are made when they are read."""
    return hasattr(values, "shape") and not hasattr(values, "__array__") and isinstance(values[:1], np.ndarray)


def _array(values: Any, what: str, output: Output) -> NDArray[Any]:
    array = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if array.ndim == 0:
        raise InvalidOutputError(f"{what} is no array of one entry per cell", where=place(output), fix=_as_what(output))
    return _without_objects(array, output)


def _converted(convert: Callable[[], Any], what: str, output: Output) -> Any:
    try:
        return convert()
    except (MemoryError, InvalidOutputError):
        raise
    except Exception as error:  # the trial boundary: whatever the conversion of another library raises
        raise InvalidOutputError(
            f"{what} cannot be made an array: {error}", where=place(output), fix=_as_what(output)
        ) from error


def _as_what(output: Output) -> str:
    kind = " (adata.X or adata.to_df() of an AnnData)" if output.kind == "expression" else ", as an array or a list"
    return f"return {_entry(output)}{kind}" + ("" if output.required else "; or leave it out")


def _described(value: object) -> str:
    """The kind of a value, as its author knows it."""
    if value is None:
        return "None"
    module = type(value).__module__.partition(".")[0]
    return type(value).__name__ if module in ("builtins", "__main__") else f"{module}.{type(value).__name__}"


def _positions(
    given: pd.Index[Any], wanted: pd.Index[Any], what: str, source: str, output: Output
) -> NDArray[np.intp] | None:
    """Where in ``given`` each of the ``wanted`` names is; None: they stand in that order, or have no names."""
    if given.nlevels > 1:
        raise InvalidOutputError(
            f"the {what}s have names of {given.nlevels} levels", where=place(output), fix=f"name them by {source} alone"
        )
    if given.equals(pd.RangeIndex(len(given))) or given.equals(wanted):
        return None
    given, wanted = pd.Index(given.to_numpy(dtype=object)), pd.Index(wanted.to_numpy(dtype=object))
    twice = given[given.duplicated()].unique()
    lost, strange = wanted.difference(given, sort=False), given.difference(wanted, sort=False)
    told = [
        f"{len(names)} {how}, such as {', '.join(map(repr, names[:_EXAMPLES]))}"
        for names, how in (
            (twice, f"{what}s occur more than once"),
            (lost, f"of {len(wanted)} {what}s are missing"),
            (strange, f"names are no {what} of the inputs"),
        )
        if len(names)
    ]
    if told:
        raise InvalidOutputError(
            f"the {what}s of this answer are not those asked for: {'; '.join(told)}",
            where=place(output),
            fix=f"name every {what} once as in {source}, in any order, or return a plain array in that order",
        )
    return np.asarray(given.get_indexer(wanted))


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
