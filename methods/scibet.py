"""SciBet: multinomial models of the genes that an entropy test finds to differ between classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.problem import Inputs, Prediction


class SciBet(Method):
    """SciBet's gene selection and classifier, in native Python on sparse counts.

    Parameters
    ----------
    k
        Genes of highest entropy-test score to use; all if there are fewer.
    a
        Genes of highest mean expression of each class to use beside them.
    scale
        Expression scale before the logarithm: ``counts`` as measured, ``cp10k`` or ``cpm`` (counts per ten thousand or
        million of the cell's total over all genes of the dataset; the authors' examples are TPM, of which ``cpm`` is
        the counterpart for UMI counts).
    sets
        Give sets of classes that shall have the true one in 90 % of cells, too, set on held-out training donors by a
        second fit.
    """

    name = "scibet"
    tasks = ("annotation",)
    summary = "Multinomial model of each class on genes chosen by an entropy test (port of SciBet)."
    reference = "10.1038/s41467-020-15523-2"
    citation = """@article{li2020scibet,
    author = {Li, Chenwei and Liu, Baolin and Kang, Boxi and Liu, Zedao and Liu, Yedan and Chen, Changya and
        Ren, Xianwen and Zhang, Zemin},
    title = {{SciBet} as a portable and fast single cell type identifier},
    journal = {Nature Communications},
    volume = {11},
    pages = {1818},
    year = {2020},
    doi = {10.1038/s41467-020-15523-2},
}"""
    licence = "GPL-2.0-or-later"
    implementation = "port"
    supervised = True
    stochastic = False
    caveat = (
        "Genes, model, probabilities and labels equal those of scibet 1.0. The expression scale matters and is a "
        "parameter; the default is raw counts. Probabilities are near 0 or 1 by construction. A cell without counts "
        "gets the first class."
    )
    presets = {"cp10k": {"scale": "cp10k"}, "cpm": {"scale": "cpm"}, "sets": {"sets": True}}

    def __init__(self, k: int = 1000, a: int = 0, scale: str = "counts", sets: bool = False) -> None:
        from bench.errors import UnknownNameError
        from bench.methods._ports.scibet import SCALES

        if scale not in SCALES:
            raise UnknownNameError("expression scale", scale, SCALES, where="parameter scale of scibet")
        self.k = k
        self.a = a
        self.scale = scale
        self.sets = sets

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        from bench.methods._ports.scibet import learn, probabilities, select_genes, summarise
        from bench.methods._shared.annotation import most_probable, training_set
        from bench.methods._shared.held_out import add_sets

        train, codes, classes = training_set(inputs)

        def fitted(X: csr_matrix, known: np.ndarray, cells: csr_matrix) -> np.ndarray:
            with ctx.phase("fit"):
                reference = summarise(X, known, len(classes), scale=self.scale)
                genes = select_genes(reference, self.k, per_class=self.a)
                model = learn(reference, genes, scale=self.scale)
            with ctx.phase("predict"):
                return probabilities(model, cells)

        answer = most_probable(fitted(train.X, codes, inputs.cells.X), classes)
        return add_sets(answer, inputs, codes, ctx, fitted) if self.sets else answer
