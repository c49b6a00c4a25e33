"""Paired intervals of the difference between two predictions of one problem, from what two run folders keep."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bench.exchange import prediction
from bench.plan.registry import Registry
from bench.results.records import TrialRecord
from bench.results.store import Store
from bench.stats import percentile_interval

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix


class PairedResamples:
    """Resamples two predictions with the same draws of donors, then cells.

    Parameters
    ----------
    registry
        Has the tasks; of one that it does not know there is no interval.
    a, b
        The run folders.
    """

    def __init__(self, registry: Registry, a: Store, b: Store) -> None:
        self._registry, self._a, self._b = registry, a, b
        self._kept = lru_cache(maxsize=1)(self._read)

    def intervals(self, a: TrialRecord, b: TrialRecord) -> dict[str, tuple[float, float]]:
        """Metric -> 95 % interval of its difference, ``b`` less ``a``; none of what is not resampled."""
        if a.spec.task not in self._registry.tasks:
            return {}
        first, second = self._replicates(self._a, a), self._replicates(self._b, b)
        if first is None or second is None:
            return {}
        found = percentile_interval((second - first).to_numpy(dtype=np.float64))
        return {str(metric): bounds for metric, bounds in zip(first.columns, found, strict=True) if bounds}

    def _replicates(self, store: Store, record: TrialRecord) -> pd.DataFrame | None:
        folder, task = store.trial_folder(record.key), self._registry.task(record.spec.task)
        solution, truth = self._kept(record.spec.problem)
        if solution is None or not (folder / "prediction.parquet").exists():
            return None
        return task.resampled(solution, truth, prediction.load(folder, task.outputs, solution.index))

    def _read(self, problem: str) -> tuple[pd.DataFrame | None, dict[str, csr_matrix]]:
        return self._a.solution(problem), self._a.truth(problem)
