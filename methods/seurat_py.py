"""Seurat's clustering protocol without R: clusters of the tested cells, named by marker genes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bench.method import Context, Implementation, Method

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.problem import Inputs, Prediction


class SeuratPy(Method):
    """Seurat's steps in Python: normalise, variable genes, scale, PCA, shared neighbours, Louvain, marker genes.

    The analyst who names the clusters is replaced by a rule: a cluster gets the class whose markers have the highest
    mean scaled expression in it (scaled over the tested cells, as a dot plot shows it), and stays unassigned where no
    class's markers are above the average of all cells.

    Parameters
    ----------
    markers
        ``train``: genes that FindAllMarkers finds in the training cells (Wilcoxon, p < 0.01), the ``n_markers`` of
        highest fold change for each class. ``brain``: the genes that the scMamba paper names for eight brain cell
        types; classes called otherwise are never given.
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
    version
        Whose FindAllMarkers. Seurat 4 tests genes in 10 % of cells with a log2 fold change of 0.25, and adds 1 to the
        means before it divides them; Seurat 5 tests those in 1 % with 0.1, and adds 1 / cells, so that rare genes
        change most.
    """

    name = "seurat-py"
    tasks = ("annotation",)
    summary = "Seurat's clustering in Python; clusters named by marker genes of the training cells."
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
    implementation: ClassVar[Implementation] = "port"
    supervised = True
    caveat = (
        "The scMamba paper's manual naming of clusters is replaced by a rule. Tested cells of all donors are clustered "
        "together, without integration. A cluster has one label, so a class without a cluster of its own is lost; so "
        "is one of fewer than 3 training cells. No probabilities. Markers are those of Seurat 4, or with preset "
        "'seurat5' of Seurat 5, whose fold change favours rare genes. Clusters equal Seurat's with exact neighbours; "
        "its default neighbours are approximate, which can merge small classes (docs/annotation.md). The seed decides "
        "the order of the cells and the starts of Louvain."
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fine": {"resolution": 2.0},
        "brain": {"markers": "brain"},
        "seurat5": {"version": 5},
    }

    def __init__(
        self,
        markers: str = "train",
        n_markers: int = 20,
        n_features: int = 2000,
        n_pcs: int = 30,
        resolution: float = 0.8,
        cells_per_class: int = 1000,
        version: int = 4,
    ) -> None:
        self.markers = markers
        self.n_markers = n_markers
        self.n_features = n_features
        self.n_pcs = n_pcs
        self.resolution = resolution
        self.cells_per_class = cells_per_class
        self.version = version

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        from bench.methods._ports.seurat_protocol import annotate

        return annotate(
            inputs,
            ctx,
            source=self.markers,
            cells_per_class=self.cells_per_class,
            find_markers=self.find_markers,
            find_clusters=self.find_clusters,
        )

    def find_markers(self, X: csr_matrix, codes: np.ndarray, n_classes: int, ctx: Context) -> list[np.ndarray]:
        """Marker genes of each class."""
        import numpy as np

        from bench.methods._ports.seurat_markers import all_markers
        from bench.methods._ports.seurat_preprocess import library_sizes, log_normalise

        L = log_normalise(X.astype(np.float64), library_sizes(X))
        return all_markers(L, codes, n_classes, self.n_markers, self.version)

    def find_clusters(self, X: csr_matrix, ctx: Context) -> np.ndarray:
        """Cluster of each cell."""
        from bench.methods._ports.seurat_clusters import louvain, nearest, shared_neighbours
        from bench.methods._ports.seurat_preprocess import library_sizes, log_normalise, scaled_pca, variable_genes

        genes = variable_genes(X, self.n_features)
        coords = scaled_pca(log_normalise(X[:, genes], library_sizes(X)), self.n_pcs)
        return louvain(shared_neighbours(nearest(coords)), self.resolution, ctx.seed)[0]
