"""SingleR: rank correlation of each cell with the training cells of each class, on markers of pairs of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class SingleR(Method):
    """``annotate_single`` of the authors' Python package with its own defaults, training cells as the reference.

    Genes are matched by name. ``classify_single`` of 0.5.0 takes them by row number, and falls to chance where the rows
    of the reference and of the cells differ: it is not called here but through ``annotate_single``, which matches them.
    """

    name = "singler"
    tasks = ("annotation",)
    summary = "SingleR: Spearman correlation with the training cells on markers of pairs of classes, fine-tuned."
    reference = "10.1038/s41590-018-0276-y"
    citation = """@article{aran2019singler,
    author = {Aran, Dvir and Looney, Agnieszka P. and Liu, Leqian and Wu, Esther and Fong, Valerie and others},
    title = {Reference-based analysis of lung single-cell sequencing reveals a transitional profibrotic macrophage},
    journal = {Nature Immunology},
    volume = {20},
    number = {2},
    pages = {163--172},
    year = {2019},
    doi = {10.1038/s41590-018-0276-y},
}"""
    licence = "MIT"
    implementation = "official"
    supervised = True
    stochastic = False
    input_layer = "log1p_cp10k"
    requires = (python_package("singler", extra="annotation"),)
    caveat = (
        "The package's defaults: its classic markers, every training cell a reference profile of its own, not "
        "summarised. No probabilities, and nothing is left unassigned (pruning is not part of the Python package)."
    )

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        import numpy as np
        import singler

        from bench.errors import NotApplicableError
        from bench.methods._shared.annotation import training_set

        train, _, classes = training_set(inputs)
        n = len(inputs.cells.obs)
        if len(classes) == 1:
            return {"label": np.repeat(classes, n), "probability": np.ones(n)}
        if not train.X.nnz:
            raise NotApplicableError("SingleR finds no marker genes in training cells without counts")
        with ctx.phase("predict"):
            found = singler.annotate_single(
                inputs.cells.X.sorted_indices().T,  # it refuses unsorted ones
                train.X.sorted_indices().T,
                np.asarray(train.obs["label"], dtype=str).tolist(),
                test_features=inputs.cells.var.index.astype(str).tolist(),
                ref_features=train.var.index.astype(str).tolist(),
                num_threads=ctx.threads,
            )
        return {"label": np.asarray(found.column("best"), dtype=str), "probability": np.ones(n)}
