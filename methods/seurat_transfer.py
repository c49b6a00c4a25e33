"""Seurat's label transfer, in R: anchors between training and tested cells pass the labels on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, r_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

#: Fewer cells have too few neighbours: ``k.score`` of FindTransferAnchors is 30.
FEWEST_CELLS = 31
#: The first ``n_train`` cells are the reference. Classes are numbers, so that R leaves their names alone; a column of
#: ``scores`` belongs to the class in ``class``. The farthest of the k anchors of a cell weighs nothing,
#: hence two at least.
#: `k.filter` is the one default of these calls that Seurat 5 changed.
CODE = """
function(counts, seed, threads, n_train, classes, n_features, n_pcs, k_weight, k_filter) {
  suppressPackageStartupMessages(library(Seurat))
  set.seed(seed)
  known <- seq_len(n_train)
  prepare <- function(part) NormalizeData(CreateSeuratObject(part), verbose = FALSE)
  reference <- prepare(counts[, known, drop = FALSE])
  query <- prepare(counts[, -known, drop = FALSE])
  reference <- FindVariableFeatures(reference, nfeatures = n_features, verbose = FALSE)
  reference <- ScaleData(reference, verbose = FALSE)
  reference <- RunPCA(reference, npcs = n_pcs, verbose = FALSE)
  dims <- seq_len(n_pcs)
  anchors <- FindTransferAnchors(reference, query, reference.reduction = "pca", dims = dims, npcs = n_pcs,
                                 k.filter = if (k_filter > 0) k_filter else NA, verbose = FALSE)
  k <- min(k_weight, length(unique(anchors@anchors[, 2])) - 1)
  if (k < 2) return(list(scores = numeric(), class = integer(), k_weight = k, anchors = nrow(anchors@anchors)))
  found <- TransferData(anchors, refdata = paste0("k", classes), dims = dims, k.weight = k, verbose = FALSE)
  columns <- grep("^prediction.score.k", colnames(found), value = TRUE)
  list(scores = as.numeric(t(as.matrix(found[, columns, drop = FALSE]))),
       class = as.integer(sub("prediction.score.k", "", columns)), k_weight = k, anchors = nrow(anchors@anchors))
}
"""


class SeuratTransfer(Method):
    """FindTransferAnchors and TransferData, the training cells as the reference and the tested cells as the query.

    Parameters
    ----------
    n_features
        Highly variable genes of the training cells.
    n_pcs
        Principal components of the training cells that the tested cells are projected on.
    k_weight
        Anchors that a cell's label is weighted over; fewer where there are fewer anchors.
    k_filter
        An anchor counts if its tested cell is among the ``k_filter`` nearest of its training cell in expression: 200 is
        the default of Seurat 4; 0, so that all anchors count, that of Seurat 5.
    """

    name = "seurat-transfer"
    tasks = ("annotation",)
    summary = "Seurat's label transfer, in R: anchors between training and tested cells pass the labels on."
    reference = "10.1016/j.cell.2019.05.031"
    citation = """@article{stuart2019seurat,
    author = {Stuart, Tim and Butler, Andrew and Hoffman, Paul and Hafemeister, Christoph and Papalexi, Efthymia
        and others},
    title = {Comprehensive integration of single-cell data},
    journal = {Cell},
    volume = {177},
    number = {7},
    pages = {1888--1902},
    year = {2019},
    doi = {10.1016/j.cell.2019.05.031},
}"""
    licence = "MIT"
    implementation = "official"
    supervised = True
    requires = (
        r_package("Seurat", install="apt-get install r-cran-seurat, or Rscript -e 'install.packages(\"Seurat\")'"),
    )
    preload = ("bench.methods._shared.warm_seurat",)
    caveat = (
        "Not in the scMamba paper, which names clusters by hand. Training cells of all donors are one reference and "
        "tested cells one query, without integration of donors. The probabilities are Seurat's prediction scores. "
        "Neighbours are approximate and depend on the order of the cells, which is what the seed decides. Anchors are "
        "filtered as in Seurat 4, or with preset 'seurat5' not at all as in Seurat 5, whichever is installed; all else "
        "is the same in 4.3.0 and 5.2.1."
    )
    presets = {"seurat5": {"k_filter": 0}}

    def __init__(self, n_features: int = 2000, n_pcs: int = 30, k_weight: int = 50, k_filter: int = 200) -> None:
        self.n_features = n_features
        self.n_pcs = n_pcs
        self.k_weight = k_weight
        self.k_filter = k_filter

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        import numpy as np
        from scipy.sparse import vstack

        from bench.errors import NotApplicableError
        from bench.methods._shared.annotation import most_probable, spread, training_set
        from bench.methods._shared.pca import gene_moments
        from bench.methods._shared.r_bridge import Argument, call_r

        train, codes, classes = training_set(inputs)
        n, n_train = len(inputs.cells.obs), len(codes)
        if len(classes) == 1:
            raise NotApplicableError("label transfer from a single class says nothing")
        if min(n, n_train) < FEWEST_CELLS:
            raise NotApplicableError(
                f"{n} cells and {n_train} training cells are too few for label transfer",
                fix=f"give {FEWEST_CELLS} or more",
            )
        varying = min(int((gene_moments(X)[1] > 0).sum()) for X in (train.X, inputs.cells.X))
        n_pcs = min(self.n_pcs, n_train - 1, self.n_features - 1, varying - 1)
        if n_pcs < 2:
            raise NotApplicableError(f"{varying} varying genes are too few for label transfer")
        rng = np.random.default_rng(ctx.seed)
        train_order, tested_order = rng.permutation(n_train), rng.permutation(n)
        arguments: dict[str, Argument] = {
            "n_train": n_train,
            "classes": codes[train_order],
            "n_features": self.n_features,
            "n_pcs": n_pcs,
            "k_weight": self.k_weight,
            "k_filter": self.k_filter,
        }
        with ctx.phase("predict"):
            cells = vstack([train.X[train_order], inputs.cells.X[tested_order]], format="csr")
            result = call_r(CODE, cells, ctx, arguments)
        ctx.log.info("%d anchors", result["anchors"][0])
        if not len(result["class"]):
            raise NotApplicableError(
                f"Seurat finds only {result['anchors'][0]} anchors between training and these cells"
            )
        if result["k_weight"][0] < self.k_weight:
            ctx.note(f"labels were weighted over {result['k_weight'][0]:.0f} anchors, as there were no more")
        scores = np.empty((n, len(result["class"])))
        scores[tested_order] = np.maximum(result["scores"].reshape(n, -1), 1e-12)
        scores /= scores.sum(axis=1, keepdims=True)
        return most_probable(spread(scores, result["class"].astype(int), len(classes)), classes)
