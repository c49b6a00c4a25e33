"""The latent space of scVI: a variational autoencoder of counts that is told the batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, python_package
from bench.methods._shared.integrator import Integrator
from bench.methods.scvi import Scvi

if TYPE_CHECKING:
    import numpy as np

    from bench.problem import Cells


class ScviLatent(Integrator):
    """SCVI of scvi-tools with a batch key; the mean of each cell's latent distribution.

    Parameters
    ----------
    n_genes
        Most variable genes, as in ``pca``.
    max_epochs
        Passes over the cells; 0: the package's default, 400, and fewer above 20,000 cells.
    n_latent
        Dimensions of the embedding: the package's default.
    """

    name = "scvi-latent"
    summary = "Latent space of a variational autoencoder of counts with a batch key (scvi-tools)."
    reference = Scvi.reference
    citation = Scvi.citation
    licence = "BSD-3-Clause"
    implementation = "official"
    needs_batches = False
    fewest_cells = 20
    requires = (python_package("scvi-tools", extra="models"), python_package("torch", extra="models"))
    preload = ("scvi",)
    caveat = (
        "The network of `scvi`, which imputes, asked for its embedding: here it knows the batches, sees 2,000 variable "
        "genes and trains as long as the package does by default, so its row is not the imputer's. Of one batch it is "
        "an autoencoder without correction."
    )

    def __init__(self, n_genes: int = 2000, max_epochs: int = 0, n_latent: int = 10) -> None:
        self.n_genes = n_genes
        self.max_epochs = max_epochs
        self.n_latent = n_latent

    def embed(self, cells: Cells, batch: np.ndarray, ctx: Context) -> np.ndarray:
        """Latent means (cells, dimensions)."""
        import scvi

        from bench.methods._shared.pca import variable_genes
        from bench.methods._shared.scvi_tools import anndata_of, default_epochs, scvi_tools, training
        from bench.normalise import log1p_cp10k

        genes = variable_genes(log1p_cp10k(cells.X), self.n_genes)
        with scvi_tools(ctx):
            adata = anndata_of(cells.X[:, genes], batch=batch)
            scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
            model = scvi.model.SCVI(adata, n_latent=self.n_latent)
            model.train(**training(ctx, self.max_epochs or default_epochs(len(batch))))
            return model.get_latent_representation()
