"""A problem that a task makes from a dataset: inputs the method sees, and a solution it never does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    #: Notes as a task collects them: sentences, and notes with a level.
    Notes = list[str | "Note"]
    Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
    #: A prediction: named arrays, one entry (or row) per cell, in the order of the inputs; expression may be anything
    #: that has a shape and gives rows by slice.
    Prediction = Mapping[str, Any]
    _Looks = Sequence["Inputs"]
else:  # methods' environments may run Python 3.8, which cannot evaluate these
    Json, Notes, Prediction, _Looks = object, list, Mapping, Sequence


@dataclass(frozen=True)
class Cells:
    """A block of cells.

    Parameters
    ----------
    X
        Cells x genes; always a ``scipy.sparse.csr_matrix`` (``csr_array`` breaks several wrapped tools).
    obs
        One row per cell, indexed by cell name.
    var
        One row per gene, indexed by gene name; ``var["symbol"]`` where symbols are known.
    obsm
        Embeddings (cells, dimensions) by key, of methods that ask for them (:attr:`bench.method.Method.embeddings`).
    """

    X: csr_matrix
    obs: pd.DataFrame
    var: pd.DataFrame
    obsm: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.X.shape != (len(self.obs), len(self.var)):
            raise ValueError(f"X is {self.X.shape}, obs has {len(self.obs)} cells and var {len(self.var)} genes")

    def take(self, rows: np.ndarray) -> Cells:
        """The cells at integer positions (or a boolean mask) ``rows``, in that order."""
        obsm = {key: values[rows] for key, values in self.obsm.items()}
        return Cells(self.X[rows], self.obs.iloc[rows], self.var, obsm)


@dataclass(frozen=True)
class Inputs:
    """Everything a method may look at.

    Parameters
    ----------
    cells
        The cells to be answered for. ``obs["library_size"]``, where a protocol tells it: total counts of the cell with
        those that are hidden; values are then ln(1 + counts per 10,000 of this size).
    train
        Cells of other donors, whose ``obs`` carries the labels a supervised method may learn from.
    info
        Plain facts of the protocol (JSON), never derived from the hidden truth.
    query
        The mask, of tasks that ask for expression: the entries (boolean, cells x genes) that were hidden, shown as
        zero, and are to be predicted. None: nothing was masked, every entry is to be predicted.
    apart
        A column of ``cells.obs`` whose values are answered for apart: the method is called with the cells of one value
        at a time, and sees neither the others nor the column. Empty: it is called once.
    """

    cells: Cells
    train: Cells | None = None
    info: Mapping[str, Json] = field(default_factory=dict)
    query: csr_matrix | None = None
    apart: str = ""

    def __post_init__(self) -> None:
        if self.apart and self.apart not in self.cells.obs:
            raise ValueError(f"cells are to be answered for by {self.apart!r}, a column that they lack")
        if self.query is not None and self.query.shape != self.cells.X.shape:
            raise ValueError(f"query is {self.query.shape}, cells.X is {self.cells.X.shape}")

    def take(self, rows: np.ndarray) -> Inputs:
        """The same inputs with only the cells at ``rows`` to be answered for."""
        return replace(self, cells=self.cells.take(rows), query=None if self.query is None else self.query[rows])

    def part(self, rows: np.ndarray) -> Inputs:
        """The cells at ``rows`` as a method sees them that is not to know of the others (``apart``)."""
        some = replace(self.take(rows), apart="")
        if not self.apart:
            return some
        return replace(some, cells=replace(some.cells, obs=some.cells.obs.drop(columns=self.apart)))


class Rounds(_Looks):
    """Masking rounds: the same cells with other entries masked, each built when needed, so that memory holds few.

    Parameters
    ----------
    n
        How many.
    build
        ``build(k)`` makes the ``k``-th. All share cell names, genes and training cells.
    """

    def __init__(self, n: int, build: Callable[[int], Inputs]) -> None:
        self._n, self._build = n, build

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, k: int) -> Inputs: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Inputs]: ...
    def __getitem__(self, k: int | slice) -> Inputs | Sequence[Inputs]:
        if isinstance(k, slice):
            return [self._build(i) for i in range(*k.indices(self._n))]
        if not -self._n <= k < self._n:
            raise IndexError(k)
        return self._build(k % self._n)


Level = Literal["info", "warning", "reused", "answer"]

#: How a note begins where it is text, in a run folder or a table.
_BEGINNINGS: dict[Level, str] = {"warning": "WARNING ", "reused": "not run again: ", "answer": "answered with "}


@dataclass(frozen=True)
class Note:
    """One sentence that a reader of the numbers must know.

    Parameters
    ----------
    text
        The sentence.
    level
        ``info``; ``warning``: the numbers are weaker than they look, so the terminal says it too; ``reused``: the
        prediction is another trial's; ``answer``: the output that was returned in place of the one asked for.
    """

    text: str
    level: Level = "info"

    def __str__(self) -> str:
        return _BEGINNINGS.get(self.level, "") + self.text

    @classmethod
    def read(cls, text: str) -> Note:
        """The note that is written as ``text``."""
        for level, beginning in _BEGINNINGS.items():
            if text.startswith(beginning):
                return cls(text[len(beginning) :], level)
        return cls(text)


#: Of a row made from an embedding of which nobody has said what its model was trained on.
UNTOLD = Note(
    "nobody has said what its embedding was pre-trained on, which may be these cells "
    "(bench data add --embedding KEY=NAMES)",
    "warning",
)
#: Of a method that learned from the dataset before the trial: from its tested cells, or from other donors only.
SEEN = Note("the method was trained on this dataset before: its tested cells are not new to it")
SEEN_OTHERS = Note("the method was trained on other donors of this dataset before, not on the tested ones")


@dataclass(frozen=True)
class Problem:
    """Inputs and their hidden solution.

    Parameters
    ----------
    inputs
        What is written to disk for the method.
    solution
        The truth: one row per cell of ``inputs.cells``, same index and order.
    notes
        What was done to the dataset that a reader of the report must know (cells left out, fall-backs): sentences, and
        a :class:`Note` for a warning.
    rounds
        The masking rounds of a method that gets the same cells several times, each time with other entries masked
        (``Inputs.query``); the first is ``inputs``. By default ``inputs`` alone.
    truth
        Hidden cells x genes matrices by name, in the order of ``inputs.cells``.
    """

    inputs: Inputs
    solution: pd.DataFrame
    notes: tuple[str | Note, ...] = ()
    rounds: Sequence[Inputs] = ()
    truth: Mapping[str, csr_matrix] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.solution.index.equals(self.inputs.cells.obs.index):
            raise ValueError("solution and inputs.cells must have the same cells in the same order")
        for name, matrix in self.truth.items():
            if matrix.shape != self.inputs.cells.X.shape:
                raise ValueError(f"truth {name!r} is {matrix.shape}, inputs.cells.X is {self.inputs.cells.X.shape}")
        if not self.rounds:
            object.__setattr__(self, "rounds", (self.inputs,))

    @cached_property
    def asked(self) -> csr_matrix | None:
        """The entries of expression that some masking round masks (boolean, cells x genes); None: all are predicted."""
        union = self.inputs.query
        if union is None:
            return None
        for inputs in self.rounds[1:]:
            union = union + inputs.query
        union.sort_indices()
        return union


@dataclass(frozen=True)
class Output:
    """One named array a method must (or may) return.

    Parameters
    ----------
    name
        Key in the prediction.
    kind
        ``float`` (finite), ``bool`` or ``label`` (strings), one entry per cell; ``matrix`` (finite), one row per cell;
        ``expression``: ln(1 + counts per 10,000), cells x genes as in ``inputs.cells``. What is scored of it are the
        entries that the rounds mask, as a sparse matrix with that pattern; without masks everything, as
        an object with ``shape`` that gives float32 blocks of rows by slice or index.
    required
        Whether it may be left out.
    low, high
        Allowed range of floats.
    columns
        Of a matrix: the entry of ``inputs.info`` that lists the names of its columns, in order; empty: as many columns
        as the method likes, one at least.
    instead_of
        The required output that this one may take the place of: a prediction has one of the two.
    """

    name: str
    kind: Literal["float", "bool", "label", "matrix", "expression"]
    summary: str
    required: bool = True
    low: float | None = None
    high: float | None = None
    columns: str = ""
    instead_of: str = ""


@dataclass(frozen=True)
class Score:
    """One metric value.

    Parameters
    ----------
    metric
        Name of a :class:`bench.task.Metric` of the task.
    value
        The value; NaN where the metric is undefined (``detail`` says why).
    unit
        What it was computed on: ``pooled``, ``donor:<name>``, ``heterotypic``, ...
    ci_low, ci_high
        Bounds of the 95 % confidence interval, where one was computed.
    n
        Number of cells behind the value.
    detail
        Why the value is missing, or what qualifies it.
    """

    metric: str
    value: float
    unit: str = "pooled"
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Curve:
    """A curve of the report (precision-recall, ROC, identification rate): plain x/y pairs."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Scored:
    """Result of :meth:`bench.task.Task.score`.

    ``tables`` are further results that the report draws or that a reader may want to recompute from, by name.
    """

    scores: list[Score]
    curves: list[Curve] = field(default_factory=list)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
