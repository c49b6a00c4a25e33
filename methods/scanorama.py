"""Scanorama: batches joined by mutual nearest neighbours, as pictures are to a panorama."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.method import Context, python_package
from bench.methods._shared.integrator import Integrator

if TYPE_CHECKING:
    import numpy as np

    from bench.problem import Cells


class Scanorama(Integrator):
    """``scanorama.integrate`` of log-normalised counts, a data set a batch.

    Parameters
    ----------
    n_genes
        Most variable genes, as in ``pca``.
    n_components
        Dimensions of the embedding: the package's default.
    knn
        Neighbours among which mutual ones are sought: the package's default.
    """

    name = "scanorama"
    summary = "Batches joined by mutual nearest neighbours in a common embedding of 100 dimensions."
    reference = "10.1038/s41587-019-0113-3"
    citation = """@article{hie2019scanorama,
    author = {Hie, Brian and Bryson, Bryan and Berger, Bonnie},
    title = {Efficient integration of heterogeneous single-cell transcriptomes using {Scanorama}},
    journal = {Nature Biotechnology},
    volume = {37},
    pages = {685--691},
    year = {2019},
    doi = {10.1038/s41587-019-0113-3},
}"""
    licence = "MIT"
    implementation = "official"
    requires = (python_package("scanorama", version=">=1.7.4", extra="scanorama"),)
    caveat = (
        "Its neighbours are approximate and hang on the order of the cells. Batches with few neighbours in common (an "
        "alignment below 0.1) are left where they are. The package sets the global seeds of numpy and Python; "
        "they are put back. No wheel: pip builds annoy with a C++ compiler, so it has an extra of its own."
    )

    def __init__(self, n_genes: int = 2000, n_components: int = 100, knn: int = 20) -> None:
        self.n_genes = n_genes
        self.n_components = n_components
        self.knn = knn

    def embed(self, cells: Cells, batch: np.ndarray, ctx: Context) -> np.ndarray:
        """Coordinates (cells, components)."""
        import numpy as np
        import scanorama

        from bench.methods._shared.pca import variable_genes
        from bench.normalise import log1p_cp10k

        X = log1p_cp10k(cells.X)
        genes = variable_genes(X, self.n_genes)
        X, names = X[:, genes], cells.var.index[genes].to_numpy(dtype=object)
        rows = [np.flatnonzero(batch == name) for name in sorted(set(batch))]
        with _own_seeds():
            parts, _ = scanorama.integrate(
                [X[some] for some in rows],
                [names] * len(rows),
                dimred=min(self.n_components, *X.shape),
                knn=self.knn,
                seed=ctx.seed,
                verbose=False,
            )
        out = np.empty((len(batch), parts[0].shape[1]), dtype=np.float32)
        for some, part in zip(rows, parts, strict=True):
            out[some] = part
        return out


@contextmanager
def _own_seeds() -> Iterator[None]:
    """Put numpy's and Python's global random states back: scanorama sets both."""
    import numpy as np

    theirs, ours = np.random.get_state(), random.getstate()  # noqa: NPY002 - the state that it sets
    try:
        yield
    finally:
        np.random.set_state(theirs)  # noqa: NPY002
        random.setstate(ours)
