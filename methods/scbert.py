"""scBERT: a Performer over all genes of a cell in six levels of expression, pre-trained by predicting masked levels."""

from __future__ import annotations

from bench.methods._shared.sequence_classifier import FINE_TUNED, FROZEN, SCRATCH, Frozen, Scratch, SequenceModel

_PORT = (
    "Our port of the official code. Positions are learned: gene2vec is not distributed here (a file of it can be "
    "given to bench pretrain). The default size 'tiny' is a demonstration."
)


class ScBert(SequenceModel):
    """scBERT; parameters as in :class:`bench.methods._shared.sequence_classifier.SequenceModel`."""

    name = model = "scbert"
    summary = "Performer over all genes of a cell, expression in six levels, pre-trained by predicting masked levels."
    reference = "10.1038/s42256-022-00534-z"
    citation = """@article{yang2022scbert,
    author = {Yang, Fan and Wang, Wenchuan and Wang, Fang and Fang, Yuan and Tang, Duyu and Huang, Junzhou and
        Lu, Hui and Yao, Jianhua},
    title = {{scBERT} as a large-scale pretrained deep language model for cell type annotation of single-cell
        {RNA}-seq data},
    journal = {Nature Machine Intelligence},
    volume = {4},
    pages = {852--866},
    year = {2022},
    doi = {10.1038/s42256-022-00534-z},
}"""
    licence = "GPL-3.0-only"
    caveat = (
        f"{_PORT} {FINE_TUNED} As officially, fine-tuning trains its last but one layer, the last norm and the head "
        "only; from scratch all of it is trained."
    )


class ScBertFrozen(Frozen, ScBert):
    """scBERT as pre-trained; parameters as in :class:`bench.methods._shared.sequence_classifier.Frozen`."""

    name = "scbert_frozen"
    seeded_as = "scbert"
    summary = "scBERT as pre-trained, not fine-tuned: logistic regression on its embedding of cells."
    caveat = f"{_PORT} {FROZEN}"


class ScBertScratch(Scratch, ScBert):
    """scBERT without pre-training; parameters as in :class:`bench.methods._shared.sequence_classifier.Scratch`."""

    name = "scbert_scratch"
    seeded_as = "scbert"
    summary = "scBERT's network trained on the labelled cells from random weights, without pre-training."
    caveat = f"{_PORT} {SCRATCH}"
