"""The R package scds itself (cxds, bcds, hybrid)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.method import Context, Method, r_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

BIOCONDUCTOR = 'Rscript -e \'install.packages("BiocManager"); BiocManager::install("{0}")\''
SCORES = ("cxds", "bcds", "hybrid")

CODE = """
function(counts, seed, threads, score) {
  suppressPackageStartupMessages({library(SingleCellExperiment); library(scds)})
  sce <- SingleCellExperiment(assays = list(counts = counts))
  set.seed(seed)
  run <- switch(score, cxds = cxds, bcds = bcds, hybrid = cxds_bcds_hybrid)
  sce <- run(sce, estNdbl = TRUE)
  list(score = colData(sce)[[paste0(score, "_score")]], call = colData(sce)[[paste0(score, "_call")]])
}
"""


class ScdsR(Method):
    """scds by its authors, in R.

    Parameters
    ----------
    score
        Which of the package's scores: ``cxds``, ``bcds`` or ``hybrid``.
    """

    name = "scds-r"
    tasks = ("doublet",)
    summary = "cxds, bcds or (default) their hybrid, by the R package scds."
    reference = "10.1093/bioinformatics/btz698"
    citation = """@article{bais2020scds,
    author = {Bais, Abha S. and Kostka, Dennis},
    title = {scds: computational annotation of doublets in single-cell {RNA} sequencing data},
    journal = {Bioinformatics},
    volume = {36},
    number = {4},
    pages = {1150--1158},
    year = {2020},
    doi = {10.1093/bioinformatics/btz698},
}"""
    licence = "MIT"
    implementation = "official"
    fractional_counts = True
    per_donor = True
    requires = (
        r_package("SingleCellExperiment", install=BIOCONDUCTOR.format("SingleCellExperiment")),
        r_package("scds", install=BIOCONDUCTOR.format("scds")),
    )
    caveat = (
        "Calls by the package's 'balanced' threshold; its artificial doublets are sums where the port of cxds takes "
        "the logical OR, so R calls fewer cells. xgboost uses two threads whatever the budget. Fails on fewer than "
        "500 genes. The wrapper was written from the documentation and not yet run with the package."
    )

    def __init__(self, score: str = "hybrid") -> None:
        if score not in SCORES:
            raise BenchError(f"scds has no score {score!r}", where="scds-r", fix=f"choose among {', '.join(SCORES)}")
        self.score = score

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from bench.methods._shared.doublets import require
        from bench.methods._shared.r_bridge import call_r

        X = inputs.cells.X
        require("scds", cells=10, of_cells=X.shape[0], genes=500, of_genes=X.shape[1])
        with ctx.phase("fit"):
            result = call_r(CODE, X, ctx, {"score": self.score})
        return {"score": result["score"].astype(float), "call": result["call"].astype(bool)}
