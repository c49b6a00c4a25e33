"""Seurat's integration by reciprocal PCA, in R: anchors between batches, found in each other's components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.method import Context
from bench.methods._shared.integrator import Integrator
from bench.methods.seurat_transfer import SeuratTransfer

if TYPE_CHECKING:
    import numpy as np

    from bench.problem import Cells

#: With more weights than two batches have cells in anchors Seurat stops: then as many as it can. Cells are c1, c2, ...
CODE = """
function(counts, seed, threads, batch, n_features, n_pcs, k_weight) {
  suppressPackageStartupMessages(library(Seurat))
  set.seed(seed)
  prepare <- function(cells) {
    part <- NormalizeData(CreateSeuratObject(counts[, cells, drop = FALSE]), verbose = FALSE)
    FindVariableFeatures(part, nfeatures = n_features, verbose = FALSE)
  }
  parts <- lapply(split(seq_len(ncol(counts)), batch), prepare)
  features <- SelectIntegrationFeatures(parts, nfeatures = n_features, verbose = FALSE)
  reduce <- function(part) {
    RunPCA(ScaleData(part, features = features, verbose = FALSE), features = features, npcs = n_pcs, verbose = FALSE)
  }
  dims <- seq_len(n_pcs)
  anchors <- FindIntegrationAnchors(lapply(parts, reduce), anchor.features = features, reduction = "rpca",
                                    dims = dims, verbose = FALSE)
  integrate <- function(k) IntegrateData(anchors, dims = dims, k.weight = k, verbose = FALSE)
  found <- anchors@anchors
  k <- k_weight
  whole <- tryCatch(integrate(k), error = function(stop) NULL)
  if (is.null(whole)) {
    shared <- tapply(found$cell2, list(found$dataset1, found$dataset2), function(cells) length(unique(cells)))
    k <- min(k_weight, shared - 1, na.rm = TRUE)
    if (k < 2) return(list(embedding = numeric(), cell = integer(), anchors = nrow(found), k_weight = k))
    whole <- integrate(k)
  }
  DefaultAssay(whole) <- "integrated"
  whole <- RunPCA(ScaleData(whole, verbose = FALSE), npcs = n_pcs, verbose = FALSE)
  points <- Embeddings(whole, "pca")
  list(embedding = as.numeric(points), cell = as.integer(sub("c", "", rownames(points))), anchors = nrow(found),
       k_weight = k)
}
"""


class SeuratRpca(Integrator):
    """FindIntegrationAnchors with ``reduction = "rpca"``, IntegrateData, then PCA of the integrated genes.

    Parameters
    ----------
    n_features
        Variable genes of each batch, and genes that are integrated.
    n_pcs
        Components in which anchors are sought, and of the result.
    k_weight
        Anchors that a cell's correction is weighted over; fewer where two batches have fewer.
    """

    name = "seurat-rpca"
    summary = "Seurat's anchors between batches in reciprocal principal components, in R."
    reference = "10.1016/j.cell.2021.04.048"
    citation = """@article{hao2021seurat,
    author = {Hao, Yuhan and Hao, Stephanie and Andersen-Nissen, Erica and Mauck, William M. and Zheng, Shiwei
        and others},
    title = {Integrated analysis of multimodal single-cell data},
    journal = {Cell},
    volume = {184},
    number = {13},
    pages = {3573--3587},
    year = {2021},
    doi = {10.1016/j.cell.2021.04.048},
}"""
    licence = "MIT"
    implementation = "official"
    fewest_in_batch = 31
    requires = SeuratTransfer.requires
    caveat = (
        "The package's own defaults, but for `k.weight` where two batches have fewer than 100 cells in anchors; such "
        "rows say so. Batches of fewer than 31 cells are declined: `k.score` is 30. Neighbours are approximate and "
        "depend on the order of the cells."
    )

    def __init__(self, n_features: int = 2000, n_pcs: int = 30, k_weight: int = 100) -> None:
        self.n_features = n_features
        self.n_pcs = n_pcs
        self.k_weight = k_weight

    def embed(self, cells: Cells, batch: np.ndarray, ctx: Context) -> np.ndarray:
        """Components of the integrated genes (cells, components)."""
        import numpy as np

        from bench.errors import NotApplicableError
        from bench.methods._shared.pca import gene_moments
        from bench.methods._shared.r_bridge import call_r

        _, code, size = np.unique(batch.astype(str), return_inverse=True, return_counts=True)
        varying = min(int((gene_moments(cells.X[code == k])[1] > 0).sum()) for k in range(len(size)))
        n_pcs = min(self.n_pcs, int(size.min()) - 1, self.n_features - 1, varying - 1)
        if n_pcs < 2:
            raise NotApplicableError(f"{varying} varying genes in a batch are too few to find anchors with")
        arguments: dict[str, Any] = {
            "batch": code + 1,
            "n_features": self.n_features,
            "n_pcs": n_pcs,
            "k_weight": self.k_weight,
        }
        found = call_r(CODE, cells.X, ctx, arguments)
        ctx.log.info("%d anchors", found["anchors"][0])
        if not len(found["cell"]):
            raise NotApplicableError(f"Seurat finds only {found['anchors'][0]} anchors between the batches")
        if found["k_weight"][0] < self.k_weight:
            ctx.note(f"corrections were weighted over {found['k_weight'][0]:.0f} anchors, as two batches have no more")
        out = np.empty((len(batch), n_pcs))
        out[found["cell"].astype(int) - 1] = found["embedding"].reshape(n_pcs, -1).T
        return out
