"""Imputation: what expression is behind a zero?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.task import Control, Metric, Output, Task, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    from bench.dataset import CountStore, Dataset, DatasetCard
    from bench.problem import Prediction, Problem, Scored
    from bench.task import Seeds


def _control(name: str) -> Callable[[Problem, np.random.Generator], Prediction]:
    def predict(problem: Problem, rng: np.random.Generator) -> Prediction:
        from bench.tasks.imputation import controls

        answer: Prediction = getattr(controls, name)(problem, rng)
        return answer

    return predict


class ImputationTask(Task):
    """Say what expression is behind the zeros of cells of donors a method has not trained on.

    In the ``nonzero`` tracks detected counts are masked, a fifth of each cell's in each of five masking rounds; in
    ``dropout`` nothing is hidden on purpose and the truth is known from elsewhere: a simulator's expectation, or the
    counts before most molecules were taken away.
    """

    name = "imputation"
    version = "3"
    summary = "Recover expression that was hidden or lost."
    purpose = (
        "Compare imputation methods with each other and with the scMamba paper's models, which this project "
        "re-implements."
    )
    tracks = {
        "nonzero": Track(
            "Detected counts of cells with 4,000 counts, hidden before normalisation in five interleaved groups.",
            "experimental",
            caveat="Only detected counts are asked for: a method that knows so and never answers zero has an advantage "
            "over one that gives expected values.",
            seeded=False,
        ),
        "nonzero-paper": Track(
            "The same, normalised before masking as in the scMamba paper's code; library sizes are told.",
            "experimental",
            default=False,
            caveat="The library size of a cell counts what is hidden: it tells the sum of the hidden counts.",
            seeded=False,
        ),
        "dropout": Track(
            "All values of whole cells, where the truth is known: a simulator's expectation, or deep cells of which a "
            "quarter of the molecules is shown.",
            "experimental",
            caveat_measured="The truth is a deeper measurement of the cells, with zeros of its own.",
            caveat_simulated="The truth is the simulator's expectation.",
        ),
    }
    metrics = (
        Metric(
            "mse",
            "Mean squared error of ln(1 + counts per 10,000) over the entries asked for.",
            high=None,
            higher_is_better=False,
            headline=True,
        ),
        Metric(
            "pearson",
            "Correlation of imputed with true values over the entries asked for.",
            low=-1.0,
            undefined="where all imputed or all true values are the same",
        ),
        Metric(
            "slope",
            "Slope of imputed on true values (least squares): below 1, high expression is underestimated.",
            low=None,
            high=None,
            neutral=True,
            undefined="where all true values are the same",
        ),
        Metric(
            "pearson_cell",
            "Mean over cells of the correlation across a cell's entries (constant answers: 0).",
            low=-1.0,
        ),
        Metric(
            "pearson_gene",
            "Mean over genes of the correlation across a gene's entries, ten or more (constant answers: 0).",
            low=-1.0,
            undefined="without a gene with ten entries of different values",
        ),
        Metric(
            "zeros_turned_on",
            "Share of true zeros, shown as zeros, that are imputed as 1 per 10,000 or more. True zeros: expected below "
            "0.1 per 10,000 (simulated), or genes that mark other cell types (real).",
            higher_is_better=False,
            undefined="where detected counts are hidden, and without cell types",
        ),
        Metric(
            "correlation_inflation",
            "Mean absolute correlation between the 200 most variable genes as imputed, less that of the truth.",
            low=-1.0,
            neutral=True,
            undefined="where detected counts are hidden",
        ),
    )
    outputs = (Output("expression", "expression", "ln(1 + counts per 10,000) of every gene of every cell."),)
    controls = (
        Control("random", "random", "Shown values of other genes of the cell.", _control("shuffled"), stochastic=True),
        Control("truth", "perfect", "The hidden truth.", _control("truth")),
        Control("identity", "trap", "What is shown: zero at every hidden entry.", _control("identity")),
        Control("gene_mean", "trap", "The gene's mean over all shown cells.", _control("gene_mean")),
        Control(
            "gene_mean_detected",
            "trap",
            "The gene's mean over the shown cells in which it is detected.",
            _control("gene_mean_detected"),
        ),
        Control(
            "cell_type_mean",
            "trap",
            "The gene's mean over shown cells of the hidden type: all cells of a type look the same.",
            _control("cell_type_mean"),
        ),
    )
    labelled_training = False

    def why_not(self, card: DatasetCard, track: str) -> str | None:
        """Return None: whether cells are deep enough is known only from the counts."""
        return None

    def n_splits(self, cells: CountStore, track: str, at_most: int) -> int:
        """Different sets of tested donors; of cells, where donors are not told apart."""
        from bench.tasks._shared.split import n_splits

        return n_splits(cells.obs, cells.digest, at_most)

    def make_problem(self, dataset: Dataset, track: str, seeds: Seeds) -> Problem:
        """Build inputs and truth.

        ``obs`` of tested and training cells has ``donor`` and, where known, ``batch``; ``nonzero-paper`` adds
        ``library_size`` of the tested cells. ``inputs.info`` has ``split`` (``donor`` or ``cell``), ``min_counts`` and
        ``validation_donors`` (a suggestion; they are among the training cells). ``truth["expression"]`` is
        ln(1 + counts per 10,000). The solution has ``donor``, ``umi``, ``batch`` and ``cell_type`` where known and, in
        ``dropout``, ``truth``: ``expected`` or ``thinned``.

        Raises
        ------
        bench.errors.NotApplicableError
            If no tested cell is deep enough.
        """
        from bench.tasks.imputation.problem import make_problem

        return make_problem(dataset, track, seeds)

    def score(self, problem: Problem, prediction: Prediction) -> Scored:
        """All metrics of all entries and of each group, with donor-then-cell bootstrap intervals, and the tables."""
        from bench.tasks.imputation.score import score

        return score(problem, prediction)

    def resampled(
        self, solution: pd.DataFrame, truth: Mapping[str, csr_matrix], prediction: Prediction
    ) -> pd.DataFrame:
        """The replicates behind the intervals of pooled metrics."""
        from bench.tasks.imputation.score import resampled

        return resampled(solution, truth["expression"], prediction["expression"])

    def scramble(
        self, dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator
    ) -> Dataset | Iterable[Dataset]:
        """The dataset with hidden values changed: one for every masking round, or for the whole truth."""
        from bench.tasks.imputation.problem import scramble

        return scramble(dataset, track, seeds, rng)
