"""The R package DoubletFinder itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, r_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

#: find.pK draws a plot, so the graphics device leads nowhere. Result columns are found by prefix; parameters follow.
#: The package takes the genes that were scaled before. With Seurat 5's new class of assay none are on record and it
#: chooses others, among cells and artificial doublets; so the old class is asked for (Seurat 4 has no other).
CODE = """
function(counts, seed, threads, n_expected, pn, pk, n_pcs, n_features, homotypic) {
  suppressPackageStartupMessages({library(Seurat); library(DoubletFinder)})
  pdf(NULL)
  before <- options(Seurat.object.assay.version = "v3")
  on.exit({dev.off(); options(before)})
  so <- CreateSeuratObject(counts)
  so <- NormalizeData(so, verbose = FALSE)
  so <- FindVariableFeatures(so, nfeatures = n_features, verbose = FALSE)
  so <- ScaleData(so, verbose = FALSE)
  so <- RunPCA(so, npcs = max(n_pcs, 2), verbose = FALSE)
  pcs <- seq_len(n_pcs)
  if (homotypic) {
    so <- FindClusters(FindNeighbors(so, dims = pcs, verbose = FALSE), verbose = FALSE)
    n_expected <- round(n_expected * (1 - modelHomotypic(Idents(so))))
  }
  set.seed(seed)
  if (is.null(pk)) {
    found <- find.pK(summarizeSweep(paramSweep(so, PCs = pcs, sct = FALSE), GT = FALSE))
    pk <- as.numeric(as.character(found$pK[which.max(found$BCmetric)]))
    set.seed(seed)
  }
  so <- doubletFinder(so, PCs = pcs, pN = pn, pK = pk, nExp = max(n_expected, 1), sct = FALSE)
  meta <- so[[]]
  called <- meta[[grep("^DF.classifications", colnames(meta))]] == "Doublet"
  list(score = meta[[grep("^pANN", colnames(meta))]], call = called & n_expected > 0, pk = pk)
}
"""


class DoubletFinderR(Method):
    """DoubletFinder by its authors, on Seurat, in R.

    Parameters
    ----------
    pn
        Artificial doublets as a share of all points.
    pk
        Neighbourhood size as a share of all points; None chooses it by the pN-pK sweep and BCmvn.
    n_pcs
        Principal components.
    n_features
        Highly variable genes.
    homotypic
        Lower the number of calls by the share of doublets within one cluster.
    """

    name = "doubletfinder-r"
    tasks = ("doublet",)
    summary = "Artificial doublets among each cell's nearest neighbours in PCA space, by the R package."
    reference = "10.1016/j.cels.2019.03.003"
    citation = """@article{mcginnis2019doubletfinder,
    author = {McGinnis, Christopher S. and Murrow, Lyndsay M. and Gartner, Zev J.},
    title = {{DoubletFinder}: doublet detection in single-cell {RNA} sequencing data using artificial nearest
        neighbors},
    journal = {Cell Systems},
    volume = {8},
    number = {4},
    pages = {329--337},
    year = {2019},
    doi = {10.1016/j.cels.2019.03.003},
}"""
    licence = "CC0-1.0"
    implementation = "official"
    fractional_counts = True
    per_donor = True
    requires = (
        r_package("Seurat", install="apt-get install r-cran-seurat, or Rscript -e 'install.packages(\"Seurat\")'"),
        r_package(
            "DoubletFinder",
            install='Rscript -e \'install.packages("remotes"); '
            'remotes::install_github("chris-mcginnis-ucsf/DoubletFinder")\'',
        ),
    )
    caveat = (
        "The package holds a dense matrix of all distances. It calls one doublet where none is expected; the wrapper "
        "then calls none. Version 2.0.6 needs SeuratObject 5; with Seurat's old class of assay, which the wrapper asks "
        "for, it gives what it gave on Seurat 4, and with that of Seurat 5 other numbers for half of the cells. RunPCA "
        "resets R's random numbers, so the sweep hardly follows the seed."
    )

    def __init__(
        self,
        pn: float = 0.25,
        pk: float | None = None,
        n_pcs: int = 10,
        n_features: int = 2000,
        homotypic: bool = True,
    ) -> None:
        self.pn = pn
        self.pk = pk
        self.n_pcs = n_pcs
        self.n_features = n_features
        self.homotypic = homotypic

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from bench.methods._shared.doublets import expected_rate, require
        from bench.methods._shared.r_bridge import call_r

        X = inputs.cells.X
        require("DoubletFinder", cells=max(50, 2 * self.n_pcs), of_cells=X.shape[0], genes=100, of_genes=X.shape[1])
        arguments = {
            "n_expected": round(expected_rate(inputs.cells) * X.shape[0]),
            "pn": self.pn,
            "pk": self.pk,
            "n_pcs": self.n_pcs,
            "n_features": self.n_features,
            "homotypic": self.homotypic,
        }
        with ctx.phase("fit"):
            result = call_r(CODE, X, ctx, arguments)
        ctx.log.info("pK %g", result["pk"][0])
        return {"score": result["score"].astype(float), "call": result["call"].astype(bool)}
