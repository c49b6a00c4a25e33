"""The deep count autoencoder (DCA), the authors' package in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.method import Context, python_package
from bench.methods._shared.imputer import Imputer, log_shares

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.methods._shared.imputer import Block
    from bench.problem import Cells


class Dca(Imputer):
    """The official dca 0.3.4: counts as (zero-inflated) negative binomial, 64-32-64 units.

    Parameters
    ----------
    ae_type
        ``nb-conddisp`` (the package's default), ``zinb-conddisp`` (the paper's), ``nb`` or ``zinb``.
    epochs, batch_size
        Most passes over the cells, and cells of a step.
    reduce_lr, early_stop
        Passes without a lower validation loss after which the learning rate falls to a tenth, and training ends.
    """

    name = "dca"
    summary = "Deep count autoencoder, the authors' package."
    reference = "10.1038/s41467-018-07931-2"
    citation = r"""@article{eraslan2019dca,
    author = {Eraslan, G{\"o}kcen and Simon, Lukas M. and Mircea, Maria and Mueller, Nikola S. and Theis, Fabian J.},
    title = {Single-cell {RNA}-seq denoising using a deep count autoencoder},
    journal = {Nature Communications},
    volume = {10},
    pages = {390},
    year = {2019},
    doi = {10.1038/s41467-018-07931-2},
}"""
    licence = "Apache-2.0"
    implementation = "official"
    environment = "dca.toml"
    requires = (python_package("dca"),)
    fewest_cells = 20
    caveat = (
        "Eager mode is switched off before seeding, which the package does too late to be reproducible. Where there is "
        "no Python 3.8 the package is adapted to TensorFlow 2.15 (the row's versions tell). Fitted to the tested "
        "cells themselves, in every masking round anew, as the paper does; training cells are not used. The denoised "
        "mean is scaled to 10,000 a cell."
    )

    def __init__(
        self,
        ae_type: str = "nb-conddisp",
        epochs: int = 300,
        batch_size: int = 32,
        reduce_lr: int = 10,
        early_stop: int = 15,
    ) -> None:
        self.ae_type = ae_type
        self.epochs = epochs
        self.batch_size = batch_size
        self.reduce_lr = reduce_lr
        self.early_stop = early_stop

    def fit(self, cells: Cells, ctx: Context) -> Any:
        """Denoised means of the cells: the package fits and denoises in one call."""
        from bench.errors import NotApplicableError
        from bench.methods._ports import dca_official

        if (cells.X.max(axis=0) != cells.X.min(axis=0)).nnz == 0:
            raise NotApplicableError("dca scales each gene by its spread, and all cells are alike")
        return dca_official.denoise(
            cells.X,
            random_state=ctx.seed,
            threads=ctx.threads,
            report=ctx.progress,
            ae_type=self.ae_type,
            epochs=self.epochs,
            batch_size=self.batch_size,
            reduce_lr=self.reduce_lr,
            early_stop=self.early_stop,
        )

    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """Some cells of the denoised means at a time."""
        from bench.blocks import row_blocks

        n_cells, n_genes = counts.shape
        for rows in row_blocks(counts.shape):
            yield rows, slice(0, n_genes), log_shares(model[rows])
