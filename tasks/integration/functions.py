"""Integration metrics of plain arrays."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import BenchError, UnavailableError
from bench.tasks._shared.plain import finite, vectors
from bench.tasks.integration import clusters, mixing

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


def nmi(label: ArrayLike, cluster: ArrayLike) -> float:
    """Normalised mutual information of labels and clusters (arithmetic mean of the entropies).

    The task clusters cells by Louvain at resolution 1 on 50 principal components.

    Parameters
    ----------
    label
        Label (cells,); cells with None or NaN are left out.
    cluster
        Cluster (cells,).

    Returns
    -------
    From 0 to 1, higher is better; NaN where all labels are one.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.nmi(["a", "a", "b", "b"], [0, 0, 1, 1])
    1.0
    """
    return _of_clusters(label, cluster)["nmi"]


def ari(label: ArrayLike, cluster: ArrayLike) -> float:
    """Adjusted Rand index of labels and clusters; 0 by chance.

    Parameters as of :func:`nmi`.

    Examples
    --------
    >>> import bench
    >>> bench.metrics.ari(["a", "a", "b", "b"], [1, 1, 0, 0])
    1.0
    """
    return _of_clusters(label, cluster)["ari"]


def nmi_oracle(expression: ArrayLike, label: ArrayLike) -> float:
    """NMI at the best of 20 Louvain resolutions (0.1 to 2.0), chosen by the labels themselves: the headline.

    The scMamba paper's: neighbours on all genes. The task keeps observed counts as they are, and takes 10,000 cells at
    most.

    Parameters
    ----------
    expression
        ln(1 + counts per 10,000), (cells, genes).
    label
        Label (cells,); cells with None or NaN are left out of the comparison.

    Returns
    -------
    From 0 to 1, higher is better; NaN where all labels are one.

    Examples
    --------
    >>> import bench, numpy as np
    >>> kind = np.repeat([0.0, 5.0], 30)[:, None]
    >>> cells = kind + np.random.default_rng(0).random((60, 5))
    >>> round(bench.metrics.nmi_oracle(cells, kind.ravel() > 0), 6)
    1.0
    """
    return _oracle(expression, label)["nmi"]


def ari_oracle(expression: ArrayLike, label: ArrayLike) -> float:
    """ARI at the resolution of :func:`nmi_oracle`, with its parameters.

    Examples
    --------
    >>> import bench, numpy as np
    >>> kind = np.repeat([0.0, 5.0], 30)[:, None]
    >>> cells = kind + np.random.default_rng(0).random((60, 5))
    >>> round(bench.metrics.ari_oracle(cells, kind.ravel() > 0), 6)
    1.0
    """
    return _oracle(expression, label)["ari"]


def ilisi(embedding: ArrayLike, batch: ArrayLike) -> float:
    """Batches in a cell's neighbourhood of 90, scaled to 0 (one) to 1 (all alike), by scib-metrics.

    Parameters
    ----------
    embedding
        Cells in some space, such as 50 principal components (cells, dimensions).
    batch
        Batch, or donor (cells,).

    Returns
    -------
    Higher is better mixed; NaN where all cells are of one batch.

    Examples
    --------
    >>> import bench, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> bench.metrics.ilisi(rng.normal(size=(200, 5)), rng.integers(2, size=200)) > 0.8
    True
    """
    return _of_neighbours(mixing.ilisi, embedding, batch, several=True)


def cilisi(embedding: ArrayLike, batch: ArrayLike, label: ArrayLike) -> float:
    """Batches among the 90 nearest cells of the same type, scaled to 0 to 1, mean over cells (CiLISI), by scib-metrics.

    Unlike :func:`ilisi` it does not gain where types are mixed up.

    Parameters
    ----------
    embedding
        Cells in some space, such as 50 principal components (cells, dimensions).
    batch
        Batch, or donor (cells,). Of fewer than 10 cells in a type it is left out there.
    label
        Cell type (cells,); types without two such batches are left out.

    Returns
    -------
    Higher is better mixed; NaN where no type has two batches.

    Examples
    --------
    >>> import bench, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> bench.metrics.cilisi(rng.normal(size=(200, 5)), rng.integers(2, size=200), np.repeat(["a", "b"], 100)) > 0.8
    True
    """
    return _within_types(mixing.cilisi, embedding, batch, label)


def kbet_per_label(embedding: ArrayLike, batch: ArrayLike, label: ArrayLike) -> float:
    """Share of neighbourhoods within a type whose batches are mixed as in the type (kBET), mean over types.

    Parameters as of :func:`cilisi`. By scib-metrics, on exact neighbours.

    Returns
    -------
    From 0 to 1, higher is better mixed; NaN where no type has two batches.

    Examples
    --------
    >>> import bench, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> batch, label = rng.integers(2, size=200), np.repeat(["a", "b"], 100)
    >>> bench.metrics.kbet_per_label(rng.normal(size=(200, 5)), batch, label) > 0.8
    True
    """
    return _within_types(mixing.kbet_per_label, embedding, batch, label)


def bras(embedding: ArrayLike, batch: ArrayLike, label: ArrayLike) -> float:
    """Batch removal adapted silhouette within types, by scib-metrics.

    Parameters as of :func:`cilisi`.

    Returns
    -------
    1 where a cell is as near to its own batch as to the others; NaN where no type has two batches.

    Examples
    --------
    >>> import bench, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> bench.metrics.bras(rng.normal(size=(200, 5)), rng.integers(2, size=200), np.repeat(["a", "b"], 100)) > 0.8
    True
    """
    return _within_types(mixing.bras, embedding, batch, label)


def clisi(embedding: ArrayLike, label: ArrayLike) -> float:
    """Types in a cell's neighbourhood of 90: 1 where all are of one, 0 where all are alike; by scib-metrics.

    Parameters as of :func:`ilisi`, with cell types in place of batches.

    Returns
    -------
    Higher is better apart; NaN where all cells are of one type.

    Examples
    --------
    >>> import bench, numpy as np
    >>> kind = np.repeat([0.0, 9.0], 200)[:, None]
    >>> bench.metrics.clisi(kind + np.random.default_rng(0).random((400, 5)), kind.ravel())
    1.0
    """
    return _of_neighbours(mixing.clisi, embedding, label, several=True)


def graph_connectivity(embedding: ArrayLike, label: ArrayLike) -> float:
    """Share of the cells of a type that hang together in the graph of neighbours, by scib-metrics.

    Parameters as of :func:`ilisi`, with cell types in place of batches.

    Returns
    -------
    From 0 to 1, higher is better.

    Examples
    --------
    >>> import bench, numpy as np
    >>> kind = np.repeat([0.0, 9.0], 30)[:, None]
    >>> cells = kind + np.random.default_rng(0).random((60, 5))
    >>> bench.metrics.graph_connectivity(cells, kind.ravel() > 0)
    1.0
    """
    return _of_neighbours(mixing.graph_connectivity, embedding, label, several=False)


def _of_clusters(label: ArrayLike, cluster: ArrayLike) -> dict[str, float]:
    labels, found = vectors(label=np.asarray(label, dtype=object), cluster=cluster)
    return clusters.agreement(pd.Series(labels), found)


def _oracle(expression: ArrayLike, label: ArrayLike) -> dict[str, float]:
    X = _matrix(expression, "expression")
    (labels,) = vectors(label=np.asarray(label, dtype=object))
    _check_length(X, labels)
    table = clusters.agreement_by_resolution(clusters.graph_of(X), pd.DataFrame({"label": labels}))
    best = clusters.best_resolution(table, "label")
    return {name: float(best[name]) for name in ("nmi", "ari")}


def _of_neighbours(
    metric: Callable[[Any, Any], float], embedding: ArrayLike, groups: ArrayLike, *, several: bool
) -> float:
    X = _embedding(embedding)
    (names,) = vectors(groups=groups)
    _check_length(X, names)
    return float("nan") if several and len(set(names)) < 2 else metric(mixing.neighbours(X), names)


def _within_types(
    metric: Callable[[Any, Any, Any], float], embedding: ArrayLike, batch: ArrayLike, label: ArrayLike
) -> float:
    X = _embedding(embedding)
    batches, labels = vectors(batch=batch, label=label)
    _check_length(X, labels)
    by_type = list(mixing.types_with_batches(labels.astype(str).astype(object), batches))
    return metric(X, by_type, batches) if by_type else float("nan")


def _embedding(values: ArrayLike) -> NDArray[np.float32]:
    if find_spec("scib_metrics") is None:
        fix = "pip install 'scmamba-bench[integration]'"
        raise UnavailableError("scib-metrics is missing", where="bench.metrics", fix=fix)
    return _matrix(values, "embedding")


def _matrix(values: Any, name: str) -> NDArray[np.float32]:
    matrix = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if matrix.ndim != 2:
        raise BenchError(f"{name} has {matrix.ndim} dimensions", where=name, fix="give a row a cell")
    return finite(matrix, name).astype(np.float32)


def _check_length(X: NDArray[np.float32], labels: NDArray[Any]) -> None:
    if len(X) != len(labels):
        raise BenchError(f"{len(X):,} cells have {len(labels):,} labels", where="metrics", fix="give one a cell")
