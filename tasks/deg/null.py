"""p-values where no gene can differ: the condition permuted among cells, and among donors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import beta

from bench.tasks.deg.markers import markers
from bench.tasks.deg.sums import add, joined, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bench.tasks.deg.design import TypeDesign
    from bench.tasks.deg.markers import Markers
    from bench.tasks.deg.sums import ArmSums

#: Levels at which false positives are counted; the first is the one that is judged.
ALPHAS = (0.05, 0.01, 0.001)
#: Points of a QQ plot.
_QQ_POINTS = 200


def null_tests(design: TypeDesign, case: ArmSums, control: ArmSums) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test both kinds of permutations of a cell type.

    All genes that enough cells express are tested, however little they change: the filter of ``FindMarkers`` by fold
    change would leave those with small p.

    Returns
    -------
    ``kind`` (``cells``, ``donors``), ``permutation``, ``n_tests``, ``n_deg`` (that ``FindMarkers`` would call) and
    ``below_<alpha>`` (numbers of p below); and quantiles of all p of a kind: ``kind, expected, observed``, -log10,
    with the ``low`` and ``high`` between which independent p would be in 95 %.
    """
    tables, quantiles = [], []
    for kind, permuted in _permuted(design, case, control):
        p = permuted.p
        below = {f"below_{alpha:g}": np.nansum(p < alpha, axis=1) for alpha in ALPHAS}
        n_deg = sum(permuted.deg(sign).sum(axis=1) for sign in (1, -1))
        numbers = {"n_tests": permuted.tested.sum(axis=1), "n_deg": n_deg}
        table = pd.DataFrame({"kind": kind, "permutation": np.arange(len(p)), **numbers, **below})
        tables.append(table[permuted.defined & (numbers["n_tests"] > 0)])
        quantiles.append(_qq(p[permuted.tested]).assign(kind=kind))
    return pd.concat(tables, ignore_index=True), pd.concat(quantiles, ignore_index=True)


def _permuted(design: TypeDesign, case: ArmSums, control: ArmSums) -> Iterator[tuple[str, Markers]]:
    as_case = total(case.null_case, control.null_case)
    yield "cells", markers(as_case, total(case.null_control, control.null_control), every_change=True)
    samples = joined(case.samples, control.samples)
    labels = design.null_samples[:, np.concatenate([case.codes, control.codes])]
    yield "donors", markers(add(samples, labels == 1), add(samples, labels == 0), every_change=True)


def _qq(p: NDArray[np.float64]) -> pd.DataFrame:
    """Observed against expected quantiles, dense where p is small, at most :data:`_QQ_POINTS`."""
    n = len(p)
    if not n:
        return pd.DataFrame({name: np.empty(0) for name in ("expected", "observed", "low", "high")})
    observed = np.sort(p)
    rank = np.unique(np.round(np.geomspace(1, n, _QQ_POINTS)).astype(int))
    tiny = np.finfo(float).tiny
    quantiles = {
        "expected": (rank - 0.5) / n,
        "observed": observed[rank - 1],
        "low": beta.ppf(0.975, rank, n + 1 - rank),
        "high": beta.ppf(0.025, rank, n + 1 - rank),
    }
    return pd.DataFrame({name: -np.log10(np.maximum(values, tiny)) for name, values in quantiles.items()})
