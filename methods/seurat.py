"""Seurat itself, in R: clusters of the tested cells, named by marker genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import r_package
from bench.methods.seurat_py import SeuratPy

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.method import Context

#: How FindNeighbors can search.
NN_METHODS = ("annoy", "rann")
#: ``classes`` are numbers; genes come back by the number in their name. What FindAllMarkers does class by class, of the
#: genes of highest fold change first and no further than ``n_markers`` of them: in R a test takes 20 ms. Every default
#: that Seurat 5 changed is given, and with it the p of `wilcox`, which Seurat takes from presto, limma or R itself,
#: whichever is installed: R alone would be exact in small groups without ties.
MARKERS = """
function(counts, seed, threads, classes, version, min_pct, min_fold, n_markers) {
  suppressPackageStartupMessages(library(Seurat))
  so <- NormalizeData(CreateSeuratObject(counts), verbose = FALSE)
  Idents(so) <- factor(classes)
  average <- if (version == 5) function(x) log2((Matrix::rowSums(expm1(x)) + 1) / ncol(x))
             else function(x) log2(Matrix::rowMeans(expm1(x)) + 1)
  markers <- function(class) {
    fold <- FoldChange(so, ident.1 = class, mean.fxn = average, fc.name = "avg_log2FC")
    fold <- fold[pmax(fold$pct.1, fold$pct.2) >= min_pct & fold$avg_log2FC >= min_fold, ]
    left <- rownames(fold)[order(-fold$avg_log2FC)]
    found <- NULL
    while (length(left) && sum(found$p_val < 0.01) < n_markers) {
      some <- head(left, n_markers + 5)
      left <- setdiff(left, some)
      tested <- FindMarkers(so, ident.1 = class, features = some, test.use = "wilcox", exact = FALSE, min.pct = min_pct,
                            logfc.threshold = min_fold, mean.fxn = average, fc.name = "avg_log2FC", only.pos = TRUE,
                            min.cells.group = 3, verbose = FALSE)
      found <- rbind(found, data.frame(gene = as.integer(sub("g", "", rownames(tested))), class = as.integer(class),
                                       fold = tested$avg_log2FC, p_val = tested$p_val))
    }
    found[found$p_val < 0.01, ]
  }
  size <- table(classes)
  enough <- names(size)[size >= 3 & sum(size) - size >= 3]
  found <- do.call(rbind, lapply(enough, markers))
  installed <- paste("Seurat", packageVersion("Seurat"), "on R", getRversion())
  if (is.null(found)) return(list(gene = integer(), class = integer(), fold = numeric(), installed = installed))
  list(gene = found$gene, class = found$class, fold = found$fold, installed = installed)
}
"""
CLUSTERS = """
function(counts, seed, threads, n_features, n_pcs, resolution, nn_method) {
  suppressPackageStartupMessages(library(Seurat))
  so <- NormalizeData(CreateSeuratObject(counts), verbose = FALSE)
  so <- FindVariableFeatures(so, nfeatures = n_features, verbose = FALSE)
  so <- ScaleData(so, verbose = FALSE)
  so <- RunPCA(so, npcs = n_pcs, verbose = FALSE)
  so <- FindNeighbors(so, dims = seq_len(n_pcs), nn.method = nn_method, verbose = FALSE)
  so <- FindClusters(so, resolution = resolution, random.seed = seed, verbose = FALSE)
  list(cluster = as.integer(as.character(Idents(so))))
}
"""


class Seurat(SeuratPy):
    """Seurat's own functions: NormalizeData to FindClusters on the tested cells, FindAllMarkers on the training cells.

    The analyst who names the clusters is replaced by the rule of ``seurat-py``: a cluster gets the class whose markers
    have the highest mean scaled expression in it, and stays unassigned where no class's markers are above the average
    of all cells.

    Parameters
    ----------
    markers
        ``train``: genes that FindAllMarkers finds in the training cells, the ``n_markers`` of highest fold change for
        each class. ``brain``: the genes that the scMamba paper names for eight brain cell types; classes called
        otherwise are never given.
    n_markers
        Markers of a class.
    n_features
        Highly variable genes.
    n_pcs
        Principal components.
    resolution
        Resolution of Louvain; a higher one gives more clusters.
    cells_per_class
        Training cells of each class, drawn at random, that markers are sought in; 0 for all.
    nn_method
        How FindNeighbors searches: ``annoy`` (approximate, Seurat's default) or ``rann`` (exact; slower).
    version
        Whose filters and fold changes FindAllMarkers has, 4 or 5, whichever version of Seurat is installed.
    """

    name = "seurat"
    summary = "Seurat's clustering, in R; clusters named by marker genes of the training cells."
    implementation = "official"
    requires = (
        r_package("Seurat", install="apt-get install r-cran-seurat, or Rscript -e 'install.packages(\"Seurat\")'"),
    )
    preload = ("bench.methods._shared.warm_seurat",)
    caveat = (
        "The scMamba paper's manual naming of clusters is replaced by a rule. Tested cells of all donors are clustered "
        "together, without integration. A cluster has one label, so a class without a cluster of its own is lost; so "
        "is one of fewer than 3 training cells. No probabilities. Markers have the filters and fold changes of Seurat "
        "4, or with preset 'seurat5' of Seurat 5, whichever is installed; all else is the same in 4.3.0 and 5.2.1. "
        "Neighbours are approximate by default, which can merge small classes; preset 'exact' gives the clusters of "
        "seurat-py (docs/annotation.md). The seed decides the order of the cells and the starts of Louvain."
    )
    presets = {**SeuratPy.presets, "exact": {"nn_method": "rann"}}

    def __init__(
        self,
        markers: str = "train",
        n_markers: int = 20,
        n_features: int = 2000,
        n_pcs: int = 30,
        resolution: float = 0.8,
        cells_per_class: int = 1000,
        nn_method: str = "annoy",
        version: int = 4,
    ) -> None:
        super().__init__(markers, n_markers, n_features, n_pcs, resolution, cells_per_class, version)
        self.nn_method = nn_method

    def find_markers(self, X: csr_matrix, codes: np.ndarray, n_classes: int, ctx: Context) -> list[np.ndarray]:
        """Marker genes of each class."""
        import numpy as np

        from bench.methods._ports.seurat_markers import filters
        from bench.methods._shared.r_bridge import Argument, call_r

        min_pct, min_fold = filters(self.version)
        if len(np.unique(codes)) < 2 or not X.nnz:
            return [np.zeros(0, int)] * n_classes
        arguments: dict[str, Argument] = {
            "classes": codes,
            "version": self.version,
            "min_pct": min_pct,
            "min_fold": min_fold,
            "n_markers": self.n_markers,
        }
        result = call_r(MARKERS, X, ctx, arguments)
        ctx.note(f"markers by the filters and fold changes of Seurat {self.version}, found by {result['installed'][0]}")
        order = np.lexsort((result["gene"], -result["fold"]))
        genes, classes = result["gene"][order].astype(int) - 1, result["class"][order]
        return [genes[classes == k][: self.n_markers] for k in range(n_classes)]

    def find_clusters(self, X: csr_matrix, ctx: Context) -> np.ndarray:
        """Cluster of each cell."""
        from bench.errors import NotApplicableError, UnknownNameError
        from bench.methods._shared.pca import gene_moments
        from bench.methods._shared.r_bridge import Argument, call_r

        if self.nn_method not in NN_METHODS:
            raise UnknownNameError("neighbour search", self.nn_method, NN_METHODS, where="parameter nn_method")
        varying = int((gene_moments(X)[1] > 0).sum())
        n_pcs = min(self.n_pcs, X.shape[0] - 1, varying - 1, self.n_features - 1)
        if n_pcs < 2:
            raise NotApplicableError(f"{varying} varying genes are too few for Seurat's clustering")
        arguments: dict[str, Argument] = {
            "n_features": self.n_features,
            "n_pcs": n_pcs,
            "resolution": self.resolution,
            "nn_method": self.nn_method,
        }
        return call_r(CLUSTERS, X, ctx, arguments)["cluster"].astype(int)
