"""Do batches mix, and do kinds of cells stay together? By scib-metrics, in the neighbourhoods of a representation."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.problem import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scib_metrics.nearest_neighbors import NeighborsResults

#: Neighbours that batch mixing is judged in, as in scib-metrics.
_N_MIXING = 90


def mixing(components: NDArray[np.float32], table: pd.DataFrame, levels: list[str]) -> list[Score]:
    """Of batches where they are known, else of donors; by scib-metrics."""
    column = "batch" if "batch" in table else "donor"
    names = ("ilisi", "kbet", "graph_connectivity")
    if find_spec("scib_metrics") is None:
        why = "scib-metrics is missing: pip install 'scmamba-bench[integration]'"
        return [Score(name, np.nan, detail=why) for name in names]
    near = neighbours(components)
    connected = graph_connectivity(near, table[levels[0]])
    if table[column].astype(str).nunique() < 2:
        mixing = [Score(name, np.nan, detail=f"all cells are of one {column}") for name in names[:2]]
    else:
        n, detail = len(table), f"between levels of {column}"
        mixing = [
            Score("ilisi", ilisi(near, table[column]), n=n, detail=detail),
            Score("kbet", kbet(near, table[column]), n=n, detail=detail),
        ]
    return [*mixing, Score("graph_connectivity", connected, n=len(table))]


def neighbours(components: NDArray[np.float32]) -> NeighborsResults:
    """The exact neighbours that mixing is judged in."""
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    k = min(_N_MIXING, len(components) - 1)
    distance, index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(components).kneighbors(components)
    return NeighborsResults(indices=index, distances=distance)


def ilisi(near: NeighborsResults, batch: pd.Series) -> float:
    """Batches in a cell's neighbourhood, 0 to 1."""
    import scib_metrics

    return float(scib_metrics.ilisi_knn(near, _codes(batch)))


def kbet(near: NeighborsResults, batch: pd.Series) -> float:
    """Share of neighbourhoods whose batches are mixed as overall."""
    import scib_metrics

    return float(scib_metrics.kbet(near, _codes(batch))[0])


def graph_connectivity(near: NeighborsResults, label: pd.Series) -> float:
    """Cells of a type that hang together."""
    import scib_metrics

    return float(scib_metrics.graph_connectivity(near, _codes(label)))


def _codes(values: pd.Series) -> NDArray[np.intp]:
    return pd.factorize(values.astype(str))[0]
