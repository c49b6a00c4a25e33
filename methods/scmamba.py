"""scMamba: a bidirectional Mamba over all genes of a cell, pre-trained by masked expression modelling."""

from __future__ import annotations

from bench.methods._shared.sequence_classifier import FINE_TUNED, FROZEN, SCRATCH, Frozen, Scratch
from bench.methods._shared.sequence_imputer import IMPUTES, SequenceImputer

_PORT = (
    "Our PyTorch port of the official code; its published weights do not exist. The default size 'tiny' is a "
    "demonstration that fits two cores and minutes: it says nothing about the paper's model, which is size 'paper' "
    "after pre-training on millions of nuclei (bench pretrain)."
)


class ScMamba(SequenceImputer):
    """scMamba; parameters as in :class:`bench.methods._shared.sequence_classifier.SequenceModel`."""

    name = model = "scmamba"
    summary = "Bidirectional Mamba over all genes of a cell, that classifies or imputes after masked pre-training."
    reference = "10.48550/arXiv.2502.19429"
    citation = """@misc{oh2025scmamba,
    author = {Oh, Gyutaek and Choi, Baekgyu and Jin, Seyoung and Jung, Inkyung and Ye, Jong Chul},
    title = {{scMamba}: a pre-trained model for single-nucleus {RNA} sequencing analysis in neurodegenerative
        disorders},
    eprint = {2502.19429},
    archiveprefix = {arXiv},
    year = {2025},
    doi = {10.48550/arXiv.2502.19429},
}"""
    licence = "Apache-2.0"
    caveat = f"{_PORT} {FINE_TUNED} {IMPUTES}"


class ScMambaFrozen(Frozen, ScMamba):
    """scMamba as pre-trained; parameters as in :class:`bench.methods._shared.sequence_classifier.Frozen`."""

    name = "scmamba_frozen"
    seeded_as = "scmamba"
    summary = "scMamba as pre-trained, not fine-tuned: logistic regression on its embedding of cells."
    caveat = f"{_PORT} {FROZEN}"


class ScMambaScratch(Scratch, ScMamba):
    """scMamba without pre-training; parameters as in :class:`bench.methods._shared.sequence_classifier.Scratch`."""

    name = "scmamba_scratch"
    seeded_as = "scmamba"
    summary = "scMamba's network trained on the labelled cells from random weights, without pre-training."
    caveat = f"{_PORT} {SCRATCH}"
