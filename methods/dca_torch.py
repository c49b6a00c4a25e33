"""The deep count autoencoder (DCA) in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.method import Context, python_package
from bench.methods._shared.imputer import Imputer, log_shares

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.methods._shared.imputer import Block
    from bench.problem import Cells


class DcaTorch(Imputer):
    """Our port of DCA: counts as (zero-inflated) negative binomial, 64-32-64 units.

    Parameters
    ----------
    ae_type
        ``nb-conddisp`` (the package's default) or ``zinb-conddisp`` (the paper's).
    epochs, batch_size
        Most passes over the cells, and cells of a step.
    reduce_lr, early_stop
        Passes without a lower validation loss after which the learning rate falls to a tenth, and training ends.
    """

    name = "dca-torch"
    summary = "Deep count autoencoder, ported to PyTorch."
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
    implementation = "port"
    requires = (python_package("torch", extra="models"),)
    fewest_cells = 20
    caveat = (
        "Our port of dca 0.3.4, checked against its output over seeds; initial weights and batches are torch's, not "
        "TensorFlow's. Fitted to the tested cells themselves, in every masking round anew, as the paper does; training "
        "cells are not used. The denoised mean is scaled to 10,000 a cell."
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
        """The trained network and how its input is scaled."""
        import torch

        from bench.methods._ports import dca
        from bench.seeds import derive_seed

        torch.set_num_threads(ctx.threads)
        torch.manual_seed(derive_seed("dca", ctx.seed))
        scaling = dca.Scaling.of(cells.X)
        network = dca.Network(cells.X.shape[1], zero_inflated=_zero_inflated(self.ae_type)).to(ctx.device)
        losses = dca.train(
            network,
            cells.X,
            scaling,
            epochs=self.epochs,
            batch_size=self.batch_size,
            reduce_lr=self.reduce_lr,
            early_stop=self.early_stop,
            report=lambda done, line: ctx.progress(0.9 * done, line),
        )
        ctx.log.info("%d epochs, validation loss %.4f", len(losses), losses[-1])
        return network, scaling

    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """Denoise some cells at a time."""
        from bench.blocks import row_blocks
        from bench.methods._ports import dca

        network, scaling = model
        n_cells, n_genes = counts.shape
        for rows in row_blocks(counts.shape):
            yield rows, slice(0, n_genes), log_shares(dca.mean(network, counts[rows], scaling))
            ctx.progress(0.9 + 0.1 * rows.stop / n_cells, "denoising")


def _zero_inflated(ae_type: str) -> bool:
    from bench.errors import UnknownNameError

    types = {"nb-conddisp": False, "zinb-conddisp": True}
    if ae_type not in types:
        raise UnknownNameError("type of autoencoder", ae_type, types)
    return types[ae_type]
