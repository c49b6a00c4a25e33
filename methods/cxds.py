"""cxds: doublets as cells with genes on that are rarely on together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class Cxds(Method):
    """Co-expression based doublet scoring (scds), in native Python.

    Parameters
    ----------
    ntop
        Genes of highest detection variance to use; all if there are fewer.
    bin_threshold
        A gene is on in a cell with more counts than this.
    """

    name = "cxds"
    tasks = ("doublet",)
    summary = "Co-expression of gene pairs that are mutually exclusive in the library (port of scds)."
    reference = "10.1093/bioinformatics/btz698"
    citation = """@article{bais2020scds,
    author = {Bais, Abha S. and Kostka, Dennis},
    title = {scds: computational annotation of doublets in single-cell {RNA} sequencing data},
    journal = {Bioinformatics},
    volume = {36},
    number = {4},
    pages = {1150--1158},
    year = {2020},
    doi = {10.1093/bioinformatics/btz698},
}"""
    licence = "MIT"
    implementation = "port"
    fractional_counts = True
    per_donor = True
    caveat = (
        "The score equals that of scds 1.22 and has no randomness; the call, by its 'balanced' threshold, depends on "
        "the seed. Two faults of the R package are mended: artificial doublets are the logical OR of their parents (R "
        "adds, which inflates their scores and calls too few cells), and fewer genes than ntop are all used (R stops)."
    )

    def __init__(self, ntop: int = 500, bin_threshold: float = 0) -> None:
        self.ntop = ntop
        self.bin_threshold = bin_threshold

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from bench.methods._ports.scds import balanced_threshold, fit_cxds, random_pairs, score_cxds, score_cxds_pairs

        with ctx.phase("fit"):
            model, on = fit_cxds(inputs.cells.X, ntop=self.ntop, threshold=self.bin_threshold)
        ctx.progress(0.5, f"{len(model.genes)} genes")
        with ctx.phase("predict"):
            score = score_cxds(model, on)
            pairs = random_pairs(len(on), 1, ctx.seed)
            threshold = balanced_threshold(score, score_cxds_pairs(model, on, pairs))
        return {"score": score, "call": score >= threshold}
