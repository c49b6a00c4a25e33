"""Doublet detection: which droplets hold two nuclei?"""

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
    from bench.problem import Prediction, Problem, Scored
    from bench.task import Seeds

#: Cells of a dataset that is small: a method runs several seeds by default.
_SMALL = 10_000
_NO_DOUBLETS = "without doublets"
_ONE_CLASS = "without both doublets and singlets"
_SIMULATION = (
    "One doublet for every ten singlets of a donor (real doublets left out, parents kept): two cells are {how}."
)


def _metrics() -> tuple[Metric, ...]:
    precision = "no cell called, or " + _NO_DOUBLETS
    own = (
        Metric(
            "precision", "Share of the method's calls that are doublets.", undefined=precision + ", or no calls made"
        ),
        Metric("recall", "Share of doublets that the method calls.", undefined=_NO_DOUBLETS + ", or no calls made"),
        Metric(
            "tnr", "Share of singlets that the method does not call.", undefined="without singlets, or no calls made"
        ),
        Metric("f1", "Harmonic mean of precision and recall.", undefined=_NO_DOUBLETS + ", or no calls made"),
        Metric(
            "called_fraction",
            "Share of cells that the method calls; neither high nor low is good.",
            undefined="no calls made",
            neutral=True,
        ),
    )
    exactly = "when exactly {} are called from the top; ties share by expectation"
    rules = {}
    for rate in (10, 20, 40):
        rules[f"{rate}%"] = exactly.format(f"{rate} % of cells")
        rules[f"{rate}%-paper"] = (
            f"by the paper's rule: called is what scores strictly above the {100 - rate} % quantile"
        )
    rules["true"] = exactly.format("the true number")
    at_rates = []
    for name, rule in rules.items():
        at_rates += [
            Metric(f"precision@{name}", f"Precision {rule}.", undefined=precision),
            Metric(f"recall@{name}", f"Recall {rule}.", undefined=_NO_DOUBLETS),
            Metric(f"tnr@{name}", f"True negative rate {rule}.", undefined="without singlets"),
            Metric(f"f1@{name}", f"F1 {rule}.", undefined=_NO_DOUBLETS),
        ]
    auprc = Metric("auprc", "Average precision of the ranking by score.", undefined=_ONE_CLASS, headline=True)
    auroc = Metric("auroc", "Area under the ROC curve; ties count one half.", undefined=_ONE_CLASS)
    return (auprc, auroc, *own, *at_rates)


def _control(name: str) -> Callable[[Problem, np.random.Generator], Prediction]:
    def predict(problem: Problem, rng: np.random.Generator) -> Prediction:
        from bench.tasks.doublet import controls

        answer: Prediction = getattr(controls, name)(problem, rng)
        return answer

    return predict


class DoubletTask(Task):
    """Find doublets in the cells of donors a method has not trained on.

    About 30 % of donors are tested (all cells where donors are not told apart). Unsupervised methods see the tested
    cells only; supervised ones also get the other donors' cells with labels. Protocol and metrics follow the scMamba
    paper. Ties and numbers of calls are exact here; the paper's rule for them stands beside (``f1@40%-paper``).
    """

    name = "doublet"
    version = "2"
    summary = "Find droplets that hold two nuclei."
    purpose = (
        "Compare doublet callers with each other and with the scMamba paper's models, re-implemented by this project."
    )
    tracks = {
        "experimental": Track(
            "Doublets known from the experiment (cell hashing, genotypes) or, for simulated datasets, the generator.",
            "experimental",
            caveat_measured="Hashing and genotypes see doublets between samples only: those within a sample count as "
            "singlets, so even a perfect caller stays below 1.",
            caveat_simulated="The truth is the generator's: complete, but how hard its doublets are is its choice.",
            seeded=False,
        ),
        "simulated-paper": Track(
            _SIMULATION.format(how="averaged and not rounded, as in the paper's code")
            + " Cells with fewer than 200 detected genes are left out, as there.",
            "simulated",
            caveat="In large part it asks who can count genes: a doublet has those of both cells. On synthetic nuclei "
            "it has 2,215, a singlet 1,122, and a doublet of rounded averages 1,434; their number alone reaches an "
            "AUPRC of 0.26 (0.12 where rounded), and of 1.00 (0.85) if all nuclei have 1,500 counts "
            "(benchmarks/simulated_doublets.py). Normalised, averages equal sums.",
        ),
        "simulated": Track(
            _SIMULATION.format(how="averaged, and half counts rounded up or down at random"),
            "simulated",
            caveat="Averages are no deeper than singlets; methods that learn from sums are at a disadvantage here. Not "
            "the paper's: rounding takes away half of the genes that one of the two cells has once.",
        ),
        "simulated-sum": Track(
            _SIMULATION.format(how="added"),
            "simulated",
            default=False,
            caveat="Sums are twice as deep as singlets: library size alone finds many of them.",
        ),
        "simulated-depth": Track(
            _SIMULATION.format(how="added, and thinned to the depth of a random singlet of the donor"),
            "simulated",
            default=False,
            caveat="Depth tells nothing here by construction; real doublets are deeper than singlets on average.",
        ),
        "invivo": Track(
            "Labels of whole clusters: those whose mean Scrublet score exceeds 0.1, as in the paper.",
            "computational",
            caveat="Circular: the truth is made from the same counts by Scrublet and clustering; methods akin to them, "
            "and supervised ones that learn the clusters, are favoured. Shown, and in no rank, mean or verdict.",
            circular=True,
        ),
    }
    metrics = _metrics()
    outputs = (
        Output("score", "float", "Higher means more likely a doublet."),
        Output("call", "bool", "Whether the method calls the cell a doublet.", required=False),
    )
    controls = (
        Control("random", "random", "Uniform random scores.", _control("random"), stochastic=True),
        Control("truth", "perfect", "The hidden truth.", _control("truth")),
        Control("library_size", "trap", "Total counts of the cell.", _control("library_size")),
        Control("n_genes", "trap", "Number of genes detected in the cell.", _control("n_genes")),
    )

    def usual_seeds(self, card: DatasetCard) -> int:
        """Five in small data, where a caller's chance matters: bcds ranged from 0.30 to 0.37 on one real dataset."""
        return 5 if card.n_cells <= _SMALL else 1

    def why_not(self, card: DatasetCard, track: str) -> str | None:
        """Return the reason why a dataset cannot serve a track, or None."""
        if track == "experimental":
            if "is_doublet" not in card.fields:
                return "no is_doublet column: the dataset does not say which cells are doublets"
            if card.truth not in ("experimental", "generative"):
                return f"its doublet labels are {card.truth}, not from an experiment"
            if card.n_values.get("is_doublet", 1) in (0, card.n_cells):
                return f"{'every' if card.n_values['is_doublet'] else 'no'} cell is a doublet by its labels"
        if track == "invivo" and card.n_cells < 50:
            return f"{card.n_cells} cells are too few to make cluster-level labels (at least 50)"
        if track.startswith("simulated") and card.n_cells < 10:
            return f"{card.n_cells} cells are too few to simulate doublets from (at least 10)"
        return None

    def n_splits(self, cells: CountStore, track: str, at_most: int) -> int:
        """Different sets of tested donors; one where donors are not told apart."""
        from itertools import islice

        from bench.tasks._shared.donors import held_out_sets

        return sum(1 for _ in islice(held_out_sets(cells.obs, cells.digest), at_most))

    def make_problem(self, dataset: Dataset, track: str, seeds: Seeds) -> Problem:
        """Build inputs and solution.

        ``inputs.cells.obs`` has ``donor`` and ``expected_doublet_rate``; ``inputs.train.obs`` has ``donor``,
        ``is_doublet`` and the cell types the dataset knows. The solution has ``is_doublet``, ``donor``, ``homotypic``,
        ``parent_a``, ``parent_b`` (cells), ``parent_type_a`` and ``parent_type_b``, missing where not known.

        Raises
        ------
        bench.errors.NotApplicableError
            If the dataset cannot serve the track (see :meth:`why_not`), or nothing in it can be labelled.
        """
        reason = self.why_not(dataset.card, track)
        if reason:
            raise NotApplicableError(reason, where=f"dataset {dataset.card.name}, track {self.name}/{track}")
        from bench.tasks.doublet.problem import make_problem

        return make_problem(dataset, track, seeds)

    def score(self, problem: Problem, prediction: Prediction) -> Scored:
        """All metrics: pooled (with donor-then-cell bootstrap intervals), by donor, by kind of doublet; and curves.

        Scores are pooled over donors as they come, as in the paper. Methods that run on each donor by itself may not
        have put them on one scale: ``donor_mean`` does not depend on that.
        """
        from bench.tasks.doublet.score import score

        return score(problem.solution, prediction)

    def resampled(
        self, solution: pd.DataFrame, truth: Mapping[str, csr_matrix], prediction: Prediction
    ) -> pd.DataFrame:
        """The replicates behind the intervals of pooled metrics."""
        from bench.tasks.doublet.score import resampled

        return resampled(solution, prediction)

    def scramble(self, dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset | None:
        """The dataset with random truth for the tested donors; None for tracks whose doublets are simulated."""
        from bench.tasks.doublet.problem import scramble

        return scramble(dataset, track, seeds, rng)
