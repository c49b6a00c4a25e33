"""Nearest training cells in principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class Knn(Method):
    """Vote of the nearest training cells (exact, Euclidean) in a PCA of the training cells.

    Parameters
    ----------
    n_neighbors
        Training cells that vote, each alike; all if there are fewer.
    n_genes
        Genes of highest variance of ln(1 + counts per 10,000) in the training cells that the PCA uses.
    n_components
        Principal components.
    """

    name = "knn"
    tasks = ("annotation",)
    summary = "Vote of the 15 nearest training cells in principal components."
    citation = r"""@article{pedregosa2011sklearn,
    author = {Pedregosa, Fabian and Varoquaux, Ga{\"e}l and Gramfort, Alexandre and Michel, Vincent and Thirion,
        Bertrand and others},
    title = {Scikit-learn: machine learning in {Python}},
    journal = {Journal of Machine Learning Research},
    volume = {12},
    pages = {2825--2830},
    year = {2011},
}"""
    licence = "BSD-3-Clause"
    supervised = True
    stochastic = False
    input_layer = "log1p_cp10k"
    preload = ("sklearn.linear_model",)
    caveat = (
        "No correction of donor or batch effects. Probabilities are shares of the neighbours, so in steps of 1/15; the "
        "first class wins a tie."
    )

    def __init__(self, n_neighbors: int = 15, n_genes: int = 2000, n_components: int = 50) -> None:
        self.n_neighbors = n_neighbors
        self.n_genes = n_genes
        self.n_components = n_components

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        from sklearn.neighbors import KNeighborsClassifier

        from bench.errors import NotApplicableError
        from bench.methods._shared.annotation import most_probable, spread, training_set
        from bench.methods._shared.pca import fit_components, most_variable, project

        train, codes, classes = training_set(inputs)
        with ctx.phase("fit"):
            components = fit_components(train.X, most_variable(train.X, self.n_genes), n_components=self.n_components)
            if not len(components.genes):
                raise NotApplicableError("no gene varies between the training cells, so there is no PCA")
            n = min(self.n_neighbors, len(codes))
            model = KNeighborsClassifier(n, algorithm="brute").fit(project(components, train.X), codes)
        with ctx.phase("predict"):
            shares = model.predict_proba(project(components, inputs.cells.X))
            return most_probable(spread(shares, model.classes_, len(classes)), classes)
