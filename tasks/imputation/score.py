"""From imputed values to rows and tables: all entries, every group, the mean over groups, false positives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.problem import Score, Scored
from bench.seeds import derive_seed
from bench.stats import donor_bootstrap, percentile_interval
from bench.tasks._shared.zeros import (
    EXPECTED,
    MARKERS,
    ZERO,
    FalsePositives,
    correlation_inflation,
    markers_of_others,
    varying_genes,
)
from bench.tasks.imputation.masks import N_GROUPS, blocks, groups
from bench.tasks.imputation.metrics import (
    MEANS,
    NAMES,
    Entries,
    EntryStatistic,
    Sums,
    group_table,
    joint_table,
    level_table,
    mean_gene_correlation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray
    from scipy import sparse

    from bench.problem import Prediction, Problem

N_BOOT = 500
#: An interval over fewer donors is qualified in the row's detail.
_FEW_DONORS = 5
#: Entries that are in memory at once.
_BLOCK = 1 << 22

#: Groups of entries where nothing was hidden: shown as a count; shown as zero and truly expressed; truly zero.
PARTS = ("kept", "dropped", "zero")


def score(problem: Problem, prediction: Prediction) -> Scored:
    """All metrics and tables."""
    imputed: Any = prediction["expression"]
    n_cells, n_genes = problem.inputs.cells.X.shape
    if problem.asked is not None:
        names = [str(k + 1) for k in range(N_GROUPS)]
        sums = Sums(n_cells, n_genes, N_GROUPS)
        for entries in _masked_entries(problem.truth["expression"], imputed):
            sums.add(entries)
        return Scored(_rows(problem, sums, names), tables=_tables(sums, names))
    sums = Sums(n_cells, n_genes, len(PARTS))
    false_positives, inflation = _whole(problem, imputed, sums)
    markers = problem.solution["truth"].iloc[0] != "expected"
    share = false_positives.share(MARKERS if markers else EXPECTED)
    detail = f"{MARKERS if markers else EXPECTED}, shown as zero"
    if math.isnan(share):
        detail = "no such entries: the cell types of the tested cells are not known, or not two with 20 cells"
    n = len(problem.solution)
    rows = _rows(problem, sums, list(PARTS))
    rows.append(Score("zeros_turned_on", share, n=n, detail=detail))
    rows.append(Score("correlation_inflation", inflation, n=n, detail="" if n > 2 else "fewer than 3 cells"))
    return Scored(rows, tables={**_tables(sums, list(PARTS)), "zeros": false_positives.table()})


def resampled(solution: pd.DataFrame, truth: sparse.csr_matrix, imputed: Any) -> pd.DataFrame:
    """The replicates behind the pooled intervals: a row each, a column a metric of :data:`NAMES`."""
    import pandas as pd
    from scipy.sparse import issparse

    n_cells, n_genes = truth.shape
    sums = Sums(n_cells, n_genes, N_GROUPS)
    if issparse(imputed):
        for entries in _masked_entries(truth, imputed):
            sums.add(entries)
    else:
        step = max(1, _BLOCK // n_genes)
        for start in range(0, n_cells, step):
            rows = slice(start, min(start + step, n_cells))
            y, t = np.asarray(imputed[rows]).ravel(), truth[rows].toarray().ravel()
            cell, gene = np.divmod(np.arange(start * n_genes, start * n_genes + len(t)), n_genes)
            sums.add(Entries(cell, gene, np.zeros(len(t), dtype=np.int64), t, y))
    draws = _draws(EntryStatistic(sums), solution)
    return pd.DataFrame(draws[:, : len(NAMES)], columns=list(NAMES))


def _draws(statistic: EntryStatistic, solution: pd.DataFrame) -> NDArray[np.float64]:
    rng = np.random.default_rng(_seed(solution))
    return donor_bootstrap(statistic, solution["donor"].to_numpy(), N_BOOT, rng)


def _masked_entries(truth: sparse.csr_matrix, imputed: sparse.csr_matrix) -> Iterator[Entries]:
    """Yield the masked entries, in blocks; both matrices have the same pattern."""
    if not (np.array_equal(truth.indptr, imputed.indptr) and np.array_equal(truth.indices, imputed.indices)):
        raise ValueError("the imputed entries are not those that were asked for")
    group = groups(truth)
    for _, part, cell in blocks(truth):
        yield Entries(cell, truth.indices[part], group[part], truth.data[part], imputed.data[part])


def _whole(problem: Problem, imputed: Any, sums: Sums) -> tuple[FalsePositives, float]:
    """Add all entries; return the false positives and the correlation inflation."""
    truth, visible = problem.truth["expression"], problem.inputs.cells.X
    n_cells, n_genes = visible.shape
    genes = varying_genes(truth)
    varying = np.empty((n_cells, len(genes)), np.float32)
    false_positives, labels, of_others = FalsePositives(), np.empty(n_cells, dtype=object), {}
    by_expectation = problem.solution["truth"].iloc[0] == "expected"
    if not by_expectation and "cell_type" in problem.solution:
        labels = problem.solution["cell_type"].to_numpy(dtype=object)
        of_others = markers_of_others(truth, problem.solution["cell_type"])
    step = max(1, _BLOCK // n_genes)
    for start in range(0, n_cells, step):
        rows = slice(start, min(start + step, n_cells))
        y, t, detected = np.asarray(imputed[rows]), truth[rows].toarray(), visible[rows].toarray() > 0
        varying[rows] = y[:, genes]
        true_zero = ~detected & (t < ZERO)
        part = np.where(detected, 0, np.where(true_zero, 2, 1)).ravel()
        cell, gene = np.repeat(np.arange(rows.start, rows.stop), n_genes), np.tile(np.arange(n_genes), len(y))
        sums.add(Entries(cell, gene, part, t.ravel(), y.ravel()))
        if by_expectation:
            false_positives.add(EXPECTED, true_zero, y)
        false_positives.add_markers(of_others, labels[rows], ~detected & (t == 0), y)
    return false_positives, correlation_inflation(varying, truth[:, genes].toarray())


def _rows(problem: Problem, sums: Sums, names: list[str]) -> list[Score]:
    solution, statistic = problem.solution, EntryStatistic(sums)
    values, intervals = statistic.values(), percentile_interval(_draws(statistic, solution))
    units = ["pooled", *(f"group:{name}" for name in names)]
    n_cells = [
        int((sums.by_cell[0].sum(axis=1) > 0).sum()),
        *(int((sums.by_cell[0, :, g] > 0).sum()) for g in range(len(names))),
    ]
    columns = [(metric, unit, n) for unit, n in zip(units, n_cells, strict=True) for metric in NAMES]
    columns += [(metric, "group_mean", n_cells[0]) for metric in MEANS]
    qualified = _qualified(problem, len(set(solution["donor"])))
    rows = []
    for (metric, unit, n), value, interval in zip(columns, values, intervals, strict=True):
        low, high = interval if interval and not math.isnan(value) else (None, None)
        detail = _why_undefined(metric, n) if math.isnan(value) else qualified
        rows.append(Score(metric, float(value), unit, low, high, n, detail))
    by_gene, n_genes = mean_gene_correlation(sums)
    rows.append(Score("pearson_gene", by_gene, n=n_cells[0], detail=f"mean over {n_genes:,} genes"))
    return rows


def _tables(sums: Sums, names: list[str]) -> dict[str, pd.DataFrame]:
    return {
        "joint": joint_table(sums, names),
        "expression_bins": level_table(sums, names),
        "groups": group_table(sums, names),
    }


def _seed(solution: pd.DataFrame) -> int:
    """The same resamples for every method on one problem, so that intervals are comparable."""
    return derive_seed("imputation/bootstrap", *solution.index.astype(str))


def _qualified(problem: Problem, n_donors: int) -> str:
    if problem.inputs.info["split"] == "cell":
        return "cell-level split: tested cells may be of the same individuals as training cells"
    return f"interval rests on {n_donors} donor{'s' * (n_donors > 1)}" if n_donors < _FEW_DONORS else ""


def _why_undefined(metric: str, n: int) -> str:
    if not n:
        return "no such entries"
    return "the true values are all the same" if metric == "slope" else "true or imputed values are all the same"
