"""Scrublet, as scanpy maintains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


#: Above this many cells approximate neighbours pay for the minute it takes to compile them.
_EXACT_UP_TO = 20_000


class Scrublet(Method):
    """Nearest neighbours among artificial doublets (sum of two cells).

    Parameters
    ----------
    sim_doublet_ratio
        Artificial doublets per cell.
    n_prin_comps
        Principal components; fewer where the library has fewer cells or variable genes.
    """

    name = "scrublet"
    tasks = ("doublet",)
    summary = "Share of artificial doublets among a cell's nearest neighbours in PCA (scanpy's Scrublet)."
    reference = "10.1016/j.cels.2018.11.005"
    citation = """@article{wolock2019scrublet,
    author = {Wolock, Samuel L. and Lopez, Romain and Klein, Allon M.},
    title = {{Scrublet}: computational identification of cell doublets in single-cell transcriptomic data},
    journal = {Cell Systems},
    volume = {8},
    number = {4},
    pages = {281--291},
    year = {2019},
    doi = {10.1016/j.cels.2018.11.005},
}"""
    licence = "BSD-3-Clause"
    implementation = "reimplementation"
    fractional_counts = True
    per_donor = True
    caveat = (
        "scanpy's re-write, not number for number the scrublet package. Scores depend on the order of the cells "
        "(r = 0.88 between two orders, scanpy 1.12.4), so the seed deals it. Cells with fewer than 3 genes score 0. "
        "Where it finds no threshold, the expected share of cells is called, and the log says so."
    )

    def __init__(self, sim_doublet_ratio: float = 2.0, n_prin_comps: int = 30) -> None:
        self.sim_doublet_ratio = sim_doublet_ratio
        self.n_prin_comps = n_prin_comps

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        import anndata as ad
        import numpy as np
        import pandas as pd
        import scanpy as sc

        from bench.methods._shared.doublets import call_top, expected_rate, explain_if_tiny, require

        X = inputs.cells.X
        genes = int((X.getnnz(axis=0) >= 3).sum())
        require("scrublet", cells=10, of_cells=int((X.getnnz(axis=1) >= 3).sum()), genes=10, of_genes=genes)
        order = np.random.default_rng(ctx.seed).permutation(X.shape[0])
        adata = ad.AnnData(X[order].astype(np.float32), obs=pd.DataFrame(index=pd.RangeIndex(X.shape[0]).astype(str)))
        rate = expected_rate(inputs.cells)
        n_comps = max(1, min(self.n_prin_comps, X.shape[0] // 2, genes // 10))
        try:
            with ctx.phase("fit"):
                sc.pp.scrublet(
                    adata,
                    expected_doublet_rate=rate,
                    sim_doublet_ratio=self.sim_doublet_ratio,
                    n_prin_comps=n_comps,
                    use_approx_neighbors=X.shape[0] > _EXACT_UP_TO,
                    random_state=ctx.seed,
                    verbose=False,
                )
        except ValueError as error:
            explain_if_tiny("scrublet", X, error)
            raise
        score = np.empty(X.shape[0])
        score[order] = adata.obs["doublet_score"].fillna(0).to_numpy(float)
        if "threshold" in adata.uns["scrublet"]:
            return {"score": score, "call": score > adata.uns["scrublet"]["threshold"]}
        ctx.log.warning("scrublet found no threshold; calling the expected share of cells, %.3f", rate)
        return {"score": score, "call": call_top(score, rate)}
