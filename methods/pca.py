"""Principal components of the counts: what tools that integrate batches start from, and must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context
from bench.methods._shared.integrator import Integrator, principal_components

if TYPE_CHECKING:
    import numpy as np

    from bench.problem import Cells


class Pca(Integrator):
    """Highly variable genes and principal components, nothing corrected.

    Parameters
    ----------
    n_genes
        Most variable genes, as scanpy finds them.
    n_components
        Principal components, scanpy's default.
    """

    name = "pca"
    summary = "50 principal components of 2,000 highly variable genes: no correction of batches."
    reference = "10.1186/s13059-017-1382-0"
    citation = """@article{wolf2018scanpy,
    author = {Wolf, F. Alexander and Angerer, Philipp and Theis, Fabian J.},
    title = {{SCANPY}: large-scale single-cell gene expression data analysis},
    journal = {Genome Biology},
    volume = {19},
    pages = {15},
    year = {2018},
    doi = {10.1186/s13059-017-1382-0},
}"""
    licence = "BSD-3-Clause"
    implementation = "ours"
    stochastic = False
    needs_batches = False
    caveat = "The baseline of integration: it does not know the batches. Exact components of scanpy's variable genes."

    def __init__(self, n_genes: int = 2000, n_components: int = 50) -> None:
        self.n_genes = n_genes
        self.n_components = n_components

    def embed(self, cells: Cells, batch: np.ndarray, ctx: Context) -> np.ndarray:
        """Principal components (cells, components)."""
        return principal_components(cells, self.n_genes, self.n_components)
