"""scANVI: a variational autoencoder of counts that knows the labels of some cells and gives them to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class ScanviLabels(Method):
    """SCANVI of scvi-tools, from an SCVI model of training and tested cells together; donors are its batches.

    Parameters
    ----------
    scvi_epochs, scanvi_epochs
        Passes over the cells without and with labels; 0: as many as the package takes by default (of scVI 400, fewer
        with more than 20,000 cells; of scANVI 10 at most).
    """

    name = "scanvi"
    tasks = ("annotation",)
    summary = "Semi-supervised variational autoencoder of the counts of training and tested cells (scvi-tools)."
    reference = "10.15252/msb.20209620"
    citation = """@article{xu2021scanvi,
    author = {Xu, Chenling and Lopez, Romain and Mehlman, Edouard and Regier, Jeffrey and Jordan, Michael I. and Yosef,
        Nir},
    title = {Probabilistic harmonization and annotation of single-cell transcriptomics data with deep generative
        models},
    journal = {Molecular Systems Biology},
    volume = {17},
    number = {1},
    pages = {e9620},
    year = {2021},
    doi = {10.15252/msb.20209620},
}"""
    licence = "BSD-3-Clause"
    implementation = "official"
    supervised = True
    requires = (python_package("scvi-tools", extra="models"), python_package("torch", extra="models"))
    preload = ("scvi",)
    caveat = (
        "It sees the counts of the tested cells in training, without labels, as in its paper: a row beside it that "
        "learns from training cells alone has less to go by. Donors are batches, all genes are used."
    )
    presets = {"short": {"scvi_epochs": 40, "scanvi_epochs": 10}}

    def __init__(self, scvi_epochs: int = 0, scanvi_epochs: int = 0) -> None:
        self.scvi_epochs = scvi_epochs
        self.scanvi_epochs = scanvi_epochs

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        import numpy as np

        from bench.methods._shared.annotation import most_probable, spread
        from bench.methods._shared.scvi_tools import scvi_tools

        model, tested, classes = self.fit(inputs, ctx)
        with scvi_tools(ctx), ctx.phase("predict"):
            found = model.predict(tested, soft=True)
        columns = np.searchsorted(classes, np.asarray(found.columns, dtype=str))
        shares = np.maximum(found.to_numpy(dtype=float), 0)
        return most_probable(spread(shares / shares.sum(axis=1, keepdims=True), columns, len(classes)), classes)

    def fit(self, inputs: Inputs, ctx: Context) -> tuple[Any, Any, list[str]]:
        """The model of both sets of cells, the tested ones as an AnnData, and the classes."""
        import scvi

        from bench.errors import NotApplicableError
        from bench.methods._shared.annotation import training_set
        from bench.methods._shared.scvi_tools import default_epochs, scvi_tools, training

        train, _, classes = training_set(inputs)
        if len(classes) == 1:
            raise NotApplicableError("scANVI learns nothing from a single class")
        if not train.X.nnz:
            raise NotApplicableError("scANVI cannot be trained on cells without counts")
        adata, unknown = _together(inputs, classes)
        first = self.scvi_epochs or default_epochs(adata.n_obs)
        second = self.scanvi_epochs or min(10, max(2, round(default_epochs(adata.n_obs) / 3)))
        share = 0.9 * first / (first + second)
        with scvi_tools(ctx), ctx.phase("fit"):
            scvi.model.SCVI.setup_anndata(adata, batch_key="donor", labels_key="label")
            base = scvi.model.SCVI(adata)
            base.train(**training(ctx, first, 0.0, share))
            model = scvi.model.SCANVI.from_scvi_model(base, unlabeled_category=unknown)
            model.train(**training(ctx, second, share, 0.9 - share))
        return model, adata[len(train.obs) :].copy(), classes


class ScanviLatent(ScanviLabels):
    """The latent space of the same model, as an embedding of cells whose labels it does not know.

    Parameters
    ----------
    scvi_epochs, scanvi_epochs
        As of ``scanvi``.
    """

    name = "scanvi-latent"
    tasks = ("integration",)
    summary = "Latent space of scANVI, which is told the labels of other donors' cells (scvi-tools)."
    caveat = (
        "It is told the labels of the donors that are not tested, which no other row makes use of; only where a track "
        "shows such donors. Donors are batches, all genes are used."
    )

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Embed each cell."""
        from bench.methods._shared.scvi_tools import scvi_tools

        model, tested, _ = self.fit(inputs, ctx)
        with scvi_tools(ctx), ctx.phase("predict"):
            return {"embedding": model.get_latent_representation(tested)}


def _together(inputs: Inputs, classes: list[str]) -> tuple[Any, str]:
    """Training cells, then tested ones, with ``donor`` and ``label``; and what the label of the latter is called."""
    import numpy as np
    from scipy.sparse import vstack

    from bench.methods._shared.scvi_tools import anndata_of

    assert inputs.train is not None
    unknown = "unknown"
    while unknown in classes:
        unknown += "_"
    donor = np.concatenate([np.asarray(cells.obs["donor"], dtype=str) for cells in (inputs.train, inputs.cells)])
    label = [*np.asarray(inputs.train.obs["label"], dtype=str), *[unknown] * len(inputs.cells.obs)]
    X = vstack([inputs.train.X, inputs.cells.X], format="csr")
    return anndata_of(X, donor=donor, label=np.asarray(label, dtype=str)), unknown
