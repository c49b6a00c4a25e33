"""The trials of two runs that may be compared: same question, same data, same truth."""

from __future__ import annotations

import pandas as pd

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.results.records import TrialRecord
from bench.results.store import Store

#: What names the trials of a problem.
PROBLEM = ["task", "track", "dataset", "split_seed", "sim_seed"]
#: What names a trial in both runs.
NAME = [*PROBLEM, "method_seed", "method"]


def trials(a: Run, b: Run) -> pd.DataFrame:
    """Every trial of either run that was planned or has a record.

    A method that either run has with one set of parameters only is the same method, whatever these are; with several
    sets, a trial's name has those that differ.

    Returns
    -------
    Columns :data:`NAME`, ``role``, and of each run ``key_a, status_a``, ``key_b, status_b``: ``missing`` without a
    record, NA where the run never planned such a trial.
    """
    sides = []
    alone = _label_counts(a).combine(_label_counts(b), max, fill_value=0) <= 1
    for run, side in ((a, "a"), (b, "b")):
        frame = _planned(run)
        single = alone.reindex(pd.MultiIndex.from_frame(frame[["task", "name"]])).to_numpy(dtype=bool)
        frame["method"] = frame["name"].where(single, frame["label"])
        sides.append(
            frame[[*NAME, "role", "key", "status"]].rename(columns={c: f"{c}_{side}" for c in ("key", "status")})
        )
    return sides[0].merge(sides[1], on=[*NAME, "role"], how="outer", sort=True)


def _planned(run: Run) -> pd.DataFrame:
    """Trials with a record, and planned ones that no record of the same name answers."""
    frame = tables.trials(run)
    frame = frame.rename(columns={"method": "name", "trial": "key"})
    columns = [*PROBLEM, "method_seed", "name", "label", "role", "key", "status"]
    answered = set(frame[[*PROBLEM, "method_seed", "name"]].itertuples(index=False, name=None))
    rows = []
    for key, (task, planned) in run.planned.items():
        seeds = planned.seeds
        name = (task, planned.track, planned.dataset, seeds.split, seeds.simulation, seeds.method, planned.method)
        if key not in run.trials and name not in answered:
            role = run.methods[planned.method].role if planned.method in run.methods else "method"
            rows.append([*name, planned.method, role, key, "missing"])
    without = pd.DataFrame(rows, columns=columns).astype(frame[columns].dtypes.to_dict())
    return pd.concat([frame[columns], without], ignore_index=True)


def _label_counts(run: Run) -> pd.Series:
    return tables.trials(run).groupby(["task", "method"])["label"].nunique()


def refused(a: Run, b: Run, both: pd.DataFrame) -> dict[tuple, str]:
    """Problem (:data:`PROBLEM`) -> why the scores of the two runs do not compare.

    Parameters
    ----------
    both
        Rows of :func:`trials` with a record in either run.
    """
    reasons: dict[tuple, str] = {}
    stores = Store(a.folder), Store(b.folder)
    for problem, group in both.groupby(PROBLEM):
        records = a.trials[group["key_a"].iloc[0]], b.trials[group["key_b"].iloc[0]]
        why = _other_problem(*records) or _other_truth(*stores, records[0].spec.problem)
        if why:
            reasons[tuple(problem)] = why
    return reasons


def _other_problem(a: TrialRecord, b: TrialRecord) -> str:
    if a.spec.task_version != b.spec.task_version:
        return f"version {a.spec.task_version} of the task in A, version {b.spec.task_version} in B"
    if a.spec.dataset_digest != b.spec.dataset_digest:
        return (
            f"other data under this name: sha256 {a.spec.dataset_digest[:12]} in A, {b.spec.dataset_digest[:12]} in B"
        )
    if a.spec.problem != b.spec.problem:
        return "the dataset's card tells other facts (fields, truth, doublet rate), so that other problems were made"
    return ""


def _other_truth(a: Store, b: Store, problem: str) -> str:
    """Empty where the kept truths are the same; or where a run keeps none, so that only names can tell."""
    first, second = a.solution(problem), b.solution(problem)
    if first is None or second is None:
        return ""
    truths = a.truth(problem), b.truth(problem)
    same = first.equals(second) and truths[0].keys() == truths[1].keys()
    same = same and all(_equal(truths[0][name], truths[1][name]) for name in truths[0])
    return "" if same else "the truth differs: the same problem was made otherwise by the code of then"


def _equal(a, b) -> bool:
    return a.shape == b.shape and (a != b).nnz == 0
