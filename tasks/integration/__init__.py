"""Integration: do imputed cells, or an embedding of them, show their kinds and not their batches?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import NotApplicableError
from bench.task import Control, Metric, Output, Task, Track

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from bench.dataset import CountStore, Dataset, DatasetCard
    from bench.problem import Prediction, Problem, Scored
    from bench.task import Seeds

#: Of which half are shown with labels.
FEWEST_DONORS = 4
_ONE_LABEL = "where all cells have one label"
_NO_SCIB = "without scib-metrics (extra `integration`)"
_ONE_BATCH = "where all cells are of one batch, or " + _NO_SCIB


def _control(name: str) -> Callable[[Problem, np.random.Generator], Prediction]:
    def predict(problem: Problem, rng: np.random.Generator) -> Prediction:
        from bench.tasks.integration import problem as controls

        answer: Prediction = getattr(controls, name)(problem, rng)
        return answer

    return predict


class IntegrationTask(Task):
    """Fill in or embed a whole study; the cells are clustered in what comes of it.

    The paper's *zero imputation*: zeros are replaced, what was counted is kept. Tools made to integrate batches answer
    with an embedding, which goes through the same clustering and the same metrics. Methods see every cell of the study,
    counts as measured, and no label. A model that predicts masked genes masks the zeros in groups itself.
    """

    name = "integration"
    version = "5"
    summary = "Impute or embed a whole study so that its kinds of cells stay apart and its batches do not."
    purpose = (
        "Compare imputers by what their output is used for, beside tools made to integrate batches, and with the harm "
        "of filling in zeros that are real."
    )
    labelled_training = False
    tracks = {
        "zero": Track(
            "Zeros are replaced by the method's values, counts kept, or cells are embedded; their clusters are "
            "compared with the labels.",
            "experimental",
            caveat="Oracle metrics choose the resolution by the labels, as the paper does. They judge expression on "
            "all genes and an embedding on its own dimensions: compare the two by nmi and by mixing.",
            caveat_measured="Labels come, as a rule, from clusters of the same counts: agreement with them favours "
            "methods that sharpen those clusters.",
            seeded=False,
        ),
        "labelled": Track(
            "The same of half of the donors; the cells of the other half are shown with their labels, for methods that "
            "learn from labels.",
            "experimental",
            default=False,
            caveat="Fewer donors are clustered than in `zero`: compare rows within the track.",
            seeded=False,
        ),
    }
    metrics = (
        Metric(
            "nmi",
            "Normalised mutual information of labels and Louvain clusters at resolution 1: 50 principal components of "
            "expression, an embedding as it is.",
            undefined=_ONE_LABEL,
        ),
        Metric("ari", "Adjusted Rand index of the same clusters.", low=-0.5, undefined=_ONE_LABEL),
        Metric(
            "nmi_oracle",
            "The paper's: neighbours on all genes (of an embedding on all dimensions), the best of 20 resolutions (0.1 "
            "to 2.0) by NMI with the labels.",
            undefined=_ONE_LABEL,
            headline=True,
        ),
        Metric("ari_oracle", "ARI at the resolution of `nmi_oracle`.", low=-0.5, undefined=_ONE_LABEL),
        Metric(
            "ilisi",
            "Batches among a cell's 90 nearest, the median scaled to 0 to 1 (scib-metrics).",
            undefined=_ONE_BATCH,
        ),
        Metric(
            "cilisi",
            "The same among the 90 nearest of the cell's own type, mean over cells: mixing that does not gain where "
            "types run into one another (CiLISI, scib-metrics).",
            undefined=_ONE_BATCH,
        ),
        Metric(
            "kbet_per_label",
            "Share of neighbourhoods within a type whose batches are mixed as in the type, mean over types "
            "(scib-metrics).",
            undefined=_ONE_BATCH,
        ),
        Metric(
            "bras",
            "Batch removal adapted silhouette within types: 1 where a cell is as near to its own batch as to others "
            "(scib-metrics).",
            undefined=_ONE_BATCH,
        ),
        Metric("clisi", "Types among a cell's 90 nearest: 1 where all are one (scib-metrics).", undefined=_ONE_LABEL),
        Metric("graph_connectivity", "Cells of a type that hang together (scib-metrics).", undefined=_NO_SCIB),
        Metric(
            "zeros_turned_on",
            "Harm: share of zeros of other types' markers that are imputed as 1 per 10,000 or more.",
            higher_is_better=False,
            undefined="where no type lacks a marker of another; of an embedding",
        ),
    )
    outputs = (
        Output("expression", "expression", "ln(1 + counts per 10,000) of every gene in every cell."),
        Output(
            "embedding",
            "matrix",
            "Coordinates of every cell in a space of any number of dimensions.",
            required=False,
            low=-1e9,  # beyond, distances in single precision overflow
            high=1e9,
            instead_of="expression",
        ),
    )
    controls = (
        Control(
            "random",
            "random",
            "Means of random groups of cells in place of zeros.",
            _control("random"),
            stochastic=True,
        ),
        Control(
            "cell_type_mean",
            "perfect",
            "Means of the cell's hidden type in place of zeros: an imputer that knows the labels, and the extreme "
            "over-smoother.",
            _control("cell_type_mean"),
        ),
        Control("raw", "trap", "No imputation: the zeros stay.", _control("raw")),
        Control("gene_mean", "trap", "The gene's mean in place of zeros.", _control("gene_mean")),
    )

    def inputs_name(self, track: str, seeds: Seeds) -> str:
        """The whole study, which other tasks show too, where no donor's labels are shown."""
        from bench.tasks._shared.study import STUDY

        return STUDY if track == "zero" else ""

    def why_not(self, card: DatasetCard, track: str) -> str | None:
        """Return the reason why a dataset cannot serve the track, or None."""
        levels = {"cell_type", "subtype", "subcluster"} & set(card.fields)
        if not levels:
            return "no cell_type column: there are no labels to compare clusters with"
        if all(card.n_values.get(level, 2) < 2 for level in levels):
            return "all cells have one label: there is nothing to compare clusters with"
        if track == "labelled" and (card.n_donors or 1) < FEWEST_DONORS:
            return f"half of the donors are shown with labels, which takes {FEWEST_DONORS} donors"
        return None

    def n_splits(self, cells: CountStore, track: str, at_most: int) -> int:
        """One: nothing is held out."""
        return 1

    def make_problem(self, dataset: Dataset, track: str, seeds: Seeds) -> Problem:
        """Build inputs and solution (label levels, ``labelled``, ``donor``, and ``batch`` and ``condition`` if known).

        Raises
        ------
        bench.errors.NotApplicableError
            If the dataset has no labels, or too few labelled cells.
        """
        reason = self.why_not(dataset.card, track)
        if reason:
            raise NotApplicableError(reason, where=f"dataset {dataset.card.name}, track {self.name}/{track}")
        from bench.tasks.integration.problem import make_problem

        problem = make_problem(dataset)
        if track == "zero":
            return problem
        from bench.tasks.integration.labelled import half_labelled

        return half_labelled(problem, dataset.card.digest)

    def score(self, problem: Problem, prediction: Prediction) -> Scored:
        """Agreement of clusters with labels by level, mixing of batches, false-positive imputation; map and curves."""
        from bench.tasks.integration.score import score

        return score(problem, prediction)

    def scramble(self, dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset | None:
        """The dataset with its labels dealt anew."""
        from bench.tasks.integration.problem import scramble

        return scramble(dataset, rng, self.make_problem(dataset, track, seeds).solution.index)
