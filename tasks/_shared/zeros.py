"""Harm done by imputation: zeros that are true and get expression, and genes that come to look alike.

One definition for all tasks. A *false-positive imputation* (in metrics, ``zeros_turned_on``) is a true zero imputed
as 1 per 10,000 or more: what the usual log fold change adds to both of its means (``FindMarkers``), so that less
hardly shows in a comparison, and about what a single count is worth in the deepest nuclei. *True* are zeros in genes
that mark other types than the cell's, by shares of cells that have the gene and not by "no cell": one stray molecule
of ambient RNA in a thousand cells makes no gene expressed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.dataset import without_label

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

#: Where the expectation is known, an entry is a true zero if that is below 0.1 counts per 10,000.
ZERO = float(np.log1p(0.1))
#: From here on an entry counts as imputed with expression: 1 per 10,000.
EXPRESSED = float(np.log1p(1.0))

#: Marker of other types: detected in at most 1 % of the cells of a type, in at least 25 % of another's. A gene that
#: 25 % of a type have is missed in all of 20 cells once in 300 times (0.75^20): fewer would not tell the two apart.
_ABSENT, _PRESENT = 0.01, 0.25
FEWEST_CELLS = 20

#: Genes among which correlations are compared: those that vary most in the truth.
N_CORRELATED = 200

EXPECTED = "expected below 0.1 per 10,000"
MARKERS = "markers of other types"
ALL = "all zeros"


def markers_of_others(counts: sparse.csr_matrix, labels: pd.Series) -> dict[str, NDArray[np.bool_]]:
    """Type -> (genes,): genes that other types have and this one has not, by share of cells with counts.

    Parameters
    ----------
    counts
        Cells x genes.
    labels
        Type of every cell; types with fewer than 20 cells, and cells without a type, do not count.
    """
    text = labels.astype(object).where(~without_label(labels))
    size = text.value_counts()
    types = sorted(size.index[size >= FEWEST_CELLS])
    if len(types) < 2:
        return {}
    detected = counts > 0
    rate = np.stack([np.asarray(detected[(text == name).to_numpy()].mean(axis=0)).ravel() for name in types])
    markers = {}
    for i, name in enumerate(types):
        others = np.delete(rate, i, axis=0).max(axis=0)
        markers[name] = (rate[i] <= _ABSENT) & (others >= _PRESENT)
    return markers


class FalsePositives:
    """Counts of true zeros and of their false-positive imputations, by what makes the zeros true."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(2, dtype=np.int64))

    def add(self, kind: str, true_zero: NDArray[np.bool_], imputed: NDArray[np.floating]) -> None:
        """Count the entries of a block for which ``true_zero`` holds."""
        self._counts[kind] += (np.count_nonzero(true_zero), np.count_nonzero(true_zero & (imputed >= EXPRESSED)))

    def add_markers(
        self,
        of_others: dict[str, NDArray[np.bool_]],
        labels: NDArray[np.object_],
        true_zero: NDArray[np.bool_],
        imputed: NDArray[np.floating],
    ) -> None:
        """Count zeros of a block in genes that mark other types than the cell's."""
        for name, genes in of_others.items():
            rows = np.flatnonzero(labels == name)
            if len(rows) and genes.any():
                part = np.ix_(rows, np.flatnonzero(genes))
                for kind in (MARKERS, f"{MARKERS} than {name}"):
                    self.add(kind, true_zero[part], imputed[part])

    def share(self, kind: str) -> float:
        """Share of such zeros that were imputed as expressed; NaN without any."""
        n, on = self._counts[kind] if kind in self._counts else (0, 0)
        return on / n if n else float("nan")

    def table(self) -> pd.DataFrame:
        """``what, n, share``."""
        rows = [(kind, int(n), on / n) for kind, (n, on) in sorted(self._counts.items()) if n]
        return pd.DataFrame(rows, columns=["what", "n", "share"])


def varying_genes(truth: sparse.csr_matrix) -> NDArray[np.intp]:
    """The :data:`N_CORRELATED` genes with the largest variance, in gene order."""
    n = truth.shape[0]
    mean = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel() / n
    square = np.asarray(truth.multiply(truth).sum(axis=0), dtype=np.float64).ravel() / n
    return np.sort(np.argsort(mean**2 - square, kind="stable")[:N_CORRELATED])


def correlation_inflation(imputed: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Mean absolute correlation between genes as imputed, less that of the truth (cells, genes); constant genes: 0."""
    return _mean_correlation(imputed) - _mean_correlation(true)


def _mean_correlation(values: NDArray[np.floating]) -> float:
    n_cells, n_genes = values.shape
    if n_cells < 3 or n_genes < 2:
        return float("nan")
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    size = np.sqrt((centred**2).sum(axis=0))
    centred /= np.where(size > 1e-6, size, np.inf)
    r = np.abs(centred.T @ centred)
    return float((r.sum() - np.trace(r)) / (n_genes * (n_genes - 1)))
