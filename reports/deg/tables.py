"""Reproducibility, calibration and truth of the differentially expressed genes (DEGs), as tidy frames.

What cannot be averaged (P values, subsets) is of each method's first seeds throughout.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.reports.run import scored
from bench.reports.run.load import Run
from bench.results.store import Store

#: -log10 P is shown up to here, as in the scMamba paper's Fig. 7a.
CAP = 20.0
#: The two tests that the heat map can show: column of ``overlap`` and what it is called.
TESTS = {"p_corrected": "corrected", "p_paper": "the paper's"}
#: Which genes are called DEGs in the volcano plots (Seurat's adjusted P, and |log2 fold change|), as in the paper.
ALPHA, LEAST_LOG2FC = 0.05, 0.25
WHY_CORRECTED = (
    "The paper compares overlaps by a paired t-test over its random subsamples. These share most of their cells, so "
    "they are no independent replicates: more permutations make that P as small as one likes without any new cell. The "
    "corrected P widens the variance by the share of cells that subsamples have in common."
)

CASE = ["track", "dataset", "label", "role", "cell_type", "direction"]
_STRINGS = {"cell_type": "string", "direction": "string"}
_OVERLAP = dict.fromkeys(
    ("ratio", "mean", "sd", "n", "mean_raw", "sd_raw", *TESTS, "n_deg_full", "n_case", "n_control"), "float64"
)
_SUBSETS = {**_STRINGS, "subset": "string", "overlap": "float64", "overlap_raw": "float64", "n_cells": "float64"}
_TRUTH = dict.fromkeys(("n_true", "n_called", "precision", "recall", "fdr"), "float64")
_HALVES = ("n_deg_1", "n_deg_2", "n_common", "found", "floor", "overlap", "overlap_raw", "low", "high", "ceiling")
_VOLCANO = {
    "cell_type": "string", "gene": "string", "avg_log2FC": "float64", "p_val": "float64", "p_val_adj": "float64",
    "pct_1": "float64", "pct_2": "float64", "is_true": "boolean",
}  # fmt: skip
#: Interval over donors of the difference between with and without imputation.
_DONORS = {"diff_low": "float64", "diff_high": "float64"}
#: Table -> columns that it may have besides.
_MORE = {"qq": {"kind": "string"}, "pseudobulk": {"direction": "string"}}
#: Table -> its columns, where it is shown as scoring made it.
PLAIN = {
    "null": {"cell_type": "string", "kind": "string", "alpha": "float64", "fpr": "float64"},
    "qq": {"cell_type": "string", "expected": "float64", "observed": "float64"},
    "truth": {**_STRINGS, **_TRUTH},
    "pr": {"cell_type": "string", "precision": "float64", "recall": "float64"},
    "pseudobulk": {"cell_type": "string", **dict.fromkeys(("n_mast", "n_pseudobulk", "n_both"), "float64")},
    "left_out": {"cell_type": "string", "reason": "string"},
    "halves": {"cell_type": "string", **dict.fromkeys(_HALVES, "float64")},
}


def plain(run: Run, task: str, name: str) -> pd.DataFrame:
    """A table of :data:`PLAIN`, of each method's first seeds."""
    trials = scored.first_seeds(scored.finished(run, task))
    return scored.table(run, name, trials, PLAIN[name], _MORE.get(name))


def overlap(run: Run, task: str) -> pd.DataFrame:
    """Overlap of the DEGs of part of the cells with those of all, and its comparison with no imputation.

    Returns
    -------
    The columns of the table ``overlap``, and ``paper`` and ``corrected``: -log10 P capped at :data:`CAP`, negative
    where imputation lowers the overlap, missing where it is undefined.
    """
    trials = scored.first_seeds(scored.finished(run, task))
    frame = scored.table(run, "overlap", trials, {**_STRINGS, **_OVERLAP}, _DONORS)
    sign = np.sign(frame["mean"].astype(float) - frame["mean_raw"].astype(float))
    for column in TESTS:
        p = frame[column].astype(float)
        frame[column.removeprefix("p_")] = sign * -np.log10(p.clip(lower=10**-CAP, upper=1.0))
    return frame


def subsets(run: Run, task: str) -> pd.DataFrame:
    """Overlap of every subset of patients: a row a subset, cell type, direction and method."""
    return scored.table(run, "subsets", scored.first_seeds(scored.finished(run, task)), _SUBSETS)


def boxes(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute the boxes of the subsets, those without imputation as label ``raw``.

    Returns
    -------
    :data:`CASE`, ``low, q1, median, q3, high`` (whiskers: the last value within 1.5 quartile distances), ``mean``,
    ``n`` (subsets in which the overlap is defined), ``subsets`` and ``cells`` (median of a subset).
    """
    imputed = frame["overlap"].astype(float) != frame["overlap_raw"].astype(float)
    own = frame[imputed.groupby(frame["label"]).transform("any")] if len(frame) else frame
    raw = frame.drop_duplicates(["track", "dataset", "cell_type", "direction", "subset"])
    raw = raw.assign(overlap=raw["overlap_raw"], label="raw", role="raw")
    rows = []
    for key, part in pd.concat([raw, own]).groupby(CASE, sort=True):
        values = part["overlap"].dropna().to_numpy(float)
        rows.append([*key, *_five(values), len(values), len(part), part["n_cells"].median()])
    names = ["low", "q1", "median", "q3", "high", "mean", "n", "subsets", "cells"]
    return pd.DataFrame(rows, columns=[*CASE, *names])


def _five(values: np.ndarray) -> list[float]:
    if not len(values):
        return [np.nan] * 6
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    return [inside.min(), q1, median, q3, inside.max(), values.mean()]


def false_positives(run: Run, task: str) -> pd.DataFrame:
    """Share of genes called on null data, by cell type, with ``above``: whether it exceeds its alpha."""
    frame = plain(run, task, "null")
    return frame.assign(above=frame["fpr"].astype(float) > frame["alpha"].astype(float))


def donor_tests(run: Run, task: str) -> pd.DataFrame:
    """The tests of donors on the counts of each dataset: what its problems keep in the table ``donor_tests``.

    Returns
    -------
    Columns of that table after ``track, dataset, label, role`` (empty label and role: it is of no method), once a
    dataset.
    """
    store, frames = Store(run.folder), []
    for dataset, trials in scored.finished(run, task).groupby("dataset", sort=True):
        problems = dict.fromkeys(run.trials[str(key)].spec.problem for key in trials["trial"])
        kept = (store.problem_table(problem, "donor_tests") for problem in problems)
        frame = next((table for table in kept if table is not None), None)
        if frame is not None:
            frames.append(frame.assign(track="", dataset=dataset, label="", role=""))
    return (
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["track", "dataset", "label", "role"])
    )


def truth_pooled(frame: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall and FDR over all cell types and directions together: the counts are added up first."""
    hits = (frame["recall"].astype(float) * frame["n_true"].astype(float)).fillna(0.0)
    pooled = frame.assign(hits=hits).groupby(["track", "dataset", "label", "role"], sort=True)
    sums = pooled[["n_true", "n_called", "hits"]].sum().astype(float)
    sums["precision"] = sums["hits"] / sums["n_called"].where(sums["n_called"] > 0)
    sums["recall"] = sums["hits"] / sums["n_true"].where(sums["n_true"] > 0)
    sums["fdr"] = 1 - sums["precision"]
    return sums.drop(columns="hits").reset_index()


def volcano(run: Run, task: str) -> pd.DataFrame:
    """Tested genes, by symbol where there is one, with ``called``: whether it counts as a DEG."""
    trials = scored.first_seeds(scored.finished(run, task))
    frame = scored.table(run, "volcano", trials, _VOLCANO, {"symbol": "string"})
    strong = frame["avg_log2FC"].astype(float).abs() > LEAST_LOG2FC
    symbol = frame["symbol"].fillna("")
    frame = frame.assign(gene=symbol.where(symbol != "", frame["gene"])).drop(columns="symbol")
    return frame.assign(called=(frame["p_val_adj"].astype(float) < ALPHA) & strong)
