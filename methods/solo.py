"""SOLO: a classifier on the latent space of a variational autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class Solo(Method):
    """SOLO of scvi-tools, autoencoder and classifier trained on the library itself.

    Parameters
    ----------
    vae_epochs, vae_lr
        Passes over the cells (0: as many as scvi-tools takes for so many cells, at most 400) and learning rate of the
        autoencoder.
    solo_epochs, patience
        Most passes of the classifier, and passes without a lower validation loss after which it stops.
    n_genes
        Genes of highest variance to use; 0 for all.
    """

    name = "solo"
    tasks = ("doublet",)
    summary = "Classifier of summed cells in the latent space of a variational autoencoder (scvi-tools)."
    reference = "10.1016/j.cels.2020.05.010"
    citation = """@article{bernstein2020solo,
    author = {Bernstein, Nicholas J. and Fong, Nicole L. and Lam, Irene and Roy, Margaret A. and Hendrickson,
        David G. and Kelley, David R.},
    title = {{Solo}: doublet identification in single-cell {RNA}-seq via semi-supervised deep learning},
    journal = {Cell Systems},
    volume = {11},
    number = {1},
    pages = {95--101},
    year = {2020},
    doi = {10.1016/j.cels.2020.05.010},
}"""
    licence = "BSD-3-Clause"
    implementation = "official"
    per_donor = True
    requires = (python_package("scvi-tools", extra="models"), python_package("torch", extra="models"))
    preload = ("scvi",)
    trains_long = True
    caveat = (
        "scvi-tools' own defaults, on all genes; preset 'short' trains an eighth as long on 2,000 genes of high "
        "variance, 'fast' still less. In libraries of some 340 cells (the built-in cohort, one seed) the defaults took "
        "several times as long as 'short' and scored lower: average precision 0.30 against 0.52. The package "
        "draws its artificial doublets with a fixed seed: ours changes the networks only. Calls are its most probable "
        "class; with two artificial doublets a cell they are many. Cells without counts score 0."
    )
    presets = {
        "short": {"vae_epochs": 50, "vae_lr": 2e-3, "solo_epochs": 100, "patience": 20, "n_genes": 2000},
        "fast": {"vae_epochs": 20, "vae_lr": 2e-3, "solo_epochs": 60, "patience": 20, "n_genes": 1000},
    }

    def __init__(
        self,
        vae_epochs: int = 0,
        vae_lr: float = 1e-3,
        solo_epochs: int = 400,
        patience: int = 30,
        n_genes: int = 0,
    ) -> None:
        self.vae_epochs = vae_epochs
        self.vae_lr = vae_lr
        self.solo_epochs = solo_epochs
        self.patience = patience
        self.n_genes = n_genes

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        import numpy as np
        import scvi

        from bench.methods._ports.bcds import variable_genes
        from bench.methods._shared.doublets import require
        from bench.methods._shared.scvi_tools import anndata_of, default_epochs, scvi_tools, training

        X = inputs.cells.X
        filled = np.asarray(X.sum(axis=1)).ravel() > 0  # the logarithm of an empty cell's size would spoil the others
        genes = np.sort(variable_genes(X[filled], self.n_genes or X.shape[1])[0]) if filled.any() else np.empty(0)
        require("solo", cells=20, of_cells=int(filled.sum()), genes=10, of_genes=len(genes))

        with scvi_tools(ctx):
            adata = anndata_of(X[filled][:, genes])
            scvi.model.SCVI.setup_anndata(adata)
            with ctx.phase("fit"):
                vae = scvi.model.SCVI(adata)
                epochs = self.vae_epochs or default_epochs(adata.n_obs)
                vae.train(plan_kwargs={"lr": self.vae_lr}, **training(ctx, epochs, share=0.7))
                solo = scvi.external.SOLO.from_scvi_model(vae)
                solo.train(early_stopping_patience=self.patience, **training(ctx, self.solo_epochs, 0.7, 0.3))
            with ctx.phase("predict"):
                probability = solo.predict()["doublet"].to_numpy(float)
        score = np.zeros(X.shape[0])
        score[filled] = probability
        return {"score": score, "call": score > 0.5}
