"""hybrid: cxds and bcds, each scaled to [0, 1] and added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class Hybrid(Method):
    """Hybrid of cxds and bcds (scds), in native Python.

    Parameters
    ----------
    ntop
        Genes to use, in both parts; all if there are fewer.
    srat
        Artificial doublets per cell.
    rounds
        Boosting rounds of bcds; None tunes them by cross-validation.
    """

    name = "hybrid"
    tasks = ("doublet",)
    summary = "Sum of the cxds and bcds scores, each scaled to [0, 1] within the library (port of scds)."
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
    requires = (python_package("xgboost", extra="doublet"),)
    caveat = (
        "See cxds and bcds. A part that scores all cells alike adds 0 (NaN in R). One set of artificial doublets "
        "serves both parts of the 'balanced' call."
    )

    def __init__(self, ntop: int = 500, srat: float = 1.0, rounds: int | None = None) -> None:
        self.ntop = ntop
        self.srat = srat
        self.rounds = rounds

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from bench.methods._ports import bcds, scds

        X = inputs.cells.X
        pairs = scds.random_pairs(X.shape[0], self.srat, ctx.seed)
        with ctx.phase("fit"):
            b_score, b_artificial = bcds.bcds(
                X,
                pairs,
                seed=ctx.seed,
                ntop=self.ntop,
                rounds=self.rounds,
                threads=ctx.threads,
                report=lambda i, error: ctx.progress(i / (i + 5), f"bcds round {i}, error {error:.3f}"),
            )
            model, on = scds.fit_cxds(X, ntop=self.ntop)
        with ctx.phase("predict"):
            score = scds.hybrid_score(scds.score_cxds(model, on), b_score)
            artificial = scds.hybrid_score(scds.score_cxds_pairs(model, on, pairs), b_artificial)
        return {"score": score, "call": score >= scds.balanced_threshold(score, artificial)}
