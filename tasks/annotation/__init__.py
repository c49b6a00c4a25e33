"""Cell type annotation: of which type, subtype and subcluster is each nucleus?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import NotApplicableError
from bench.task import Control, Metric, Output, Task, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    from bench.dataset import CountStore, Dataset, DatasetCard
    from bench.problem import Inputs, Prediction, Problem, Scored
    from bench.task import Seeds

_FIELDS = {"celltype": "cell_type", "subtype": "subtype", "subcluster": "subcluster"}
_WORDS = {"celltype": "major cell type", "subtype": "subtype", "subcluster": "subcluster"}
_CLUSTERS = "Labels come, as a rule, from clusters of the same counts: agreement with them is what is measured."
_SIMULATED = "The labels are those of the dataset's generator."
_NO_PROBABILITIES = "without probabilities"
_NO_SETS = "without sets of classes"


def _tracks() -> dict[str, Track]:
    tracks = {
        name: Track(
            f"The {words} of nuclei of donors not trained on.",
            "computational",
            caveat_measured=_CLUSTERS,
            caveat_simulated=_SIMULATED,
            seeded=False,
        )
        for name, words in _WORDS.items()
    }
    for name, words in _WORDS.items():
        tracks[f"{name}-lodo"] = Track(
            f"The {words}, one donor left out: split seed k tests donor k alone.",
            "computational",
            default=False,
            caveat_measured=_CLUSTERS,
            caveat_simulated=_SIMULATED,
            seeded=False,
        )
        tracks[f"{name}-cells"] = Track(
            f"The {words}, as many cells tested as in the donor split, but drawn from all donors: the gap between both "
            "is what other people cost.",
            "computational",
            default=False,
            beside=name,
            caveat_measured=_CLUSTERS,
            caveat_simulated=_SIMULATED,
            seeded=False,
        )
    return tracks


def _metrics() -> tuple[Metric, ...]:
    below = "without this level above the track's own"
    probabilities = "only where a method gives probabilities of all classes"
    return (
        Metric("f1_macro", "Mean F1 of the classes that tested cells have (the paper's evaluation).", headline=True),
        Metric("f1_micro", "F1 over all answers, which is the accuracy; *unassigned* counts as wrong."),
        Metric("f1_weighted", "Mean F1 weighted by the number of tested cells of a class."),
        Metric(
            "f1_macro_union",
            "Mean F1 of all classes among truth and answers, *unassigned* included (scikit-learn's default): a class "
            "that is answered but not there counts as 0.",
        ),
        Metric("balanced_accuracy", "Mean recall of the classes that tested cells have."),
        Metric("coverage", "Share of cells that are given a class rather than *unassigned*.", neutral=True),
        Metric("accuracy_assigned", "Accuracy among the cells that are given a class.", undefined="none is given one"),
        Metric(
            "unseen_fraction",
            "Share of tested cells whose class has no training cell: nobody can name it.",
            higher_is_better=False,
            neutral=True,
        ),
        Metric(
            "unseen_rejected",
            "Share of the cells of classes without training cells that are *unassigned*.",
            undefined="without such cells",
        ),
        Metric("accuracy_at_celltype", "Accuracy of the cell type that the answer belongs to.", undefined=below),
        Metric("f1_macro_at_celltype", "Macro F1 of the cell type that the answer belongs to.", undefined=below),
        Metric("accuracy_at_subtype", "Accuracy of the subtype that the answer belongs to.", undefined=below),
        Metric("f1_macro_at_subtype", "Macro F1 of the subtype that the answer belongs to.", undefined=below),
        Metric(
            "log_loss",
            f"Mean of -ln(probability of the true class), over cells of known classes; {probabilities}.",
            high=None,
            higher_is_better=False,
            undefined=_NO_PROBABILITIES,
        ),
        Metric(
            "brier",
            f"Mean squared distance of the probabilities from the truth, over cells of known classes; {probabilities}.",
            high=2.0,
            higher_is_better=False,
            undefined=_NO_PROBABILITIES,
        ),
        Metric(
            "ece",
            f"Expected calibration error of the largest probability, 15 equal bins; {probabilities}.",
            higher_is_better=False,
            undefined=_NO_PROBABILITIES,
        ),
        Metric(
            "set_coverage_90",
            "Share of cells whose set of classes has the true one; sets that keep their word have 0.9 or more.",
            neutral=True,
            undefined=_NO_SETS,
        ),
        Metric(
            "set_size_90",
            "Mean number of classes in a cell's set.",
            high=None,
            higher_is_better=False,
            undefined=_NO_SETS,
        ),
        Metric("f1", "F1 of one class (units class:NAME).", undefined="without tested cells of the class"),
        Metric("precision", "Precision of one class.", undefined="never answered, or no tested cells of the class"),
        Metric("recall", "Recall of one class.", undefined="without tested cells of the class"),
        Metric("train_cells", "Training cells of one class.", high=None, neutral=True),
    )


def _control(name: str) -> Callable[[Problem, np.random.Generator], Prediction]:
    def predict(problem: Problem, rng: np.random.Generator) -> Prediction:
        from bench.tasks.annotation import controls

        answer: Prediction = getattr(controls, name)(problem, rng)
        return answer

    return predict


class AnnotationTask(Task):
    """Label the cells of donors a method has not trained on, at three levels.

    Methods get the counts, labels and donors of the training cells and the counts and donors of the tested ones. The
    label set they know is that of the training cells; they may answer *unassigned*. Cell inclusion (but for cells with
    few genes, which stay), test donors and the F1 conventions follow the scMamba paper and its evaluation code.
    """

    name = "annotation"
    version = "4"
    summary = "Name the cell type, subtype and subcluster of each nucleus."
    purpose = (
        "Compare annotation methods with each other and with the scMamba paper's models, which this project "
        "re-implements."
    )
    linear_baseline = True
    tracks = _tracks()
    metrics = _metrics()
    outputs = (
        Output("label", "label", "One of inputs.info['classes'], or 'unassigned'."),
        Output("probability", "float", "Confidence in the label; 1 where the method has none.", low=0.0, high=1.0),
        Output(
            "probabilities",
            "matrix",
            "Of each of inputs.info['classes'], in that order; rows sum to 1.",
            required=False,
            low=0.0,
            high=1.0,
            columns="classes",
        ),
        Output(
            "prediction_set",
            "matrix",
            "1 for each of inputs.info['classes'] that is in the cell's set, which shall have the true one in 90 % of "
            "cells, else 0.",
            required=False,
            low=0.0,
            high=1.0,
            columns="classes",
        ),
    )
    controls = (
        Control(
            "random_prior",
            "random",
            "Classes drawn by their share of the training cells.",
            _control("random_prior"),
            stochastic=True,
        ),
        Control(
            "truth", "perfect", "The hidden truth; unassigned where its class has no training cell.", _control("truth")
        ),
        Control("majority", "trap", "The commonest training class for every cell.", _control("majority")),
    )

    def why_not(self, card: DatasetCard, track: str) -> str | None:
        """Return the reason why a dataset cannot serve a track, or None."""
        level = _FIELDS[track.removesuffix("-lodo").removesuffix("-cells")]
        if level not in card.fields:
            return f"no {level} column: the dataset has no labels at this level"
        if card.n_values.get(level, 2) < 2:
            return f"{card.n_values[level] or 'no'} {level}: there is nothing to tell apart"
        if track.endswith("-cells") and ("donor" not in card.fields or card.n_donors == 1):
            return "donors are not told apart: the track without -cells splits cells already"
        if track.endswith("-lodo") and "donor" not in card.fields:
            return "no donor column: there is no donor to leave out"
        if track.endswith("-lodo") and card.n_donors == 1:
            return "leaving one donor out takes two donors"
        return None

    def n_splits(self, cells: CountStore, track: str, at_most: int) -> int:
        """Different sets of tested donors; of cells, where donors are not told apart."""
        from bench.tasks._shared.split import n_splits

        return n_splits(cells.obs, cells.digest, at_most, leave_one_out=track.endswith("-lodo"))

    def make_problem(self, dataset: Dataset, track: str, seeds: Seeds) -> Problem:
        """Build inputs and solution.

        ``inputs.train.obs`` has ``donor`` and ``label``, ``inputs.cells.obs`` has ``donor``. ``inputs.info`` has
        ``classes`` (sorted, of the training cells), ``level`` (``cell_type``, ``subtype`` or ``subcluster``),
        ``unassigned``, ``split`` (``donor`` or ``cell``), ``weak_labels``,
        ``validation_donors`` (a suggestion; they are among the training cells) and ``parents`` (coarser level ->
        class -> parent). The solution has ``label``, ``donor``, ``seen`` and the coarser levels.

        Raises
        ------
        bench.errors.NotApplicableError
            If the dataset cannot serve the track (see :meth:`why_not`), fewer than two classes have training cells, or
            no tested cell has a label.
        bench.errors.DataError
            If a class has a name that cannot be kept.
        """
        reason = self.why_not(dataset.card, track)
        if reason:
            raise NotApplicableError(reason, where=f"dataset {dataset.card.name}, track {self.name}/{track}")
        from bench.tasks.annotation.problem import make_problem

        return make_problem(dataset, track, seeds)

    def check(self, inputs: Inputs, prediction: Prediction) -> None:
        """Refuse labels outside the label set, and rows of probabilities that do not sum to 1."""
        from bench.tasks.annotation.score import check

        check(inputs, prediction)

    def score(self, problem: Problem, prediction: Prediction) -> Scored:
        """All metrics: pooled and by class (with donor-then-cell bootstrap intervals), by donor, on seen classes."""
        from bench.tasks.annotation.score import score

        return score(problem, prediction)

    def resampled(
        self, solution: pd.DataFrame, truth: Mapping[str, csr_matrix], prediction: Prediction
    ) -> pd.DataFrame:
        """The replicates behind the intervals of pooled metrics."""
        from bench.tasks.annotation.score import resampled

        return resampled(solution, prediction)

    def problem_tables(self, problem: Problem) -> Mapping[str, pd.DataFrame]:
        """``map``: the tested cells in the plane."""
        from bench.tasks.annotation.map import map_of_cells

        return {"map": map_of_cells(problem)}

    def scramble(self, dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset | None:
        """The dataset with labels of the tested cells drawn anew from each other's."""
        from bench.tasks.annotation.problem import scramble

        return scramble(dataset, track, seeds, rng)
