"""pyscDblFinder: a Python re-implementation in the manner of scDblFinder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class PyScDblFinder(Method):
    """Boosted trees on neighbourhoods of artificial doublets, by the PyPI package pyscdblfinder.

    Parameters
    ----------
    n_features
        Genes of highest variance to use.
    dims
        Principal components.
    """

    name = "pyscdblfinder"
    tasks = ("doublet",)
    summary = "Boosted trees on neighbourhood features; a PyPI re-implementation, not R's scDblFinder."
    reference = "10.12688/f1000research.73600.2"
    citation = """@article{germain2022scdblfinder,
    author = {Germain, Pierre-Luc and Lun, Aaron and Garcia Meixide, Carlos and Macnair, Will and Robinson, Mark D.},
    title = {Doublet identification in single-cell sequencing data using {scDblFinder}},
    journal = {F1000Research},
    volume = {10},
    pages = {979},
    year = {2022},
    doi = {10.12688/f1000research.73600.2},
}"""
    licence = "GPL-3.0-only"
    implementation = "reimplementation"
    per_donor = True
    requires = (python_package("pyscdblfinder", extra="doublet"), python_package("xgboost", extra="doublet"))
    caveat = (
        "Not R's scDblFinder: genes are chosen by variance instead of mean, other rounds and penalties; its README "
        "reports a rank correlation of 0.30 with R's scores. It is told the expected doublet rate, and makes dense "
        "copies of the chosen genes. Scores repeat under a seed, but differ between thread counts."
    )

    def __init__(self, n_features: int = 1352, dims: int = 20) -> None:
        self.n_features = n_features
        self.dims = dims

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from unittest.mock import patch

        import numpy as np
        from pyscdblfinder import classifier, sc_dbl_finder

        from bench.errors import BenchError
        from bench.methods._shared.doublets import expected_rate, explain_if_tiny, require

        X = inputs.cells.X
        detected = np.unique(X.indices)
        require("pyscdblfinder", cells=30, of_cells=X.shape[0], genes=30, of_genes=len(detected))
        try:
            # the package takes every core it may use, and has no argument against it
            with ctx.phase("fit"), patch.object(classifier, "_resolve_nthreads", lambda n_jobs: ctx.threads):
                result = sc_dbl_finder(
                    X[:, detected].T.tocsr(),
                    dbr=expected_rate(inputs.cells),
                    n_features=self.n_features,
                    dims=min(self.dims, len(detected) - 1),
                    random_state=ctx.seed,
                    progress=False,
                )
        except ValueError as error:
            explain_if_tiny("pyscdblfinder", X, error)
            raise
        cells = result.real_cells()
        if cells["score"].dtype != np.float32:  # the package hides errors of xgboost, whose predictions are float32
            raise BenchError("pyscdblfinder returned scores that no classifier was trained for")
        return {"score": cells["score"].to_numpy(float), "call": cells["class"].to_numpy() == "doublet"}
