"""Multinomial logistic regression on log-normalised genes."""

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
    preload = ("sklearn.linear_model",)
    kind = "linear"
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
        import numpy as np

        from bench.methods._shared.annotation import most_probable, spread, training_set
        from bench.methods._shared.probe import regression

        train, codes, classes = training_set(inputs)
        if len(classes) == 1:
            return most_probable(np.ones((len(inputs.cells.obs), 1)), classes)
        with ctx.phase("fit"):
            training, tested = self.features(train.X, inputs.cells.X)
            model = regression(training, codes, ctx, C=self.C, max_iter=self.max_iter)
        with ctx.phase("predict"):
            return most_probable(spread(model.predict_proba(tested), model.classes_, len(classes)), classes)
