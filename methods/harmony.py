"""Harmony: principal components moved, cluster by cluster, until batches mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, python_package
from bench.methods._shared.integrator import Integrator, principal_components

if TYPE_CHECKING:
    import numpy as np

    from bench.problem import Cells


class Harmony(Integrator):
    """harmonypy on the components of ``pca``, called directly: it gives cells x components.

    Parameters
    ----------
    n_genes, n_components
        Of the components that it starts from, as in ``pca``.
    theta
        Diversity penalty: the package's default.
    max_iter
        Most rounds of clustering and correction: the package's default.
    """

    name = "harmony"
    summary = "Principal components corrected by soft clusters in which batches are to mix (harmonypy)."
    reference = "10.1038/s41592-019-0619-0"
    citation = """@article{korsunsky2019harmony,
    author = {Korsunsky, Ilya and Millard, Nghia and Fan, Jean and Slowikowski, Kamil and Zhang, Fan and others},
    title = {Fast, sensitive and accurate integration of single-cell data with {Harmony}},
    journal = {Nature Methods},
    volume = {16},
    pages = {1289--1296},
    year = {2019},
    doi = {10.1038/s41592-019-0619-0},
}"""
    licence = "GPL-3.0-or-later"
    implementation = "official"
    fewest_cells = 45
    requires = (python_package("harmonypy", version=">=2.1", extra="integration"),)
    caveat = (
        "The authors' Python package with its defaults, on the components of `pca`. It makes a cluster of thirty "
        "cells, so fewer than 45 are declined. The seed and the order of the cells decide where clusters start."
    )

    def __init__(self, n_genes: int = 2000, n_components: int = 50, theta: float = 2.0, max_iter: int = 10) -> None:
        self.n_genes = n_genes
        self.n_components = n_components
        self.theta = theta
        self.max_iter = max_iter

    def embed(self, cells: Cells, batch: np.ndarray, ctx: Context) -> np.ndarray:
        """Corrected components (cells, components)."""
        import harmonypy
        import pandas as pd

        components = principal_components(cells, self.n_genes, self.n_components)
        found = harmonypy.run_harmony(
            components.T,  # components x cells is looked for first, so it cannot be mistaken where both are as many
            pd.DataFrame({"batch": batch}),
            "batch",
            theta=self.theta,
            max_iter_harmony=self.max_iter,
            random_state=ctx.seed,
            ncores=ctx.threads,
            verbose=False,
        ).Z_corr
        if found.shape != components.shape:
            raise RuntimeError(f"harmonypy gives {found.shape}, expected {components.shape} (cells, components)")
        return found
