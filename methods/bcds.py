"""bcds: doublets as cells a classifier takes for artificial ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method, python_package

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction


class Bcds(Method):
    """Binary classification based doublet scoring (scds), in native Python.

    Parameters
    ----------
    ntop
        Genes of highest variance to use; all if there are fewer.
    srat
        Artificial doublets per cell.
    rounds
        Boosting rounds; None tunes them by cross-validation and scores cells by held-out predictions.
    """

    name = "bcds"
    tasks = ("doublet",)
    summary = "Boosted trees trained to tell the library's cells from artificial doublets (port of scds)."
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
        "Genes and classifier as scds 1.22, but other random numbers than R's: single scores differ as they do between "
        "R's own seeds. Call by its 'balanced' threshold. Two faults of the R package are mended: an empty cell no "
        "longer spoils the choice of genes, and fewer genes than ntop are all used (R stops)."
    )

    def __init__(self, ntop: int = 500, srat: float = 1.0, rounds: int | None = None) -> None:
        self.ntop = ntop
        self.srat = srat
        self.rounds = rounds

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        from bench.methods._ports.bcds import bcds
        from bench.methods._ports.scds import balanced_threshold, random_pairs

        X = inputs.cells.X
        with ctx.phase("fit"):
            score, artificial = bcds(
                X,
                random_pairs(X.shape[0], self.srat, ctx.seed),
                seed=ctx.seed,
                ntop=self.ntop,
                rounds=self.rounds,
                threads=ctx.threads,
                report=lambda i, error: ctx.progress(i / (i + 5), f"round {i}, error {error:.3f}"),
            )
        return {"score": score, "call": score >= balanced_threshold(score, artificial)}
