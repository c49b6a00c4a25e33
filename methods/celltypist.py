"""CellTypist: each class against the rest, trained on the training cells; with or without a vote of clusters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    import anndata as ad

    from bench.problem import Cells, Inputs, Prediction


class CellTypist(Method):
    """CellTypist's ``train`` and ``annotate`` (best match), each cell by itself.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty.
    with_mean
        Subtract the gene means in scaling, as the package does by default. It then makes the training cells dense:
        four bytes and more for each gene of each cell. Off, values are only divided by the standard deviation, and the
        clipping at 10 falls on other values; 97 % (built-in cohort, subtypes) of the labels stay the same.
    """

    name = "celltypist"
    tasks = ("annotation",)
    summary = "CellTypist trained on the training cells, without majority voting."
    reference = "10.1126/science.abl5197"
    citation = r"""@article{dominguezconde2022celltypist,
    author = {Dom{\'i}nguez Conde, C. and Xu, C. and Jarvis, L. B. and Rainbow, D. B. and Wells, S. B. and others},
    title = {Cross-tissue immune cell analysis reveals tissue-specific features in humans},
    journal = {Science},
    volume = {376},
    number = {6594},
    pages = {eabl5197},
    year = {2022},
    doi = {10.1126/science.abl5197},
}"""
    licence = "MIT"
    implementation = "official"
    supervised = True
    stochastic = False
    input_layer = "log1p_cp10k"
    requires = (python_package("celltypist", extra="annotation"),)
    preload = ("bench.methods._shared.warm_celltypist",)
    caveat = (
        "None of CellTypist's own models is used. Genes are centred, as by default, for which the package makes the "
        "training cells dense; preset 'sparse' only divides by the spread. Probabilities are of a class against "
        "all others: those of a cell do not sum to 1. CellTypist 1.7.1 trains with an option that scikit-learn 1.8 "
        "dropped; it is handed the same one-against-the-rest regression, put together from scikit-learn's own parts."
    )
    presets = {"sparse": {"with_mean": False}}

    def __init__(self, C: float = 1.0, with_mean: bool = True) -> None:
        self.C = C
        self.with_mean = with_mean

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        import os

        from bench.errors import NotApplicableError
        from bench.methods._shared.annotation import training_set

        os.environ.setdefault("CELLTYPIST_FOLDER", str(ctx.scratch))  # else importing it makes a folder in $HOME
        import celltypist
        import numpy as np

        train, _, classes = training_set(inputs)
        if len(classes) == 1:
            raise NotApplicableError("celltypist cannot be trained on a single class")
        if not train.X.nnz:
            raise NotApplicableError("celltypist cannot be trained on cells without counts")
        if train.X.indptr.dtype.itemsize > 4 or train.X.indices.dtype.itemsize > 4:
            raise NotApplicableError("celltypist makes training cells with 2^31 or more counts dense")
        with ctx.phase("fit"), one_against_the_rest():
            model = celltypist.train(
                _annotated(train),
                labels=np.asarray(train.obs["label"], dtype=str),
                C=self.C,
                with_mean=self.with_mean,
                check_expression=False,  # it looks at the first cell only, which may be empty
                n_jobs=1,
                random_state=0,
            )
        ctx.progress(0.6, "trained")
        with ctx.phase("predict"):
            result = _predict(model, inputs.cells)
            labels = self.refine(result, inputs, ctx)
        column = np.searchsorted(result.probability_matrix.columns, labels)
        return {"label": labels, "probability": result.probability_matrix.to_numpy()[np.arange(len(labels)), column]}

    def refine(self, result: Any, inputs: Inputs, ctx: Context) -> Any:
        """Labels from the package's result; here those of the cells by themselves."""
        return result.predicted_labels["predicted_labels"].to_numpy(dtype=str)


class CellTypistVoting(CellTypist):
    """CellTypist with majority voting: each of many small Leiden clusters takes its most frequent label.

    Parameters
    ----------
    C, with_mean
        As without voting.
    """

    name = "celltypist_voting"
    summary = "CellTypist trained on the training cells, with majority voting in clusters of the test cells."
    stochastic = True
    caveat = (
        f"{CellTypist.caveat} The test cells of all donors are clustered together; the clusters depend on the order of "
        "the cells, which is what the seed decides. For that clustering the package makes up to 2,500 variable genes "
        "of the test cells dense. No vote among 50 cells or fewer."
    )

    def refine(self, result: Any, inputs: Inputs, ctx: Context) -> Any:
        """Labels after the vote of the package's own over-clustering."""
        import numpy as np
        from celltypist.classifier import AnnotationResult, Classifier

        n = len(inputs.cells.obs)
        genes = int((inputs.cells.X.getnnz(axis=0) >= 5).sum())
        if n <= 50 or genes <= 50:
            ctx.note(f"no majority vote: {n} cells with {genes} genes are too few for the package's clustering")
            return super().refine(result, inputs, ctx)
        order = np.random.default_rng(ctx.seed).permutation(n)
        annotated = _annotated(inputs.cells.take(order))
        clusters = Classifier(annotated, model=None).over_cluster()
        single = AnnotationResult(
            result.predicted_labels.iloc[order], result.decision_matrix, result.probability_matrix, annotated
        )
        voted = Classifier.majority_vote(single, clusters).predicted_labels["majority_voting"]
        return voted.reindex(inputs.cells.obs.index).to_numpy(dtype=str)


def _annotated(cells: Cells) -> ad.AnnData:
    import anndata
    import pandas as pd

    return anndata.AnnData(cells.X, pd.DataFrame(index=cells.obs.index), pd.DataFrame(index=cells.var.index))


@contextmanager
def one_against_the_rest() -> Iterator[None]:
    """Let ``celltypist.train`` have the ``multi_class="ovr"`` that scikit-learn 1.8 dropped, with the same numbers."""
    import sys

    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    class OneAgainstTheRest(LogisticRegression):
        def __init__(self, *, multi_class: str, n_jobs: int, **parameters: Any) -> None:
            super().__init__(**parameters)
            self.classifier = OneVsRestClassifier(LogisticRegression(**parameters), n_jobs=n_jobs)

        def fit(self, X: Any, y: Any) -> OneAgainstTheRest:
            fitted = self.classifier.fit(X, y)
            self.classes_ = fitted.classes_
            self.coef_ = np.vstack([each.coef_ for each in fitted.estimators_])
            self.intercept_ = np.concatenate([each.intercept_ for each in fitted.estimators_])
            return self

    module: Any = sys.modules["celltypist.train"]  # the package's attribute of this name is the function
    original = module.LogisticRegression
    module.LogisticRegression = OneAgainstTheRest
    try:
        yield
    finally:
        module.LogisticRegression = original


def _predict(model: Any, cells: Cells) -> Any:
    """The package's result, a block of cells after the other: it makes dense what it labels."""
    import celltypist
    import numpy as np
    import pandas as pd
    from celltypist.classifier import AnnotationResult

    from bench.blocks import row_blocks
    from bench.methods._shared.annotation import ROWS

    parts = []
    for rows in row_blocks(cells.X.shape, ROWS):
        block = _annotated(cells.take(np.arange(rows.start, rows.stop)))
        block.X = block.X.toarray()
        parts.append(celltypist.annotate(block, model=model))
    labels = pd.concat([p.predicted_labels.astype(str) for p in parts])
    decisions, probabilities = (
        pd.concat([getattr(p, name) for p in parts]) for name in ("decision_matrix", "probability_matrix")
    )
    return AnnotationResult(labels, decisions, probabilities, None)
