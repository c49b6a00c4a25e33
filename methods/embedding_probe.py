"""A simple classifier on an embedding that was computed elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.errors import UnknownNameError
from bench.method import Context, Method

if TYPE_CHECKING:
    from bench.methods._shared.probe import Probe
    from bench.problem import Inputs, Prediction


class EmbeddingProbe(Method):
    """scikit-learn's simple classifiers on the dataset's own ``obsm[key]``.

    Parameters
    ----------
    key
        Of ``obsm``: vectors of each cell by a model that was run elsewhere, such as ``X_scgpt``.
    probe
        ``logistic``: multinomial logistic regression, L2 penalty of strength 1; ``mlp``: one hidden layer of 100; both
        standardised on the training cells. ``knn``: vote of the 15 nearest training cells, as the distances are.
        Nothing is tuned.
    """

    name = "embedding_probe"
    tasks = ("annotation",)
    summary = "Logistic regression, nearest neighbours or a small network on an embedding that the dataset holds."
    reference = "10.1186/s13059-025-03574-x"
    citation = """@article{kedzierska2025zeroshot,
    author = {Kedzierska, Kasia Z. and Crawford, Lorin and Amini, Ava P. and Lu, Alex X.},
    title = {Zero-shot evaluation reveals limitations of single-cell foundation models},
    journal = {Genome Biology},
    volume = {26},
    pages = {101},
    year = {2025},
    doi = {10.1186/s13059-025-03574-x},
}"""
    licence = "BSD-3-Clause"
    supervised = True
    kind = "foundation"
    embeddings = ("key",)
    named_by = ("key", "probe")
    presets: ClassVar = {probe: {"probe": probe} for probe in ("logistic", "knn", "mlp")}
    caveat = (
        "The embedding was computed outside of the trial, on all cells: whether its model has met them is what "
        "its user says. The probe (scikit-learn, not tuned) learns from training cells only."
    )

    def __init__(self, key: str = "", probe: Probe = "logistic") -> None:
        if probe not in self.presets:
            raise UnknownNameError("probe", probe, self.presets, where=self.name)
        self.key = key
        self.probe = probe

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        from bench.errors import NotApplicableError
        from bench.methods._shared.annotation import most_probable, training_set
        from bench.methods._shared.probe import probe

        train, codes, classes = training_set(inputs)
        if self.key not in train.obsm:
            raise NotApplicableError(f"the cells come without the embedding {self.key!r}: name one of the dataset's")
        learned, tested = train.obsm[self.key], inputs.cells.obsm[self.key]
        return most_probable(probe(self.probe, learned, codes, tested, len(classes), ctx), classes)
