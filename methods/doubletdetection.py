"""DoubletDetection: clusters enriched in artificial doublets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

CLUSTERINGS = ("phenograph", "phenograph-leiden", "leiden")


class DoubletDetection(Method):
    """The BoostClassifier of DoubletDetection, as the package has it.

    Parameters
    ----------
    clustering
        ``phenograph`` (the package's default: PhenoGraph's Louvain, which cannot be seeded), ``phenograph-leiden``
        (PhenoGraph's graph, seeded Leiden) or ``leiden`` (scanpy's graph and Leiden).
    n_iters
        Rounds of adding artificial doublets and clustering.
    p_thresh, voter_thresh
        A cell is called if its cluster's p is at most ``p_thresh`` in this share of the rounds.
    standard_scaling
        Scale genes before PCA.
    pseudocount
        Added before the logarithm; 1 keeps the matrix sparse.
    """

    name = "doubletdetection"
    tasks = ("doublet",)
    summary = "Hypergeometric enrichment of artificial doublets in a cell's cluster, over several rounds."
    reference = "10.5281/zenodo.2678041"
    citation = """@software{gayoso2020doubletdetection,
    author = {Gayoso, Adam and Shor, Jonathan and Carr, Ambrose J. and Sharma, Roshan and Pe'er, Dana},
    title = {{DoubletDetection}},
    publisher = {Zenodo},
    year = {2020},
    doi = {10.5281/zenodo.2678041},
}"""
    licence = "MIT"
    implementation = "official"
    fractional_counts = True
    per_donor = True
    requires = (python_package("doubletdetection", extra="doublet"),)
    caveat = (
        "The default clusters by PhenoGraph's Louvain, a program that takes no seed: two runs with one seed differ. "
        "Preset 'seeded' is the same graph with seeded Leiden, 'leiden' scanpy's graph with Leiden. Genes are not "
        "scaled, as by default, although the package recommends it beside Leiden. Score: -log p averaged over the "
        "rounds; call: the package's default thresholds, which call few or no cells in libraries of some hundred. A "
        "cell without a finite p in any round gets the lowest score and no call. The package makes a dense matrix of "
        "cells x (at most 10,000) genes."
    )
    presets = {"seeded": {"clustering": "phenograph-leiden"}, "leiden": {"clustering": "leiden"}}

    def __init__(
        self,
        clustering: str = "phenograph",
        n_iters: int = 10,
        p_thresh: float = 1e-7,
        voter_thresh: float = 0.9,
        standard_scaling: bool = False,
        pseudocount: float = 0.1,
    ) -> None:
        if clustering not in CLUSTERINGS:
            fix = f"choose among {', '.join(CLUSTERINGS)}"
            raise BenchError(f"there is no clustering {clustering!r}", where=self.name, fix=fix)
        self.clustering = clustering
        self.n_iters = n_iters
        self.p_thresh = p_thresh
        self.voter_thresh = voter_thresh
        self.standard_scaling = standard_scaling
        self.pseudocount = pseudocount

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        import warnings

        import numpy as np
        from doubletdetection import BoostClassifier

        from bench.methods._shared.doublets import require

        X = inputs.cells.X
        detected = np.unique(X.indices)
        require("doubletdetection", cells=20, of_cells=X.shape[0], genes=20, of_genes=len(detected))
        algorithm = self.clustering.removesuffix("-leiden")
        seeded = {"clustering_algo": "leiden", "seed": ctx.seed} if algorithm != self.clustering else None
        with warnings.catch_warnings(), ctx.phase("fit"):
            warnings.simplefilter("ignore")
            classifier = BoostClassifier(
                n_iters=self.n_iters,
                n_components=min(30, X.shape[0] - 1, len(detected) - 1),
                clustering_algorithm=algorithm,
                clustering_kwargs=seeded,
                standard_scaling=self.standard_scaling,
                pseudocount=self.pseudocount,
                random_state=ctx.seed,
                n_jobs=ctx.threads,
            ).fit(X[:, detected])
        with ctx.phase("predict"):
            call = np.nan_to_num(classifier.predict(self.p_thresh, self.voter_thresh)) == 1
            score = np.ma.filled(np.ma.masked_invalid(classifier.doublet_score()), np.nan)
        lost = np.isnan(score)
        if lost.any():
            ctx.log.warning("%d cells have no finite p value; they get the lowest score", lost.sum())
            score[lost] = 0 if lost.all() else score[~lost].min()
        return {"score": score, "call": call & ~lost}
