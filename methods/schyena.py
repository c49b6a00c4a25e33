"""scHyena: bidirectional long convolutions over all genes of a cell, pre-trained by masked expression modelling."""

from __future__ import annotations

from bench.methods._shared.sequence_classifier import FINE_TUNED, FROZEN, SCRATCH, Frozen, Scratch
from bench.methods._shared.sequence_imputer import IMPUTES, SequenceImputer

_PORT = (
    "There is no public code. Embeddings, masks and heads are scMamba's, as its paper says; width, depth, filters and "
    "initialisation are those of HyenaDNA and of a model by the same group: none of these numbers is confirmed by "
    "scHyena's paper. The default size 'tiny' is a demonstration."
)


class ScHyena(SequenceImputer):
    """scHyena; parameters as in :class:`bench.methods._shared.sequence_classifier.SequenceModel`."""

    name = model = "schyena"
    summary = "Bidirectional Hyena (implicit long convolutions) over all genes of a cell, used like scMamba."
    reference = "10.48550/arXiv.2310.02713"
    citation = """@misc{oh2023schyena,
    author = {Oh, Gyutaek and Choi, Baekgyu and Jung, Inkyung and Ye, Jong Chul},
    title = {{scHyena}: foundation model for full-length single-cell {RNA}-{Seq} analysis in brain},
    eprint = {2310.02713},
    archiveprefix = {arXiv},
    year = {2023},
    doi = {10.48550/arXiv.2310.02713},
}"""
    caveat = f"{_PORT} {FINE_TUNED} {IMPUTES}"


class ScHyenaFrozen(Frozen, ScHyena):
    """scHyena as pre-trained; parameters as in :class:`bench.methods._shared.sequence_classifier.Frozen`."""

    name = "schyena_frozen"
    seeded_as = "schyena"
    summary = "scHyena as pre-trained, not fine-tuned: logistic regression on its embedding of cells."
    caveat = f"{_PORT} {FROZEN}"


class ScHyenaScratch(Scratch, ScHyena):
    """scHyena without pre-training; parameters as in :class:`bench.methods._shared.sequence_classifier.Scratch`."""

    name = "schyena_scratch"
    seeded_as = "schyena"
    summary = "scHyena's network trained on the labelled cells from random weights, without pre-training."
    caveat = f"{_PORT} {SCRATCH}"
