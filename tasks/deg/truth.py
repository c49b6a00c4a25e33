"""DEGs against what is known: the genes that the disease changes, and a test of donors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.tasks.deg.compare import DIRECTIONS
from bench.tasks.deg.markers import ALPHA, MIN_LOG2FC
from bench.tasks.deg.problem import EFFECT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Problem

#: Points of a precision-recall curve of one cell type.
_PR_POINTS = 200


def directions(deg: pd.DataFrame) -> pd.Series:
    """1 and -1 of genes that are differentially expressed in the full data, up and down, else 0."""
    significant = (deg["p_val_adj"] < ALPHA) & (deg["avg_log2FC"].abs() > MIN_LOG2FC)
    return np.sign(deg["avg_log2FC"]).where(significant, 0.0).astype(int)


def true_effects(problem: Problem, genes: pd.Index) -> pd.DataFrame | None:
    """``cell_type, gene, effect`` (log2 fold change): the genes that change; None where nobody knows."""
    if EFFECT not in problem.truth:
        return None
    solution, effect = problem.solution.reset_index(drop=True), problem.truth[EFFECT]
    case = solution[(solution["arm"] == "case") & (solution["cell_type"] != "")]
    tables = []
    for name, rows in case.groupby("cell_type").groups.items():
        row = effect[rows[0]]
        changed = row.indices[row.data != 0]
        values = row.data[row.data != 0]
        tables.append(pd.DataFrame({"cell_type": name, "gene": genes[changed], "effect": values}))
    return pd.concat(tables, ignore_index=True)


def against_truth(deg: pd.DataFrame, truth: pd.DataFrame, cell_types: list[str]) -> pd.DataFrame:
    """``cell_type, direction, n_true, n_called, n_right, precision, recall, fdr`` of the DEGs of the full data.

    A call is right if the disease changes the gene in this type and direction. NaN where there is nothing to take a
    share of.
    """
    called = deg.assign(sign=directions(deg)).merge(truth, on=["cell_type", "gene"], how="left")
    called["effect"] = called["effect"].fillna(0.0)
    rows = []
    for name in cell_types:
        of_type, true = called[called["cell_type"] == name], truth[truth["cell_type"] == name]
        for direction, signs in DIRECTIONS.items():
            n_called, n_true = int(of_type["sign"].isin(signs).sum()), int(np.sign(true["effect"]).isin(signs).sum())
            right = int((of_type["sign"].isin(signs) & (of_type["sign"] == np.sign(of_type["effect"]))).sum())
            precision = right / n_called if n_called else np.nan
            rows.append(
                {
                    "cell_type": name,
                    "direction": direction,
                    "n_true": n_true,
                    "n_called": n_called,
                    "n_right": right,
                    "precision": precision,
                    "recall": right / n_true if n_true else np.nan,
                    "fdr": 1 - precision,
                }
            )
    return pd.DataFrame(rows)


def precision_recall(deg: pd.DataFrame, truth: pd.DataFrame, cell_type: str) -> tuple[pd.DataFrame, float]:
    """Precision and recall as more and more genes are called, smallest p first; and the average precision.

    Untested genes are called never. A gene changed by the disease counts in whichever direction it is called.
    """
    of_type = deg[deg["cell_type"] == cell_type]
    true = set(truth.loc[truth["cell_type"] == cell_type, "gene"])
    p, change, is_true = of_type["p_val"], of_type["avg_log2FC"], of_type["gene"].isin(true)
    precision, recall, average = ranked(p.to_numpy(), change.to_numpy(), is_true.to_numpy(), len(true))
    if not len(precision) or not true:
        return pd.DataFrame({"cell_type": [], "recall": [], "precision": []}), average
    points = _thinned(len(precision))
    table = {"cell_type": cell_type, "recall": recall[points], "precision": precision[points]}
    return pd.DataFrame(table), average


def ranked(
    p: NDArray[np.floating], log2fc: NDArray[np.floating], is_true: NDArray[np.bool_], n_true: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Precision and recall when the first 1, 2, ... genes are called, smallest p first; and the average precision.

    Of equal p the larger change comes first. The average is over all true genes, tested or not; NaN without any.
    """
    hit = is_true[np.lexsort((-np.abs(log2fc), p))]
    right = np.cumsum(hit)
    precision, recall = right / np.arange(1, len(right) + 1), right / max(n_true, 1)
    return precision, recall, float(precision[hit].sum() / n_true) if n_true else float("nan")


def _thinned(n: int) -> NDArray[np.intp]:
    return np.unique(np.round(np.geomspace(1, n, _PR_POINTS)).astype(int)) - 1


def against_pseudobulk(deg: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """``cell_type, direction, n_mast, n_pseudobulk, n_both`` of the types that the test of donors could test."""
    mast = deg.assign(sign=directions(deg))
    both = mast.merge(reference[["cell_type", "gene", "direction"]], on=["cell_type", "gene"])
    rows = []
    for name in sorted(reference["cell_type"].unique()):
        bulk_sign = reference.loc[reference["cell_type"] == name, "direction"]
        mast_sign, shared = mast.loc[mast["cell_type"] == name, "sign"], both[both["cell_type"] == name]
        for direction, signs in DIRECTIONS.items():
            agreed = shared["sign"].isin(signs) & (shared["sign"] == shared["direction"])
            rows.append(
                {
                    "cell_type": name,
                    "direction": direction,
                    "n_mast": int(mast_sign.isin(signs).sum()),
                    "n_pseudobulk": int(bulk_sign.isin(signs).sum()),
                    "n_both": int(agreed.sum()),
                }
            )
    return pd.DataFrame(rows, columns=["cell_type", "direction", "n_mast", "n_pseudobulk", "n_both"])
