"""Differential expression in the form that the page carries: thinned where a plot cannot show the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.reports.deg import tables as deg_tables
from bench.reports.run import tables
from bench.reports.run.load import Run

#: Genes of all volcano plots, and points of all curves, in the HTML.
GENES_BUDGET = 36_000
CURVE_BUDGET = 30_000
_MOST_GENES = 500
#: -log10 P of a P value that the computer rounds to 0.
_LOWEST = 310.0


def frames(run: Run, task: str) -> dict[str, pd.DataFrame]:
    """The tables that the page draws from, by name; those that no trial has are absent."""
    overlap, subsets = deg_tables.overlap(run, task), deg_tables.subsets(run, task)
    plain = {name: deg_tables.plain(run, task, name) for name in deg_tables.PLAIN}
    by_name = {
        "overlap": overlap.drop(columns=["trial"]).round(9),
        "boxes": deg_tables.boxes(subsets).round(9),
        "null": deg_tables.false_positives(run, task).astype({"above": "int64"})
        if len(plain["null"])
        else plain["null"],
        "qq": thinned(plain["qq"].fillna({"kind": ""}), ["cell_type", "kind"], "expected"),
        "truth": plain["truth"].round(9),
        "truthPooled": deg_tables.truth_pooled(plain["truth"]).round(9),
        "pr": thinned(plain["pr"], ["cell_type"], "recall"),
        "pseudobulk": plain["pseudobulk"],
        "leftOut": plain["left_out"],
        "halves": plain["halves"].round(9),
        "donorTests": deg_tables.donor_tests(run, task).round(9),
    }
    return {name: frame.drop(columns=["trial"], errors="ignore") for name, frame in by_name.items() if len(frame)}


def thinned(frame: pd.DataFrame, within: list[str], along: str) -> pd.DataFrame:
    """At most a share of :data:`CURVE_BUDGET` points of each curve: evenly spaced along it, both ends kept."""
    keys = ["track", "dataset", "label", *within]
    if frame.empty:
        return frame
    ordered = frame.sort_values([*keys, along], kind="stable").reset_index(drop=True)
    curves = ordered.groupby(keys, sort=False)
    place, size = curves.cumcount().to_numpy(), curves[along].transform("size").to_numpy()
    limit = max(12, CURVE_BUDGET // curves.ngroups)
    step = np.maximum((size - 1) / (limit - 1), 1.0)
    next_step = np.floor(place / step) != np.floor((place - 1) / step)
    return ordered[next_step | (place == size - 1)].round(4)


def volcanoes(run: Run, task: str) -> list[dict[str, Any]]:
    """Per (track, dataset) the genes of each label and cell type.

    Returns
    -------
    Entries of ``track, dataset, genes`` (names) and ``plots``: label -> cell type -> ``gene`` (place in ``genes``),
    ``fc`` (log2 fold change in thousandths), ``p`` (-log10 P in hundredths), ``pct1, pct2`` (per cent), ``called,
    true`` (0, 1; -1 unknown), and of all genes in the table ``tested, up, down``.
    """
    frame = deg_tables.volcano(run, task)
    keys = ["track", "dataset", "label", "cell_type"]
    limit = min(_MOST_GENES, GENES_BUDGET // max(1, len(frame.drop_duplicates(keys))))
    entries = []
    for track, dataset in tables.pairs(run, task):
        pair_genes = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        if pair_genes.empty:
            continue
        parts = {key: _most_telling(part, limit) for key, part in pair_genes.groupby(["label", "cell_type"], sort=True)}
        genes = sorted({gene for part in parts.values() for gene in part["gene"]})
        place = {gene: i for i, gene in enumerate(genes)}
        plots: dict[str, dict[str, Any]] = {}
        for (label, cell_type), part in parts.items():
            whole = pair_genes[(pair_genes["label"] == label) & (pair_genes["cell_type"] == cell_type)]
            plots.setdefault(label, {})[cell_type] = {**_columns(part, place), **_counts(whole)}
        entries.append({"track": track, "dataset": dataset, "genes": genes, "plots": plots})
    return entries


def _most_telling(part: pd.DataFrame, limit: int) -> pd.DataFrame:
    """The genes with the smallest P and a random sample of the others, for the shape of the cloud."""
    part = part[part["p_val"].notna() & part["avg_log2FC"].notna()].sort_values("p_val", kind="stable")
    first = part.iloc[: max(1, limit * 2 // 3)]
    others = part.iloc[len(first) :]
    return pd.concat([first, others.sample(min(limit - len(first), len(others)), random_state=0)])


def _columns(part: pd.DataFrame, place: dict[str, int]) -> dict[str, list[int]]:
    strength = -np.log10(part["p_val"].to_numpy(float).clip(10**-300, 1))
    strength = np.where(part["p_val"].to_numpy(float) <= 10**-300, _LOWEST, strength)
    return {
        "gene": [place[gene] for gene in part["gene"]],
        "fc": _whole(1000 * part["avg_log2FC"]),
        "p": _whole(pd.Series(100 * strength)),
        "pct1": _whole(100 * part["pct_1"]),
        "pct2": _whole(100 * part["pct_2"]),
        "called": part["called"].astype(int).tolist(),
        "true": part["is_true"].astype("Int64").fillna(-1).astype(int).tolist(),
    }


def _whole(values: pd.Series) -> list[int]:
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return np.rint(np.nan_to_num(numbers, posinf=99_000, neginf=-99_000)).astype(int).tolist()


def _counts(whole: pd.DataFrame) -> dict[str, int]:
    called = whole[whole["called"]]
    up = int((called["avg_log2FC"] > 0).sum())
    return {"tested": len(whole), "up": up, "down": len(called) - up}
