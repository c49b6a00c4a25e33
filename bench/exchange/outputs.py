"""An output of a task in words: what to return for it, and how an error names it.

Read by methods' processes too, which may run an older Python: nothing here but the contracts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.problem import Output

if TYPE_CHECKING:
    from bench.problem import Json

#: What one entry of an output is, for the sentence that says what to return.
_ENTRIES = {
    "float": "a number per cell",
    "bool": "True or False per cell",
    "label": "a string per cell",
    "expression": "ln(1 + counts per 10,000), a row per cell and a column per gene: array, sparse matrix, DataFrame",
}


def what_to_return(outputs: Sequence[Output]) -> str:
    """One sentence with what a task's outputs are."""

    def listed(some: Iterable[Output]) -> str:
        return ", ".join(f'"{o.name}": {_entry(o)}' for o in some)

    other = "".join(f" or {{{listed([o])}}}" for o in outputs if o.instead_of)
    optional = listed(o for o in outputs if not o.required and not o.instead_of)
    required = listed(o for o in outputs if o.required)
    return f"return a dict {{{required}}}{other}" + (f" and, if the method has it, {optional}" if optional else "")


def _entry(output: Output) -> str:
    if output.kind == "matrix" and not output.columns:
        return "a row per cell and a column per dimension"
    if output.kind == "matrix":
        return f"a row per cell and a column for each of inputs.info[{output.columns!r}]"
    bounds = "" if output.low is None or output.high is None else f" from {output.low:g} to {output.high:g}"
    return _ENTRIES[output.kind] + bounds


def as_what(output: Output) -> str:
    """Say what to return for one output."""
    kind = " (adata.X or adata.to_df() of an AnnData)" if output.kind == "expression" else ", as an array or a list"
    return f"return {_entry(output)}{kind}" + ("" if output.required or output.instead_of else "; or leave it out")


def place(output: Output) -> str:
    """Name an output in an error."""
    return f"output {output.name!r} ({output.summary.rstrip('.')})"


def columns_of(output: Output, info: Mapping[str, Json]) -> list[str]:
    """Names of the columns of a matrix."""
    names = info[output.columns]
    if not isinstance(names, list):
        raise TypeError(f"inputs.info[{output.columns!r}] is no list of columns")
    return [str(name) for name in names]


def described(value: object) -> str:
    """The kind of a value, as its author knows it."""
    if value is None:
        return "None"
    module = type(value).__module__.partition(".")[0]
    return type(value).__name__ if module in ("builtins", "__main__") else f"{module}.{type(value).__name__}"


def expression_names(outputs: Sequence[Output]) -> tuple[str, ...]:
    """The outputs that are expression."""
    return tuple(output.name for output in outputs if output.kind == "expression")
