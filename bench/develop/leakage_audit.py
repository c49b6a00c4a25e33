"""The leakage audit: nothing a method is given may depend on the truth it is asked for.

Where the inputs can be built again with the hidden truth scrambled, they must come out byte for byte the same. Where
the input matrix is itself made from the truth (simulated doublets), the order and the names of the cells and the
``obs`` columns shown must not tell it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.dataset import Dataset
from bench.errors import NotApplicableError
from bench.exchange.files import permutation, read_inputs, round_folders, write_inputs, write_rounds
from bench.plan.registry import Registry
from bench.problem import Problem
from bench.seeds import derive_seed
from bench.task import Seeds, Task

#: Smallest p-value of an association between what is shown and the truth that still passes. Deterministic inputs
#: are tested a few times each, so a false alarm is rare and a real leak (order, names, labels) is far below it.
ALPHA = 1e-6


@dataclass(frozen=True)
class Finding:
    """Result of the audit of one (dataset, track).

    Parameters
    ----------
    status
        ``pass``, ``leak`` or ``not_applicable``.
    how
        ``identical bytes`` or ``order, names and columns``.
    """

    dataset: str
    track: str
    status: str
    how: str
    detail: str = ""


def audit(
    registry: Registry, task: Task, tracks: Sequence[str], datasets: Sequence[str], seeds: Seeds
) -> Iterator[Finding]:
    """Audit every (dataset, track) that ``task`` serves."""
    for name in datasets:
        source = registry.dataset(name)
        served = [track for track in tracks if task.why_not(source.card, track) is None]
        if not served:
            continue
        dataset = registry.load(name)
        for track in served:
            try:
                yield audit_one(task, dataset, track, seeds)
            except NotApplicableError as error:
                yield Finding(name, track, "not_applicable", "", str(error))


def audit_one(task: Task, dataset: Dataset, track: str, seeds: Seeds) -> Finding:
    """Audit one track on one dataset."""
    name = dataset.card.name
    problem = task.make_problem(dataset, track, seeds)
    rng = np.random.default_rng(derive_seed("audit", name, track, seeds.split, seeds.simulation))
    scrambled = task.scramble(dataset, track, seeds, rng)
    if scrambled is None:
        leaks = _associations(problem)
        return Finding(name, track, "leak" if leaks else "pass", "order, names and columns", "; ".join(leaks))
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as scratch:
        first = input_digests(problem, Path(scratch) / "first")
        several = not isinstance(scrambled, Dataset)
        scrambles = [scrambled] if isinstance(scrambled, Dataset) else scrambled
        for k, changed in enumerate(scrambles):
            other = task.make_problem(changed, track, seeds)
            if _same_truth(problem, other):
                detail = "scrambling left the solution as it was: nothing tested"
                return Finding(name, track, "leak", "identical bytes", detail)
            second = input_digests(other, Path(scratch) / f"look_{k}")
            # A round's own masked entries are visible in the other rounds, so each is compared alone.
            pairs = [(first[k], second[k])] if several else list(zip(first, second, strict=True))
            differing = sorted({f for a, b in pairs for f in a.keys() | b.keys() if a.get(f) != b.get(f)})
            if differing:
                where = f" (masking round {k + 1})" if several else ""
                detail = f"these input files change with the hidden truth{where}: {', '.join(differing)}"
                return Finding(name, track, "leak", "identical bytes", detail)
    if several and k + 1 != len(first):
        detail = f"{k + 1} of {len(first)} masking rounds were scrambled: the others were not tested"
        return Finding(name, track, "leak", "identical bytes", detail)
    return Finding(name, track, "pass", "identical bytes")


def _same_truth(a: Problem, b: Problem) -> bool:
    same = (
        a.truth[name].shape == b.truth[name].shape and (a.truth[name] != b.truth[name]).nnz == 0 for name in a.truth
    )
    return a.solution.equals(b.solution) and all(same)


def input_digests(problem: Problem, folder: Path) -> list[dict[str, str]]:
    """sha256 of every file that a method would be given, by name, for each masking round."""
    write_rounds(problem.rounds, folder, "audit")
    return [
        {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(part.iterdir())}
        for part in round_folders(folder)
    ]


def _associations(problem: Problem) -> list[str]:
    """List what a method is shown, besides the counts, that tells the truth."""
    n = len(problem.solution)
    order = permutation(n, "audit")
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as scratch:
        write_inputs(problem.inputs, Path(scratch), "audit")
        visible = read_inputs(Path(scratch)).cells.obs
    leaks, tested = [], 0
    for column in problem.solution.columns[problem.solution.dtypes == np.dtype(bool)]:
        truth = problem.solution[column].to_numpy()[order]
        if truth.all() or not truth.any():
            continue
        tested += 1
        views = {
            "the order of the cells": np.arange(n),
            "the names of the cells": pd.factorize(visible.index, sort=True)[0],
        }
        views |= {f"the column {c!r}": pd.factorize(visible[c], sort=True)[0] for c in visible}
        leaks += [f"{name} tells {column!r}" for name, values in views.items() if _p_value(values, truth) < ALPHA]
    return leaks if tested else ["the solution has no boolean column with both values: nothing was tested"]


def _p_value(values: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    levels = np.unique(values)
    if len(levels) == 1:
        return 1.0
    if len(levels) > len(values) // 2:
        return float(stats.mannwhitneyu(values[truth], values[~truth]).pvalue)
    return float(stats.chi2_contingency(pd.crosstab(values, truth)).pvalue)
