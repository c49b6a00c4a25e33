"""Agreement of a method's answers at two levels: a finer answer should lie within the coarser one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from bench.labels import agreement, ratio
from bench.reports.classes import confusion
from bench.reports.classes import tables as class_tables
from bench.reports.run import scored, tables
from bench.reports.run.load import Run, once
from bench.results.records import TrialRecord
from bench.results.store import Store
from bench.stats import donor_weights, percentile_interval

COLUMNS = ["dataset", "label", "coarse", "fine", "consistent", "ci_low", "ci_high", "cells", "donors", "splits"]
N_BOOT = 500
#: Split and simulation seed.
_Split = tuple[int, int]


@once
def consistency(run: Run, task: str) -> pd.DataFrame:
    """Share of cells whose finer answer lies within the coarser one, for each two levels of a dataset and method.

    All splits count (with ``-lodo`` tracks every donor does), of each the first method seed. A cell tested in several
    splits counts in each, but is one cell when donors, then cells, are resampled for the 95 % interval. Cells without
    an answer at either level are left out.

    Returns
    -------
    :data:`COLUMNS`; ``cells`` and ``donors`` are those tested at least once. A track's variants (``-lodo``) are
    compared among themselves. Empty for a task that is not scored by class, or with one level.
    """
    classes = class_tables.table(run, task)
    if classes.empty:
        return pd.DataFrame(columns=COLUMNS)
    records = _records(run, task)
    parts = []
    for (coarse, dataset), (fine, other) in combinations(tables.pairs(run, task), 2):
        if dataset == other and coarse.partition("-")[2] == fine.partition("-")[2]:
            parents = _parents(classes, dataset, coarse, fine)
            up, down = records.get((coarse, dataset), {}), records.get((fine, dataset), {})
            by_label = {label: _cells(run, up[label], down[label], parents) for label in up if label in down}
            parts.append(_shares(by_label).assign(dataset=dataset, coarse=coarse, fine=fine))
    table = pd.concat(parts) if parts else pd.DataFrame(columns=COLUMNS)
    return table[COLUMNS].sort_values(["dataset", "coarse", "fine", "label"], ignore_index=True)


def _records(run: Run, task: str) -> dict[tuple[str, str], dict[str, dict[_Split, TrialRecord]]]:
    """(track, dataset) -> method -> split -> its first trial there."""
    records: dict[tuple[str, str], dict[str, dict[_Split, TrialRecord]]] = {}
    trials = scored.finished(run, task)
    for row in trials[trials["role"] == "method"].itertuples(index=False):
        record = run.trials[str(row.trial)]
        split = (record.spec.seeds.split, record.spec.seeds.simulation)
        records.setdefault((str(row.track), str(row.dataset)), {}).setdefault(str(row.label), {}).setdefault(
            split, record
        )
    return records


def _parents(classes: pd.DataFrame, dataset: str, coarse: str, fine: str) -> dict[str, str]:
    """Finer class -> the coarser class it lies in."""
    above = set(classes.loc[(classes["track"] == coarse) & (classes["dataset"] == dataset), "class"])
    finer_classes = classes[(classes["track"] == fine) & (classes["dataset"] == dataset)].drop_duplicates("class")
    lineages = zip(finer_classes["class"], finer_classes["lineage"], strict=True)
    return {
        name: next((p for p in reversed(line.split(class_tables.WITHIN)) if p in above), "") for name, line in lineages
    }


def _cells(
    run: Run, up: dict[_Split, TrialRecord], down: dict[_Split, TrialRecord], parents: dict[str, str]
) -> pd.DataFrame:
    """Of one method, by cell: ``donor``, in how many splits its answers agree, and in how many they can be compared."""
    parts = []
    for split in up.keys() & down.keys():
        coarse, fine = confusion.answers(run.folder, up[split]), confusion.answers(run.folder, down[split])
        solution = Store(run.folder).solution(down[split].spec.problem)
        if coarse is None or fine is None or solution is None:
            continue
        shared = fine.index.intersection(coarse.index)
        a, b = coarse.loc[shared, "answer"], fine.loc[shared, "answer"]
        comparable = b.isin(parents) & a.isin(set(parents.values()))
        agrees = agreement(a[comparable].to_numpy(object), b[comparable].to_numpy(object), parents)
        donor = solution["donor"].astype(str) if "donor" in solution else pd.Series("", index=solution.index)
        parts.append(
            pd.DataFrame({"donor": donor.loc[a.index[comparable]], "agree": agrees, "n": 1.0, "split": str(split)})
        )
    joined = pd.concat(parts) if parts else pd.DataFrame(columns=["donor", "agree", "n", "split"])
    cells = joined.groupby(level=0).agg(donor=("donor", "first"), agree=("agree", "sum"), n=("n", "sum"))
    cells.attrs["splits"] = joined["split"].nunique()
    return cells


def _shares(by_label: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of :data:`COLUMNS` without the levels; the same resamples for all methods."""
    by_label = {label: cells for label, cells in by_label.items() if len(cells)}
    if not by_label:
        return pd.DataFrame(columns=COLUMNS)
    donor = pd.concat([cells["donor"] for cells in by_label.values()]).groupby(level=0).first()
    agree, n = (
        np.column_stack([cells[name].reindex(donor.index, fill_value=0.0) for cells in by_label.values()]).astype(float)
        for name in ("agree", "n")
    )
    blocks = donor_weights(donor.to_numpy(), N_BOOT, np.random.default_rng(0))
    draws = np.concatenate([ratio(weights @ agree, weights @ n) for weights in blocks])
    limits = [interval or (np.nan, np.nan) for interval in percentile_interval(draws)]
    return pd.DataFrame(
        {
            "label": list(by_label),
            "consistent": ratio(agree.sum(axis=0), n.sum(axis=0)),
            "ci_low": [low for low, _ in limits],
            "ci_high": [high for _, high in limits],
            "cells": [len(cells) for cells in by_label.values()],
            "donors": [cells["donor"].nunique() for cells in by_label.values()],
            "splits": [cells.attrs["splits"] for cells in by_label.values()],
        }
    )
