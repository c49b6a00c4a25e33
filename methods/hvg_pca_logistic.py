"""Multinomial logistic regression on principal components of highly variable genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.methods.logistic_regression import LogisticRegression

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix


class HvgPcaLogistic(LogisticRegression):
    """scikit-learn's logistic regression on a PCA of highly variable genes, both learned on the training cells only.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty.
    max_iter
        Most iterations of L-BFGS; a note says where it has not converged.
    n_genes
        Highly variable genes of the training cells that the PCA uses: those of highest normalised dispersion, as
        ``scanpy.pp.highly_variable_genes(flavor="seurat")`` ranks them.
    n_components
        Principal components, centred, not scaled.
    sets
        As of logistic regression: sets of classes beside the labels, by a second fit.
    """

    name = "hvg_pca_logistic"
    summary = "Logistic regression on 50 principal components of 2,000 highly variable genes (scanpy, scikit-learn)."
    caveat = (
        "The linear baseline of pre-trained models: genes (scanpy's flavor seurat) and components are learned on the "
        "training cells only; nothing is tuned."
    )
    preload = ("scanpy",)

    def __init__(
        self, C: float = 1.0, max_iter: int = 500, n_genes: int = 2000, n_components: int = 50, sets: bool = False
    ) -> None:
        super().__init__(C, max_iter, sets)
        self.n_genes = n_genes
        self.n_components = n_components

    def features(self, train: csr_matrix, cells: csr_matrix) -> tuple[csr_matrix | np.ndarray, csr_matrix | np.ndarray]:
        """Coordinates of both in the principal components of the training cells."""
        from bench.errors import NotApplicableError
        from bench.methods._shared.pca import fit_components, project, variable_genes

        components = fit_components(train, variable_genes(train, self.n_genes), n_components=self.n_components)
        if not len(components.genes):
            raise NotApplicableError("no gene varies between the training cells, so there is no PCA")
        return project(components, train), project(components, cells)
