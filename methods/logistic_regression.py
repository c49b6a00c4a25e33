"""Multinomial logistic regression on log-normalised genes, or on their principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.problem import Inputs, Prediction


class LogisticRegression(Method):
    """scikit-learn's multinomial logistic regression on ln(1 + counts per 10,000) of all genes, not scaled.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty.
    max_iter
        Most iterations of L-BFGS; a note says where it has not converged.
    """

    name = "logistic_regression"
    tasks = ("annotation",)
    summary = "L2-penalised multinomial logistic regression on log1p CP10K of all genes (scikit-learn)."
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
    caveat = "The simple rival a sceptic asks for: the penalty is scikit-learn's default, not tuned."

    def __init__(self, C: float = 1.0, max_iter: int = 500) -> None:
        self.C = C
        self.max_iter = max_iter

    def features(self, train: csr_matrix, cells: csr_matrix) -> tuple[csr_matrix | np.ndarray, csr_matrix | np.ndarray]:
        """Inputs of the regression, of the training cells and of the cells to be labelled."""
        import numpy as np
        from scipy.sparse import csr_matrix

        # L-BFGS works in double precision; left to itself, scikit-learn would copy the indices too
        return csr_matrix((train.data.astype(np.float64), train.indices, train.indptr), shape=train.shape), cells

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        import warnings

        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as Regression

        from bench.methods._shared.annotation import most_probable, spread, training_set

        train, codes, classes = training_set(inputs)
        if len(classes) == 1:
            return most_probable(np.ones((len(inputs.cells.obs), 1)), classes)
        model = Regression(C=self.C, max_iter=self.max_iter)
        with ctx.phase("fit"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            training, tested = self.features(train.X, inputs.cells.X)
            model.fit(training, codes)
        if int(model.n_iter_.max()) >= self.max_iter:
            ctx.note(f"the regression had not converged after {self.max_iter} iterations")
        with ctx.phase("predict"):
            return most_probable(spread(model.predict_proba(tested), model.classes_, len(classes)), classes)


class LogisticRegressionPca(LogisticRegression):
    """The same on principal components of the training cells.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty.
    max_iter
        Most iterations of L-BFGS; a note says where it has not converged.
    n_genes
        Genes of highest variance of ln(1 + counts per 10,000) in the training cells that the PCA uses.
    n_components
        Principal components.
    """

    name = "logistic_regression_pca"
    summary = "L2-penalised multinomial logistic regression on 50 principal components (scikit-learn)."

    def __init__(self, C: float = 1.0, max_iter: int = 500, n_genes: int = 2000, n_components: int = 50) -> None:
        super().__init__(C, max_iter)
        self.n_genes = n_genes
        self.n_components = n_components

    def features(self, train: csr_matrix, cells: csr_matrix) -> tuple[csr_matrix | np.ndarray, csr_matrix | np.ndarray]:
        """Coordinates of both in the principal components of the training cells."""
        from bench.errors import NotApplicableError
        from bench.methods._shared.pca import fit_components, project

        components = fit_components(train, n_genes=self.n_genes, n_components=self.n_components)
        if not len(components.genes):
            raise NotApplicableError("no gene varies between the training cells, so there is no PCA")
        return project(components, train), project(components, cells)
