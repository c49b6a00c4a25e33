"""Robustness of differential expression: does imputation make DEGs of disease more reproducible, and are they right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import NotApplicableError
from bench.task import Control, Metric, Output, Task, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import pandas as pd

    from bench.dataset import CountStore, Dataset, DatasetCard
    from bench.problem import Prediction, Problem, Scored
    from bench.task import Seeds

_SELF = (
    "A method's subsets are compared with its own full data: whatever removes variance between cells raises the "
    "overlap, right or wrong. Read it beside the false-positive rates and, on simulated data, beside the truth."
)


def _metrics() -> tuple[Metric, ...]:
    no_deg = "without DEGs in the full data"
    elsewhere = "on other tracks than `halves`"
    unknown = "only where the disease's genes are known (simulated studies)"
    return (
        Metric(
            "overlap",
            "Share of the full data's DEGs that a subset finds, in the same direction: mean over subsets (half of the "
            "cells, or half of the donors), then over cell types. On `halves`: above chance, `overlap_found` less "
            "`overlap_floor`.",
            low=-1.0,
            undefined=no_deg,
            headline=True,
        ),
        Metric(
            "overlap_found",
            "DEGs that two halves of the donors both have, in the same direction, of those of the two: 2 x common / "
            "(DEGs of one + DEGs of the other). Mean over cell types; without DEGs 0.",
            undefined=elsewhere,
            neutral=True,
        ),
        Metric(
            "overlap_floor",
            "The same with the condition permuted among the donors of each half, or exchanged within donors who have "
            "both arms: what a method's halves agree in by chance.",
            higher_is_better=False,
            undefined=elsewhere,
        ),
        Metric(
            "overlap_ceiling",
            "`overlap` of the counts as they are, corrected from half a study to a whole one (Spearman-Brown): how far "
            "two studies of this size would agree.",
            undefined=elsewhere,
            neutral=True,
        ),
        Metric(
            "overlap_gain",
            "Overlap less that of the counts as they are, over the cell types that have both.",
            low=-2.0,
            high=2.0,
            undefined=no_deg,
        ),
        Metric("jaccard", "DEGs common to subset and full data, of those of either.", undefined=no_deg),
        Metric("precision", "Share of a subset's DEGs that the full data have.", undefined="no subset has a DEG"),
        Metric(
            "rank_correlation",
            "Spearman's correlation of the log fold changes of subset and full data, over the genes tested in these.",
            low=-1.0,
            undefined="fewer than 3 genes tested",
        ),
        Metric("n_deg_full", "DEGs in the full data, summed over cell types.", high=None, neutral=True),
        Metric(
            "fpr_cells",
            "Share of p below 0.05 with the condition permuted among the cells of a type; right is 0.05 or less.",
            higher_is_better=False,
        ),
        Metric(
            "fpr_donors",
            "The same with the condition permuted among donors, whose cells stay together: cells are no replicates. "
            "The arms of a donor who has both are exchanged with each other only.",
            higher_is_better=False,
            undefined="fewer than four donors, or two of an arm",
        ),
        Metric(
            "truth_precision",
            "Share of the full data's DEGs (on `halves`: of those that both have) that the disease changes.",
            undefined=unknown,
        ),
        Metric("truth_recall", "Share of the genes that the disease changes among the DEGs.", undefined=unknown),
        Metric("truth_fdr", "1 - truth_precision.", higher_is_better=False, undefined=unknown),
        Metric("truth_auprc", "Average precision of genes ranked by p, mean over cell types.", undefined=unknown),
        Metric(
            "pseudobulk_precision",
            "Share of the DEGs that a test of donors (DESeq2 on summed counts) finds as well.",
            undefined="fewer than two donors in an arm, or four pairs",
        ),
        Metric(
            "pseudobulk_recall",
            "Share of that test's DEGs that are among the DEGs.",
            undefined="fewer than two donors in an arm, or four pairs",
        ),
    )


def _control(name: str) -> Callable[[Problem, np.random.Generator], Prediction]:
    def predict(problem: Problem, rng: np.random.Generator) -> Prediction:
        from bench.tasks.deg import controls

        answer: Prediction = getattr(controls, name)(problem, rng)
        return answer

    return predict


class DegTask(Task):
    """Differential expression between disease and control, in subsets and in the full data.

    A method gets all cells of a study with donor and batch, and returns expression; it sees neither conditions nor
    cell types. The scorer tests case against control within each cell type with MAST as Seurat's ``FindMarkers`` does,
    in the full data and in subsets that are the same for all methods. The design is the scMamba paper's; the null, the
    truth and the test of donors are not.
    """

    name = "deg"
    version = "5"
    summary = "Does imputation make differentially expressed genes more reproducible, and are they right?"
    purpose = (
        "Compare imputation methods, among them the scMamba paper's models, which this project re-implements, by the "
        "differential expression they lead to."
    )
    tracks = {
        "subsample": Track(
            "10 to 90 % of the cells of each type, 100 permutations.", "computational", caveat=_SELF, seeded=False
        ),
        "patients": Track(
            "Half of the donors of each arm, all such halves; pairs stay whole.",
            "computational",
            caveat=_SELF,
            seeded=False,
        ),
        "halves": Track(
            "Two halves of the donors that share nobody, each imputed alone: do they find the same DEGs, above chance?",
            "computational",
            caveat="What differs between all of the arms' donors, disease or not, is found again in both halves.",
            seeded=False,
        ),
    }
    metrics = _metrics()
    outputs = (Output("expression", "expression", "ln(1 + counts per 10,000) of every gene in every cell."),)
    controls = (
        Control("random", "random", "The expression of a random other cell.", _control("random"), stochastic=True),
        Control("oracle", "perfect", "The arms differ by the disease's effects, by nothing else.", _control("oracle")),
        Control("raw", "trap", "The counts as they are: no imputation.", _control("raw")),
        Control("over_smoother", "trap", "Every cell is the mean of its type in its donor.", _control("over_smoother")),
        Control(
            "permuted_labels",
            "trap",
            "Cells of each type exchanged between the arms: no gene is differentially expressed.",
            _control("permuted_labels"),
            stochastic=True,
        ),
    )
    labelled_training = False

    def inputs_name(self, track: str, seeds: Seeds) -> str:
        """The whole study, for one run of a method for two tracks and other tasks; halves are shown to nobody else."""
        from bench.tasks._shared.study import STUDY

        return "" if track == "halves" else STUDY

    def why_not(self, card: DatasetCard, track: str) -> str | None:
        """Return the reason why a dataset cannot serve a track, or None."""
        if "condition" not in card.fields:
            return "no condition column: no arms to compare (bench data add --condition-key, --case, --control)"
        if card.n_values.get("condition", 2) < 2:
            return f"{card.n_values['condition'] or 'no'} condition: there are no two arms to compare"
        if "cell_type" not in card.fields:
            return "no cell_type column: genes are compared within cell types"
        if track != "subsample" and "donor" not in card.fields:
            return "no donor column: there are no donors to draw"
        if track != "subsample" and card.n_donors == 1:
            return "1 donor: no half of the donors can be drawn"
        return None

    def n_splits(self, cells: CountStore, track: str, at_most: int) -> int:
        """Count the ways to halve the donors; one where they are all in the full data, whichever subsets are drawn."""
        if track != "halves":
            return 1
        from itertools import islice

        from bench.tasks.deg.halves import donor_halves

        return sum(1 for _ in islice(donor_halves(cells.obs, cells.digest), at_most))

    def make_problem(self, dataset: Dataset, track: str, seeds: Seeds) -> Problem:
        """Build inputs and solution.

        ``inputs.cells.obs`` has ``donor`` and ``batch``, numbered (no batches where each is of one condition). The
        solution has ``donor``, ``condition``, ``arm`` (``case``, ``control`` or empty), ``cell_type`` (empty where a
        cell is not tested), and columns of bytes, one byte a draw: ``draws`` (0 if the cell is in none of its subsets;
        else the number, from 1, of the first ratio at which it is in), ``null_cells`` and ``null_donors`` (1 if the
        cell counts as case, 0 if as control, 2 if as neither; empty in types that too few donors have). In ``halves``
        the inputs have ``half``, by which they are answered for apart, and so has the solution; ``draws`` are the two
        halves, ``null_donors`` the permutations within them. ``truth["log2fc"]``: what the disease does to
        each case cell, where that is known.

        Raises
        ------
        bench.errors.NotApplicableError
            If the dataset cannot serve the track, the arms cannot be told, or no cell type has 3 cells in each.
        """
        reason = self.why_not(dataset.card, track)
        if reason:
            raise NotApplicableError(reason, where=f"dataset {dataset.card.name}, track {self.name}/{track}")
        from bench.tasks.deg.problem import make_problem

        return make_problem(dataset, track, seeds)

    def score(self, problem: Problem, prediction: Prediction) -> Scored:
        """All metrics, pooled, by cell type, ratio and direction; tables of every test."""
        from bench.tasks.deg.score import score

        return score(problem, prediction)

    def problem_tables(self, problem: Problem) -> Mapping[str, pd.DataFrame]:
        """Table ``donor_tests``: the tests of donors on the counts, beside that of cells, and against the truth."""
        if problem.inputs.apart:
            return {}
        from bench.tasks.deg.compare_tests import compare_tests

        return {"donor_tests": compare_tests(problem)}

    def scramble(self, dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset | None:
        """The dataset with conditions and cell types dealt anew among the cells."""
        from bench.tasks.deg.problem import scramble

        return scramble(dataset, track, rng)
