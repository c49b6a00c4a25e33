"""The tests of donors side by side, on the counts as they are: a row a test and cell type, against what is known."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.tasks.deg.donor_tests import DONOR_TESTS
from bench.tasks.deg.problem import DegProblem
from bench.tasks.deg.pseudobulk import pseudobulk
from bench.tasks.deg.truth import against_truth, directions, ranked, true_effects

if TYPE_CHECKING:
    from bench.problem import Problem

#: The row of the test of cells, for comparison.
OF_CELLS = "mast"
#: Row over all cell types.
POOLED = "all"
_SCORES = ("precision", "recall", "fdr", "auprc")


def compare_tests(problem: Problem) -> pd.DataFrame:
    """A row a test and cell type, and one over all of them.

    Returns
    -------
    ``test, unit`` (donors, cells)``, packages`` (with versions and licences)``, cell_type, n_tested, n_called``, where
    the disease's genes are known ``n_true, n_right, precision, recall, fdr`` and ``auprc``, and ``reason`` (why a type
    was not tested). Over all types the counts are added up, and ``auprc`` is the mean.
    """
    assert isinstance(problem, DegProblem)
    inputs, genes = problem.inputs, problem.inputs.cells.var.index
    truth = true_effects(problem, genes)
    cells = problem.raw.deg
    tables = [_rows(OF_CELLS, "cells", "", cells, truth, {})]
    for name, test in DONOR_TESTS.items():
        found = pseudobulk(inputs.cells.X, problem.solution, genes, name)
        packages = [f"{p} {'' if test.missing else version(p)} ({licence})" for p, licence in test.packages.items()]
        table = found.table.rename(columns={"log2fc": "avg_log2FC"})
        tables.append(_rows(name, "donors", ", ".join(packages), table, truth, found.left_out))
    return pd.concat(tables, ignore_index=True)


def _rows(
    name: str, unit: str, packages: str, table: pd.DataFrame, truth: pd.DataFrame | None, left_out: dict[str, str]
) -> pd.DataFrame:
    types = sorted(table["cell_type"].unique())
    called = directions(table).ne(0).groupby(table["cell_type"]).agg(["size", "sum"]).reindex(types)
    rows = pd.DataFrame(
        {"cell_type": types, "n_tested": called["size"].to_numpy(), "n_called": called["sum"].to_numpy()}
    )
    rows["reason"] = ""
    if truth is not None and len(types):
        right = against_truth(table, truth, types)
        right = right[right["direction"] == "both"].set_index("cell_type").loc[types]
        rows = rows.assign(**{column: right[column].to_numpy() for column in ("n_true", "n_right", *_SCORES[:3])})
        rows["auprc"] = [
            _auprc(table[table["cell_type"] == t], truth.loc[truth["cell_type"] == t, "gene"]) for t in types
        ]
    missing = pd.DataFrame({"cell_type": list(left_out), "reason": list(left_out.values())})
    parts = [_pooled(rows), rows, missing]
    joined = pd.concat([part for part in parts if len(part)], ignore_index=True)
    joined = joined.reindex(columns=["cell_type", "n_tested", "n_called", "n_true", "n_right", *_SCORES, "reason"])
    numbers = joined.columns[1:-1]
    joined[numbers] = joined[numbers].astype(float)
    for place, (column, value) in enumerate({"test": name, "unit": unit, "packages": packages}.items()):
        joined.insert(place, column, value)
    return joined


def _pooled(rows: pd.DataFrame) -> pd.DataFrame:
    sums = rows.drop(columns=["cell_type", "reason", *_SCORES], errors="ignore").sum()
    row = {"cell_type": POOLED, **sums, "reason": "" if len(rows) else "no cell type could be tested"}
    if "n_true" in rows:
        precision = sums["n_right"] / sums["n_called"] if sums["n_called"] else np.nan
        recall = sums["n_right"] / sums["n_true"] if sums["n_true"] else np.nan
        row |= {"precision": precision, "recall": recall, "fdr": 1 - precision, "auprc": rows["auprc"].mean()}
    return pd.DataFrame([row])


def _auprc(table: pd.DataFrame, true: pd.Series) -> float:
    tested = table.dropna(subset=["p_val"])
    is_true = tested["gene"].isin(set(true)).to_numpy()
    return ranked(tested["p_val"].to_numpy(float), tested["avg_log2FC"].to_numpy(float), is_true, len(true))[2]
