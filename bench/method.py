"""The contract of a method: one file, one class, a card that reads without the method's packages."""

from __future__ import annotations

import inspect
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.errors import BenchError, UnknownNameError
from bench.problem import Inputs, Prediction

if TYPE_CHECKING:
    import numpy as np

Implementation = Literal["official", "port", "reimplementation", "ours"]


@dataclass(frozen=True)
class Requirement:
    """Something a method needs that the core does not bring.

    Parameters
    ----------
    kind
        ``python``: a distribution on PyPI; ``r``: an R package (then R and rpy2 are needed too).
    name
        Name of the distribution or R package.
    install
        The command that installs it, shown by ``bench doctor``.
    version
        Versions of a Python distribution that serve, as pip writes them (``<1.8``); empty for any.
    """

    kind: Literal["python", "r"]
    name: str
    install: str
    version: str = ""


def python_package(name: str, *, version: str = "", extra: str = "") -> Requirement:
    """A Python distribution; ``extra`` names the extra of scmamba-bench that brings it."""
    requirement = f"'scmamba-bench[{extra}]'" if extra else f"'{name}{version}'" if version else name
    return Requirement("python", name, f"pip install {requirement}", version)


def r_package(name: str, *, install: str) -> Requirement:
    """An R package and the shell command that installs it."""
    return Requirement("r", name, install)


@dataclass
class Context:
    """Everything that the harness hands to :meth:`Method.run` beside the inputs.

    Parameters
    ----------
    seed
        Seed of the method axis, in [0, 2**31).
    threads
        Thread budget; OMP, MKL, OpenBLAS, numba, torch and R are already set to it.
    device
        ``cpu`` or ``cuda``.
    scratch
        A folder of the trial's own, removed afterwards.
    log
        Logger whose lines go to the trial's log.
    round, n_rounds
        Number of the masking round, from 0, and how many there are: ``run`` is called once a round on the same object,
        with other entries masked each time (``inputs.query``).
    """

    seed: int
    threads: int = 1
    device: str = "cpu"
    scratch: Path = field(default_factory=Path)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("bench.method"))
    round: int = 0
    n_rounds: int = 1
    report_progress: Callable[[float, str], None] = lambda fraction, message: None
    report_phase: Callable[[str], None] = lambda name: None
    phases: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something that a reader of this row must know; it stands in the results and in the report."""
        if text not in self.notes:
            self.notes.append(text)

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the method is (``fraction`` in [0, 1]): to the live table, and to the row if a limit ends it."""
        self.report_progress(fraction, message)

    def empty(self, shape: tuple[int, int]) -> np.ndarray:
        """A float32 array on disk (cells, genes) to fill by blocks and return: for outputs that memory cannot hold."""
        from numpy.lib.format import open_memmap

        file = self.scratch / f"output_{self.round}_{len(list(self.scratch.glob('output_*.npy')))}.npy"
        return open_memmap(file, mode="w+", dtype="float32", shape=shape)

    def written(self, out: np.ndarray) -> None:
        """Say that a part of an array of :meth:`empty` is done: it leaves the memory that a trial is measured by."""
        from bench.blocks import release

        release(out)

    @contextmanager
    def phase(self, name: Literal["fit", "predict"]) -> Iterator[None]:
        """Time a block as fitting or predicting; seconds add up over repeated use."""
        start = time.perf_counter()
        self.report_phase(name)
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start
        self.report_phase("")


class Method(ABC):
    """A wrapped tool. Class attributes are its card; parameters live only in ``__init__``, with defaults.

    Attributes
    ----------
    name
        Lower-case name used on the command line.
    tasks
        Tasks it answers.
    summary
        One sentence.
    reference
        DOI of the paper.
    citation
        The paper or software to cite, as BibTeX; several entries if need be.
    licence
        SPDX identifier of the licence of the authors' code, or of the package that is run where it is another's; empty
        where none is stated.
    implementation
        ``official`` (the authors' code), ``port`` (our code after their algorithm), ``reimplementation``
        (a third party's code), ``ours``.
    input_layer
        ``counts`` (raw) or ``log1p_cp10k`` (ln(1 + counts per 10,000)); the harness supplies it.
    fractional_counts
        Takes counts that are no whole numbers, such as the half counts of a mean of two cells. By default the harness
        rounds them at random (:func:`bench.normalise.rounded`), alike for all methods, and the row says so.
    supervised
        Needs ``inputs.train``; the trial is ``not_applicable`` where there is none.
    stochastic
        Result depends on ``ctx.seed``; deterministic methods run once whatever ``--seeds`` says.
    trains_long
        One seed is enough unless more are asked for, where the task would run several: it trains a network.
    per_donor
        Run on each donor (library) of the inputs by itself, with the results put together again.
    requires
        What must be installed; in a Python environment of its own, the packages of it that rows tell the version of.
    preload
        Modules that take seconds to import. They are loaded once in a run, in a process from which the trials of all
        methods with the same modules are forked, and count in no trial's time. Importing them must start no threads.
    kind
        ``linear``: a linear model of counts, the baseline that a pre-trained model has to beat; ``foundation``: a model
        pre-trained on cells, what is made of one, or the same network without. Tables with the latter alone say so.
    seeded_as
        Name from which the seeds of its trials are drawn: another method's, to have the same; empty: its own.
    pretrained_on
        Names or accessions of the data a shipped checkpoint has seen.
    files
        Parameters that name a file or folder (empty: none): its bytes become part of a trial's key.
    embeddings
        Parameters that name an embedding of the dataset, a key of its ``obsm`` (empty: none). It is in
        ``inputs.cells.obsm`` and ``inputs.train.obsm`` under that key, and its digest becomes part of a trial's key. A
        method of which one is not named is not among ``--methods all``.
    named_by
        Parameters whose values stand beside its name in tables and figures, whatever other rows there are.
    environment
        Name of a TOML file beside the method's own that lists packages which cannot live beside the harness's
        (docs/add-a-method.md has a whole one); ``run`` is then called in a process of that environment.
    caveat
        What a reader of a table must know about this row.
    presets
        Named parameter sets for ``--preset``.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    reference: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    implementation: ClassVar[Implementation] = "ours"
    input_layer: ClassVar[Literal["counts", "log1p_cp10k"]] = "counts"
    fractional_counts: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True
    trains_long: ClassVar[bool] = False
    per_donor: ClassVar[bool] = False
    requires: ClassVar[tuple[Requirement, ...]] = ()
    preload: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[Literal["", "linear", "foundation"]] = ""
    seeded_as: ClassVar[str] = ""
    pretrained_on: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    embeddings: ClassVar[tuple[str, ...]] = ()
    named_by: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[str] = ""
    caveat: ClassVar[str] = ""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @abstractmethod
    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Answer ``inputs``; heavy imports belong inside.

        Returns
        -------
        Named arrays as the task's outputs ask for, one entry (or row) per cell of ``inputs.cells``, in order.

        Raises
        ------
        bench.errors.NotApplicableError
            If the method cannot answer these inputs by design.
        """

    @classmethod
    def seen_before(cls, files: Mapping[str, Path]) -> Mapping[str, frozenset[str] | None]:
        """Data the method has learned from before the trial: name, accession or digest, and the donors (None: all).

        Parameters
        ----------
        files
            Those of :attr:`files` that were given.
        """
        return dict.fromkeys(cls.pretrained_on)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Parameter names and their defaults, from the signature of ``__init__``."""
        if cls.__init__ is object.__init__:
            return {}
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {p.name: p.default for p in parameters}

    @classmethod
    def resolve(cls, params: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
        """Defaults, overlaid with a preset (if the method has it) and explicit parameters."""
        merged = {**cls.defaults(), **cls.presets.get(preset or "", {})}
        for name in params:
            if name not in merged:
                raise UnknownNameError(f"parameter of {cls.name}", name, merged)
        return {**merged, **params}


def params_of(method: Method) -> dict[str, Any]:
    """Parameters of an object, from the attributes of their names."""
    names = list(method.defaults())
    lost = [name for name in names if not hasattr(method, name)]
    if lost:
        raise BenchError(
            f"an object of {type(method).__name__} does not tell its parameters: {', '.join(lost)}",
            where=f"{type(method).__name__}.__init__",
            fix=f"keep each under its name (self.{lost[0]} = {lost[0]}), or hand over the class",
        )
    return {name: getattr(method, name) for name in names}
