"""Methods compared with each other on the same cells of one split."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.labels import compare_answers
from bench.reports.classes import confusion
from bench.reports.classes import tables as class_tables
from bench.reports.run import scored, tables
from bench.reports.run.load import Run, once
from bench.results.store import Store
from bench.stats import power_floor

_PAIR = ["track", "dataset"]
_COMPARED = ["difference", "ci_low", "ci_high", "p_holm", "only_a", "only_b", "p_mcnemar_holm"]
COMPARISONS = [*_PAIR, "method_a", "method_b", *_COMPARED, "cells", "donors", "testable"]


def answers(run: Run, task: str) -> dict[tuple[str, str], dict[str, tuple[str, pd.DataFrame]]]:
    """(track, dataset) -> method -> its first trial's problem and ``truth, answer`` by cell; scored by class only."""
    if class_tables.table(run, task).empty:
        return {}
    trials = scored.first_seeds(scored.finished(run, task))
    by_pair: dict[tuple[str, str], dict[str, tuple[str, pd.DataFrame]]] = {}
    for row in trials[trials["role"] == "method"].itertuples(index=False):
        record = run.trials[str(row.trial)]
        table = confusion.answers(run.folder, record)
        if table is not None:
            by_pair.setdefault((str(row.track), str(row.dataset)), {})[str(row.label)] = (record.spec.problem, table)
    return {pair: by_pair[pair] for pair in tables.pairs(run, task) if pair in by_pair}


@once
def comparisons(run: Run, task: str) -> pd.DataFrame:
    """Every pair of methods on each first split (:func:`bench.labels.compare_answers`): :data:`COMPARISONS`.

    ``testable`` tells whether the tested donors are enough for an exact test over them to reach 0.05 at all.
    """
    order = [label for label, _ in tables.label_order(run, task)]
    parts = []
    for (track, dataset), by_method in answers(run, task).items():
        problem, first = next(iter(by_method.values()))
        solution = Store(run.folder).solution(problem)
        answer_of = {
            m: by_method[m][1]["answer"].to_numpy(object) for m in order if by_method.get(m, ("",))[0] == problem
        }
        if solution is None or "donor" not in solution or len(answer_of) < 2:
            continue
        donor = solution.loc[first.index, "donor"].astype(str).to_numpy()
        tests = compare_answers(first["truth"].to_numpy(object), answer_of, donor, np.random.default_rng(0))
        donors = len(set(donor))
        parts.append(
            tests.assign(
                track=track, dataset=dataset, cells=len(first), donors=donors, testable=power_floor(donors) <= 0.05
            )
        )
    return pd.concat(parts, ignore_index=True)[COMPARISONS] if parts else pd.DataFrame(columns=COMPARISONS)
