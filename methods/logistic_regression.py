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
    sets
        Give sets of classes that shall have the true one in 90 % of cells, too, set on held-out training donors by a
        second fit.
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
    presets = {"sets": {"sets": True}}

    def __init__(self, C: float = 1.0, max_iter: int = 500, sets: bool = False) -> None:
        self.C = C
        self.max_iter = max_iter
        self.sets = sets

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
        from bench.methods._shared.held_out import add_sets
        from bench.methods._shared.probe import regression

        train, codes, classes = training_set(inputs)
        if len(classes) == 1:
            return most_probable(np.ones((len(inputs.cells.obs), 1)), classes)

        def fitted(X: csr_matrix, known: np.ndarray, cells: csr_matrix) -> np.ndarray:
            with ctx.phase("fit"):
                training, tested = self.features(X, cells)
                model = regression(training, known, ctx, C=self.C, max_iter=self.max_iter)
            with ctx.phase("predict"):
                return spread(model.predict_proba(tested), model.classes_, len(classes))

        answer = most_probable(fitted(train.X, codes, inputs.cells.X), classes)
        return add_sets(answer, inputs, codes, ctx, fitted) if self.sets else answer
