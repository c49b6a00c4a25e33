"""The R package scDblFinder itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, r_package
from bench.methods.pyscdblfinder import PyScDblFinder
from bench.methods.scds_r import BIOCONDUCTOR

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

CODE = """
function(counts, seed, threads, rate) {
  suppressPackageStartupMessages({library(SingleCellExperiment); library(scDblFinder)})
  sce <- SingleCellExperiment(assays = list(counts = counts))
  set.seed(seed)
  sce <- scDblFinder(sce, dbr = rate, verbose = FALSE)
  list(score = sce$scDblFinder.score, call = sce$scDblFinder.class == "doublet")
}
"""


class ScDblFinderR(Method):
    """scDblFinder by its authors, in R, with the package's defaults."""

    name = "scdblfinder-r"
    tasks = ("doublet",)
    summary = "Boosted trees on neighbourhoods of artificial doublets, by the R package scDblFinder."
    reference = PyScDblFinder.reference
    citation = PyScDblFinder.citation
    licence = "GPL-3.0-only"
    implementation = "official"
    per_donor = True
    requires = tuple(
        r_package(name, install=BIOCONDUCTOR.format(name)) for name in ("SingleCellExperiment", "scDblFinder")
    )
    caveat = (
        "The package's defaults; it is told the expected doublet rate, as an experimenter would. The wrapper was "
        "written from the documentation and not yet run with the package: Debian has none."
    )

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from bench.methods._shared.doublets import expected_rate, require
        from bench.methods._shared.r_bridge import call_r

        X = inputs.cells.X
        require("scDblFinder", cells=50, of_cells=X.shape[0], genes=200, of_genes=X.shape[1])
        with ctx.phase("fit"):
            result = call_r(CODE, X, ctx, {"rate": expected_rate(inputs.cells)})
        return {"score": result["score"].astype(float), "call": result["call"].astype(bool)}
