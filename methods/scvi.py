"""scVI: a variational autoencoder of counts, whose decoder says what a cell expresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.method import Context, python_package
from bench.methods._shared.imputer import Imputer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.methods._shared.imputer import Block
    from bench.problem import Cells


class Scvi(Imputer):
    """SCVI of scvi-tools and its denoised expression.

    Parameters
    ----------
    max_epochs
        Most passes over the cells; 0: the package's default, 400, and fewer above 20,000 cells.
    patience
        Passes without a lower validation loss after which training stops; 0: the package's default, never.
    n_latent, n_hidden, n_layers
        Sizes of the network; scvi-tools' defaults.
    """

    name = "scvi"
    summary = "Denoised expression of a variational autoencoder of counts (scvi-tools)."
    reference = "10.1038/s41592-018-0229-2"
    citation = """@article{lopez2018scvi,
    author = {Lopez, Romain and Regier, Jeffrey and Cole, Michael B. and Jordan, Michael I. and Yosef, Nir},
    title = {Deep generative modeling for single-cell transcriptomics},
    journal = {Nature Methods},
    volume = {15},
    pages = {1053--1058},
    year = {2018},
    doi = {10.1038/s41592-018-0229-2},
}"""
    licence = "BSD-3-Clause"
    implementation = "official"
    inductive = True
    fewest_cells = 20
    requires = (python_package("scvi-tools", extra="models"), python_package("torch", extra="models"))
    preload = ("scvi",)
    caveat = (
        "No batch key: tested donors are not among the training ones. Trained once on the training cells where there "
        "are such, otherwise on the cells themselves. Expression is one sample of the posterior, as by default. "
        "Preset 'short' stops early, after 100 epochs at the latest."
    )
    presets = {"short": {"max_epochs": 100, "patience": 10}}

    def __init__(
        self, max_epochs: int = 0, patience: int = 0, n_latent: int = 10, n_hidden: int = 128, n_layers: int = 1
    ) -> None:
        self.max_epochs = max_epochs
        self.patience = patience
        self.n_latent = n_latent
        self.n_hidden = n_hidden
        self.n_layers = n_layers

    def fit(self, cells: Cells, ctx: Context) -> Any:
        """The trained model."""
        import scvi

        from bench.methods._shared.scvi_tools import anndata_of, default_epochs, scvi_tools, training

        adata = anndata_of(cells.X)
        with scvi_tools(ctx):
            scvi.model.SCVI.setup_anndata(adata)
            model = scvi.model.SCVI(adata, n_latent=self.n_latent, n_hidden=self.n_hidden, n_layers=self.n_layers)
            model.train(
                batch_size=min(128, max(2, cells.X.shape[0] // 4)),
                **({"early_stopping": True, "early_stopping_patience": self.patience} if self.patience else {}),
                **training(ctx, self.max_epochs or default_epochs(cells.X.shape[0])),
            )
        ctx.log.info("stopped after %d epochs", model.trainer.current_epoch)
        return model

    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """Decode some cells at a time."""
        import numpy as np

        from bench.blocks import row_blocks
        from bench.methods._shared.scvi_tools import anndata_of, scvi_tools
        from bench.normalise import CP10K

        n_cells, n_genes = counts.shape
        with scvi_tools(ctx):
            for rows in row_blocks(counts.shape):
                values = model.get_normalized_expression(
                    anndata_of(counts[rows]), library_size=CP10K, return_numpy=True, batch_size=128
                )
                yield rows, slice(0, n_genes), np.log1p(np.asarray(values, dtype=np.float32))
                ctx.progress(0.9 + 0.1 * rows.stop / n_cells, "decoding")
