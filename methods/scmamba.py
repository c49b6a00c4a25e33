"""scMamba: a bidirectional Mamba over all genes of a cell, pre-trained by masked expression modelling."""

from __future__ import annotations

from bench.methods._shared.sequence_imputer import IMPUTES, SequenceImputer


class ScMamba(SequenceImputer):
    """scMamba; parameters as in :class:`bench.methods._shared.sequence_classifier.SequenceModel`."""

    name = "scmamba"
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
    caveat = (
        "Our PyTorch port of the official code; its published weights do not exist. The default size 'tiny', "
        "pre-trained on the trial's own training cells, is a demonstration that fits two cores and minutes: it says "
        "nothing about the paper's model, which is size 'paper' after pre-training on millions of nuclei (bench "
        "pretrain). " + IMPUTES
    )
