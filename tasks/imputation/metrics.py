"""Error and correlation of imputed with true expression, from sums over entries: by cell, gene, group and level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Metrics that :class:`EntryStatistic` computes of every unit, in its order.
NAMES = ("mse", "pearson", "slope", "pearson_cell")

#: Of these a mean over groups is reported too, as in Fig. 5b of the scMamba paper.
MEANS = NAMES[:3]

#: Fewest entries of a gene whose correlation counts.
MIN_ENTRIES = 10

#: Bins of the joint histogram; values beyond the last edge are in the last bin.
JOINT_EDGES = np.round(np.arange(0.0, 10.01, 0.1), 1)

#: Bins of true expression.
LEVEL_EDGES = np.round(np.arange(0.0, 9.51, 0.5), 1)

_N_MOMENTS = 7
#: Variance below which values count as constant (they are of order one).
_CONSTANT = 1e-10


@dataclass(frozen=True)
class Entries:
    """Some entries: all arrays (entries,)."""

    cell: NDArray[np.integer]
    gene: NDArray[np.integer]
    group: NDArray[np.integer]
    true: NDArray[np.floating]
    imputed: NDArray[np.floating]


class Sums:
    """Sums over entries, added up block by block.

    Attributes
    ----------
    by_cell
        (moments, cells, groups): n, sum of t, y, t², y², ty and (t - y)² for true t and imputed y.
    by_gene
        (moments, genes).
    joint
        (groups, true bins, imputed bins): number of entries.
    levels
        (4, groups, level bins): n, sum of squared errors, of true and of imputed values.
    """

    def __init__(self, n_cells: int, n_genes: int, n_groups: int) -> None:
        self.by_cell = np.zeros((_N_MOMENTS, n_cells, n_groups))
        self.by_gene = np.zeros((_N_MOMENTS, n_genes))
        n = len(JOINT_EDGES) - 1
        self.joint = np.zeros((n_groups, n, n), dtype=np.int64)
        self.levels = np.zeros((4, n_groups, len(LEVEL_EDGES) - 1))

    def add(self, entries: Entries) -> None:
        """Add entries."""
        t, y = entries.true.astype(np.float64), entries.imputed.astype(np.float64)
        moments = (None, t, y, t * t, y * y, t * y, (t - y) ** 2)
        _, n_cells, n_groups = self.by_cell.shape
        at = entries.cell.astype(np.int64) * n_groups + entries.group
        for i, values in enumerate(moments):
            self.by_cell[i] += np.bincount(at, values, n_cells * n_groups).reshape(n_cells, n_groups)
            self.by_gene[i] += np.bincount(entries.gene, values, self.by_gene.shape[1])
        x, n = _bin(t, JOINT_EDGES), self.joint.shape[1]
        place = (entries.group.astype(np.int64) * n + x) * n + _bin(y, JOINT_EDGES)
        self.joint += np.bincount(place, minlength=self.joint.size).reshape(self.joint.shape)
        n = self.levels.shape[2]
        place = entries.group.astype(np.int64) * n + _bin(t, LEVEL_EDGES)
        for i, values in enumerate((None, moments[6], t, y)):
            self.levels[i] += np.bincount(place, values, n_groups * n).reshape(n_groups, n)


class EntryStatistic:
    """Metrics of all entries and of each group, under resampling weights of the cells."""

    def __init__(self, sums: Sums) -> None:
        n_cells, self._n_groups = sums.by_cell.shape[1:]
        whole = sums.by_cell.sum(axis=2, keepdims=True)
        units = np.concatenate([whole, sums.by_cell], axis=2)  # pooled, then the groups
        self._sums = units.transpose(1, 0, 2).reshape(n_cells, -1)
        self._of_cell = _correlations(units)

    def __call__(self, weights: NDArray[np.integer]) -> Floats:
        """Values (replicates, metrics): :data:`NAMES` of pooled and of every group, then :data:`MEANS` over groups."""
        w = weights.astype(np.float64)
        mse, pearson, slope = fit((w @ self._sums).reshape(len(w), _N_MOMENTS, -1).transpose(1, 0, 2))
        defined = ~np.isnan(self._of_cell)
        n_defined = w @ defined
        total = w @ np.where(defined, self._of_cell, 0.0)
        by_cell = np.divide(total, n_defined, out=np.full_like(total, np.nan), where=n_defined > 0)
        values = np.stack([mse, pearson, slope, by_cell], axis=2)
        means = values[:, 1:, : len(MEANS)].mean(axis=1)
        return np.concatenate([values.reshape(len(w), -1), means], axis=1)

    def values(self) -> Floats:
        """Values of all cells, each counted once."""
        return self(np.ones((1, len(self._sums)), dtype=np.int64))[0]


def fit(moments: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean squared error, Pearson correlation and slope of imputed on true values.

    Parameters
    ----------
    moments
        (moments, ...) as in :class:`Sums`.

    Returns
    -------
    NaN where there is no entry; correlation NaN where either is constant, slope where the true values are.
    """
    n = np.where(moments[0] > 0, moments[0], np.nan)
    mean_t, mean_y = moments[1] / n, moments[2] / n
    var_t, var_y = moments[3] / n - mean_t**2, moments[4] / n - mean_y**2
    covariance = moments[5] / n - mean_t * mean_y
    var_t, var_y = (np.where(v > _CONSTANT, v, np.nan) for v in (var_t, var_y))
    return moments[6] / n, np.clip(covariance / np.sqrt(var_t * var_y), -1.0, 1.0), covariance / var_t


def mean_gene_correlation(sums: Sums) -> tuple[float, int]:
    """Mean over genes of the correlation across their entries, and how many genes count.

    Genes with fewer than :data:`MIN_ENTRIES` entries or constant true values do not; constant answers give 0.
    """
    r = _correlations(sums.by_gene)
    counted = ~np.isnan(r) & (sums.by_gene[0] >= MIN_ENTRIES)
    return (float(r[counted].mean()) if counted.any() else float("nan")), int(counted.sum())


def _correlations(moments: Floats) -> Floats:
    """Pearson correlation; NaN where the true values are constant, 0 where only the answer is."""
    _, r, slope = fit(moments)
    return np.where(np.isnan(r) & ~np.isnan(slope), 0.0, r)


def group_table(sums: Sums, names: list[str]) -> pd.DataFrame:
    """``group, n, mse, pearson, slope`` of every group."""
    moments = sums.by_cell.sum(axis=1)
    mse, pearson, slope = fit(moments)
    columns = {"n": moments[0].astype(np.int64), "mse": mse, "pearson": pearson, "slope": slope}
    return pd.DataFrame({"group": names, **columns})


def level_table(sums: Sums, names: list[str]) -> pd.DataFrame:
    """``group, low, high, n, mse, mean_true, mean_imputed`` by level of true expression; bins with entries only."""
    group, level = np.nonzero(sums.levels[0])
    n, squared, true, imputed = sums.levels[:, group, level]
    return pd.DataFrame(
        {
            "group": np.array(names, dtype=object)[group],
            "low": LEVEL_EDGES[level],
            "high": LEVEL_EDGES[level + 1],
            "n": n.astype(np.int64),
            "mse": squared / n,
            "mean_true": true / n,
            "mean_imputed": imputed / n,
        }
    )


def joint_table(sums: Sums, names: list[str]) -> pd.DataFrame:
    """``group, x_low, x_high, y_low, y_high, n``: entries by true (x) and imputed (y) value; bins with entries only."""
    group, x, y = np.nonzero(sums.joint)
    return pd.DataFrame(
        {
            "group": np.array(names, dtype=object)[group],
            "x_low": JOINT_EDGES[x],
            "x_high": JOINT_EDGES[x + 1],
            "y_low": JOINT_EDGES[y],
            "y_high": JOINT_EDGES[y + 1],
            "n": sums.joint[group, x, y],
        }
    )


def _bin(values: Floats, edges: Floats) -> NDArray[np.int64]:
    width = edges[1] - edges[0]
    return np.clip((values / width).astype(np.int64), 0, len(edges) - 2)
