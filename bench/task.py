"""The contract of a task: a question with a protocol, its metrics and its controls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.dataset import CountStore, Dataset, DatasetCard
from bench.problem import Inputs, Output, Prediction, Problem, Scored

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

__all__ = ["Control", "Metric", "Output", "Seeds", "Task", "Track"]


@dataclass(frozen=True)
class Track:
    """A variant of a task.

    Parameters
    ----------
    summary
        One sentence for ``bench describe`` and the report.
    truth
        Where the truth comes from: ``experimental``, ``computational``, ``simulated``.
    default
        Run when ``--tracks`` is not given.
    caveat
        A warning printed wherever the track's numbers stand.
    caveat_measured, caveat_simulated
        Further warnings, for measured datasets and for those of a simulator.
    circular
        The truth is made from the same counts by one of the methods compared, or a kin of theirs: the track's numbers
        are shown and enter no rank, mean or headline.
    seeded
        Whether the simulation seed changes the problem: where it does not, several of them would be one.
    beside
        A track of the same question that the report sets this one beside, with the gap of the headline metric.
    """

    summary: str
    truth: Literal["experimental", "computational", "simulated"]
    default: bool = True
    caveat: str = ""
    caveat_measured: str = ""
    caveat_simulated: str = ""
    circular: bool = False
    seeded: bool = True
    beside: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric and how to read it: range, direction, and when it is undefined.

    A ``neutral`` metric says what a method did, not how well: it is shown, never ranked or coloured.
    """

    name: str
    summary: str
    low: float | None = 0.0
    high: float | None = 1.0
    higher_is_better: bool = True
    undefined: str = ""
    headline: bool = False
    neutral: bool = False

    @property
    def sign(self) -> float:
        """Factor that makes higher better."""
        return 1.0 if self.higher_is_better else -1.0

    @property
    def direction(self) -> str:
        """``higher is better``, or ``lower is better``."""
        return "higher is better" if self.higher_is_better else "lower is better"


@dataclass(frozen=True)
class Control:
    """A deliberately trivial or cheating answer that anchors the scale.

    Controls run in the parent, the only place where the solution is known.

    Parameters
    ----------
    name
        Name shown beside the methods.
    role
        ``random``, ``perfect`` or ``trap``: a trivial baseline that any real method must beat.
    predict
        ``predict(problem, rng)`` returns a prediction.
    """

    name: str
    role: Literal["random", "perfect", "trap"]
    summary: str
    predict: Callable[[Problem, np.random.Generator], Prediction]
    stochastic: bool = False


@dataclass(frozen=True)
class Seeds:
    """The three seed axes of a trial, as small replicate numbers (0, 1, 2, ...)."""

    split: int = 0
    simulation: int = 0
    method: int = 0


class Task(ABC):
    """A question asked of methods.

    Attributes
    ----------
    name, version
        The version changes whenever inputs or scores can change: results of two versions never mix.
    tracks, metrics, outputs, controls
        The card, readable without building a problem.
    labelled_training
        Whether training cells carry the answer: methods that learn from it (``Method.supervised``) are not applicable
        where a problem has no training cells.
    linear_baseline
        Whether a table with pre-trained models (``Method.kind``) and without a linear baseline says that it lacks one.
    purpose
        What the comparison is for, and whether its authors own one of the methods.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    purpose: ClassVar[str] = ""
    tracks: ClassVar[Mapping[str, Track]]
    metrics: ClassVar[tuple[Metric, ...]]
    outputs: ClassVar[tuple[Output, ...]]
    controls: ClassVar[tuple[Control, ...]]
    labelled_training: ClassVar[bool] = True
    linear_baseline: ClassVar[bool] = False

    def inputs_name(self, track: str, seeds: Seeds) -> str:
        """Name of what methods are shown, if other tracks or tasks show the same of a dataset; empty: nobody else does.

        Where two trials of a method have the same name of inputs (and the same bytes: that is checked), the prediction
        of one serves the other too, so that a costly method runs once.
        """
        return ""

    @abstractmethod
    def why_not(self, card: DatasetCard, track: str) -> str | None:
        """Return the reason why this dataset cannot serve this track (shown to the user), or None if it can.

        One that begins ``no FIELD column`` is answered with the columns there are and how to name one.
        """

    def n_splits(self, cells: CountStore, track: str, at_most: int) -> int:
        """Count the different splits that the split seeds 0, 1, 2, ... give, ``at_most`` at most.

        Two splits that test the same donors are one. Seeds beyond are not run: what repeats a split is no replicate.
        """
        return at_most

    def usual_seeds(self, card: DatasetCard) -> int:
        """Count the seeds that a stochastic method runs where nobody asks for a number, unless it trains long."""
        return 1

    @abstractmethod
    def make_problem(self, dataset: Dataset, track: str, seeds: Seeds) -> Problem:
        """Build inputs and solution: deterministic in ``dataset``, ``track``, ``seeds.split``, ``seeds.simulation``."""

    def check(self, inputs: Inputs, prediction: Prediction) -> None:  # noqa: B027 - most tasks have nothing to add
        """Refuse a prediction for what the declared outputs cannot say of it; nothing by default.

        Raises
        ------
        bench.errors.InvalidOutputError
            If the prediction is none that can be scored.
        """

    @abstractmethod
    def score(self, problem: Problem, prediction: Prediction) -> Scored:
        """Score a validated prediction. Deterministic."""

    def resampled(
        self, solution: pd.DataFrame, truth: Mapping[str, csr_matrix], prediction: Prediction
    ) -> pd.DataFrame | None:
        """Pooled metrics over resampled donors, then cells; None (the default) where the task resamples nothing.

        From what a run folder keeps of a problem and of a prediction. The draws hang on the problem alone, so that the
        difference of two predictions' tables is a paired bootstrap.

        Parameters
        ----------
        solution, truth
            As in :class:`bench.problem.Problem`.

        Returns
        -------
        A row a replicate, a column a metric; NaN where it is undefined, or cannot be told from what is kept.
        """
        return None

    def problem_tables(self, problem: Problem) -> Mapping[str, pd.DataFrame]:
        """Tables that the report draws of a problem itself, such as a map of its cells.

        Made before a report, of the first problem of each track and dataset (``bench.execution.drawn``).
        """
        return {}

    @abstractmethod
    def scramble(
        self, dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator
    ) -> Dataset | Iterable[Dataset] | None:
        """The same dataset with its hidden truth scrambled, for the leakage audit.

        Only the truth of the cells a method answers for is hidden (``seeds`` tells which they are): the labels of
        training cells are legitimate inputs and stay. None where the input matrix itself is made from the truth
        (simulated doublets): the audit then checks that neither order nor names of the cells tell the truth. Where a
        problem has several masking rounds: a dataset a round, with what that round masks scrambled.
        """
