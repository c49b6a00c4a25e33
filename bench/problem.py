"""What a task makes from a dataset: inputs the method sees, and a solution it never does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_matrix

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

#: A prediction: named arrays, one entry (or row) per cell, in the order of the inputs.
Prediction = Mapping[str, "ArrayLike"]


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
    """

    X: csr_matrix
    obs: pd.DataFrame
    var: pd.DataFrame

    def __post_init__(self) -> None:
        if self.X.shape != (len(self.obs), len(self.var)):
            raise ValueError(f"X is {self.X.shape}, obs has {len(self.obs)} cells and var {len(self.var)} genes")

    def take(self, rows: np.ndarray) -> Cells:
        """The cells at integer positions (or a boolean mask) ``rows``, in that order."""
        return Cells(self.X[rows], self.obs.iloc[rows], self.var)


@dataclass(frozen=True)
class Inputs:
    """Everything a method may look at.

    Parameters
    ----------
    cells
        The cells to be answered for.
    train
        Cells of other donors, whose ``obs`` carries the labels a supervised method may learn from.
    info
        Plain facts of the protocol (JSON), never derived from the hidden truth.
    """

    cells: Cells
    train: Cells | None = None
    info: Mapping[str, Json] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> Inputs:
        """The same inputs with only the cells at ``rows`` to be answered for."""
        return replace(self, cells=self.cells.take(rows))


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
        What was done to the dataset that a reader of the report must know (cells left out, fall-backs).
    """

    inputs: Inputs
    solution: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.solution.index.equals(self.inputs.cells.obs.index):
            raise ValueError("solution and inputs.cells must have the same cells in the same order")


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
    """What :meth:`bench.task.Task.score` returns."""

    scores: list[Score]
    curves: list[Curve] = field(default_factory=list)
