"""Do batches mix, and do kinds of cells stay together? By scib-metrics, in the neighbourhoods of a representation."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.problem import Score
from bench.words import count, few

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from scib_metrics.nearest_neighbors import NeighborsResults

    Floats = NDArray[np.float32]
    Labels = NDArray[np.object_]

#: Neighbours that mixing is judged in, the cell itself among them; their effective number is a third of it.
N_NEIGHBORS = 90
#: Cells of a batch in the study, and in one type, that are judged: iLISI is divided by the number of batches, so that
#: one cell of a third batch would halve it.
FEWEST_IN_BATCH, FEWEST_IN_TYPE = 30, 10
_OF_BATCHES = ("ilisi", "cilisi", "kbet_per_label", "bras")
_OF_TYPES = ("clisi", "graph_connectivity")


def mixing(cells: Floats, label: pd.Series, batch: pd.Series) -> list[Score]:
    """Metrics of labelled cells in a space (cells, dimensions); ``batch.name`` says what batches are.

    Small batches are set aside and named, so are types that have not two batches.
    """
    if find_spec("scib_metrics") is None:
        why = "scib-metrics is missing: pip install 'scmamba-bench[integration]'"
        return [Score(name, np.nan, detail=why) for name in (*_OF_BATCHES, *_OF_TYPES)]
    known = label.notna().to_numpy()
    X, types, batches = cells[known], label[known].to_numpy(object), batch[known].astype(str).to_numpy(object)
    near = neighbours(X)
    printed = f"{near.indices.shape[1]} neighbours"
    several = len(set(types)) > 1
    of_types = [
        Score("clisi", clisi(near, types) if several else np.nan, n=len(X), detail=printed if several else "one label"),
        Score("graph_connectivity", graph_connectivity(near, types), n=len(X), detail=printed),
    ]
    large, aside = _enough(batches, FEWEST_IN_BATCH)
    told = f"; set aside as too small: {_named(aside)}" if aside else ""
    n_batches = len(set(batches[large]))
    if n_batches < 2:
        why = f"all cells are of one {batch.name}{told}"
        return [*(Score(name, np.nan, detail=why) for name in _OF_BATCHES), *of_types]
    X, types, batches = X[large], types[large], batches[large]
    near = near if large.all() else neighbours(X)
    by_type = list(types_with_batches(types, batches))
    left_out = sorted(set(types) - {name for name, _ in by_type})
    printed = f"{count(n_batches, 'level')} of {batch.name}{told}"
    ilisi_row = Score("ilisi", ilisi(near, batches), n=len(X), detail=f"{printed}; {near.indices.shape[1]} neighbours")
    if not by_type:
        why = f"no type has {FEWEST_IN_TYPE} cells in two batches; {printed}"
        return [ilisi_row, *(Score(name, np.nan, detail=why) for name in _OF_BATCHES[1:]), *of_types]
    if left_out:
        printed += f"; types without {FEWEST_IN_TYPE} cells in two batches: {', '.join(left_out)}"
    n = sum(len(rows) for _, rows in by_type)
    within = {"cilisi": cilisi, "kbet_per_label": kbet_per_label, "bras": bras}
    rows = [Score(name, f(X, by_type, batches), n=n, detail=printed) for name, f in within.items()]
    return [ilisi_row, *rows, *of_types]


def types_with_batches(types: Labels, batches: Labels) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Each type and its cells in batches that have enough of them, where there are two such batches."""
    for name in sorted(set(types)):
        rows = np.flatnonzero(types == name)
        rows = rows[_enough(batches[rows], FEWEST_IN_TYPE)[0]]
        if len(set(batches[rows])) > 1:
            yield str(name), rows


def neighbours(cells: Floats, k: int = N_NEIGHBORS) -> NeighborsResults:
    """The exact neighbours of each cell, itself the first."""
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(cells))
    distance, index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(cells).kneighbors(cells)
    return NeighborsResults(indices=index, distances=distance)


def ilisi(near: NeighborsResults, batches: Labels) -> float:
    """Batches in a cell's neighbourhood, median over cells, 0 to 1."""
    import scib_metrics

    return float(scib_metrics.ilisi_knn(near, _codes(batches)))


def clisi(near: NeighborsResults, types: Labels) -> float:
    """Types in a cell's neighbourhood, median over cells; 1: one."""
    import scib_metrics

    return float(scib_metrics.clisi_knn(near, _codes(types)))


def cilisi(cells: Floats, by_type: list[tuple[str, NDArray[np.intp]]], batches: Labels) -> float:
    """Batches in a cell's neighbourhood among cells of its type, 0 to 1: mean over cells (Andreatta et al. 2024)."""
    import scib_metrics

    found = []
    for _, rows in by_type:
        codes = _codes(batches[rows])
        lisi = np.asarray(scib_metrics.lisi_knn(neighbours(cells[rows]), codes), dtype=float)
        found.append((np.maximum(lisi, 1) - 1) / codes.max())  # -1 where all neighbours are infinitely far
    return float(np.concatenate(found).mean())


def kbet_per_label(cells: Floats, by_type: list[tuple[str, NDArray[np.intp]]], batches: Labels) -> float:
    """Share of neighbourhoods within a type whose batches are mixed as in the type, mean over types.

    As many neighbours as kBET takes: a quarter of a batch's mean size in the type, between 10 and 70.
    """
    import scib_metrics

    found = []
    for _, rows in by_type:
        codes = _codes(batches[rows])
        k = min(70, max(10, len(rows) // (codes.max() + 1) // 4))
        found.append(float(scib_metrics.kbet(neighbours(cells[rows], k + 1), codes)[0]))
    return float(np.mean(found))


def bras(cells: Floats, by_type: list[tuple[str, NDArray[np.intp]]], batches: Labels) -> float:
    """Batch removal adapted silhouette, mean over types: 1 where a cell is as near to its own as to others."""
    import scib_metrics

    rows = np.concatenate([rows for _, rows in by_type])
    label = np.repeat(np.arange(len(by_type)), [len(rows) for _, rows in by_type])
    return float(scib_metrics.bras(cells[rows], label, _codes(batches[rows]), chunk_size=len(rows)))


def graph_connectivity(near: NeighborsResults, types: Labels) -> float:
    """Cells of a type that hang together."""
    import scib_metrics

    return float(scib_metrics.graph_connectivity(near, _codes(types)))


def _enough(batches: Labels, fewest: int) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Select the cells of batches that have ``fewest`` cells, and give the size of the others."""
    names, size = np.unique(batches.astype(str), return_counts=True)
    small = {str(name): int(n) for name, n in zip(names, size, strict=True) if n < fewest}
    return ~np.isin(batches.astype(str), list(small)), small


def _named(sizes: dict[str, int]) -> str:
    return few([f"{name} ({count(n, 'cell')})" for name, n in sorted(sizes.items())], 10)


def _codes(values: Any) -> NDArray[np.intp]:
    return pd.factorize(np.asarray(values).astype(str), sort=True)[0]
