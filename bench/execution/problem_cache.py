"""Problems in memory and their inputs on disk, each built once for all the trials that share it."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from bench.errors import BenchError, InvalidOutputError
from bench.exchange.files import write_rounds
from bench.execution.scratch import Scratch, freeze, remove_tree
from bench.plan.registry import Registry
from bench.problem import Problem
from bench.results.records import TrialSpec
from bench.results.store import Store
from bench.system import path_digest
from bench.task import Seeds

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Problems held in memory at once; trials are ordered so that one is enough most of the time.
_KEPT_IN_MEMORY = 2


class BuiltProblem:
    """A problem in memory and its inputs on disk, which nobody may change.

    Attributes
    ----------
    problem, inputs
        The problem, and the folder that methods are shown.
    digest
        sha256 over the files of ``inputs``.
    """

    def __init__(self, problem: Problem, inputs: Path) -> None:
        self.problem, self.inputs, self.digest = problem, inputs, path_digest(inputs)
        self._written = self._stamps()
        self._at_work: set[str] = set()
        self._met: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def shown_to(self, trial: str) -> Iterator[None]:
        """A trial's method is at work on the inputs.

        Raises
        ------
        InvalidOutputError
            If the files have changed meanwhile, and no other method was at work on them.
        DamagedInputsError
            If they have changed and it is not known by whose doing.
        """
        with self._lock:
            self._at_work.add(trial)
            if len(self._at_work) > 1:
                self._met |= self._at_work
        try:
            yield
        finally:
            with self._lock:
                self._at_work.remove(trial)
        if self._is_whole():
            return
        if trial in self._met:
            raise DamagedInputsError("its input files were changed meanwhile, by it or by another trial on them")
        raise InvalidOutputError("the method changed its input files", fix="work on a copy, in ctx.scratch")

    def _is_whole(self) -> bool:
        """Return whether the files are as they were; read again only if the system says that somebody changed them."""
        return self._stamps() == self._written or path_digest(self.inputs) == self.digest

    def _stamps(self) -> list[tuple[str, int, int, int]]:
        """Of every file what changes with it; a process cannot set back the time of its last change."""
        files = [(file, file.stat()) for file in sorted(self.inputs.rglob("*"))]
        return [(str(file), s.st_ino, s.st_size, s.st_ctime_ns) for file, s in files]


class DamagedInputsError(BenchError):
    """A problem's files on disk are no longer what was written: it must be built again."""


#: Why a problem could not be built, and where.
_Failure = tuple[Exception, TracebackType | None]


class Problems:
    """Builds each problem once, for all trials that share it; thread-safe."""

    def __init__(self, registry: Registry, scratch: Scratch, store: Store | None = None) -> None:
        self._registry = registry
        self._scratch = scratch
        self._store = store
        self._lock = threading.Lock()
        self._built: OrderedDict[str, BuiltProblem | _Failure] = OrderedDict()

    def get(self, spec: TrialSpec) -> BuiltProblem:
        """The problem of ``spec``.

        Raises
        ------
        Exception
            Whatever the dataset or the task raises; the same error for every trial of the problem.
        """
        key = spec.problem
        with self._lock:
            if key not in self._built:
                try:
                    self._built[key] = self._build(spec, key)
                except Exception as error:  # noqa: BLE001 - a task of a third party may raise anything
                    self._built[key] = error, error.__traceback__
            built = self._built[key]
            self._built.move_to_end(key)
            while len(self._built) > _KEPT_IN_MEMORY:
                self._built.popitem(last=False)
        if isinstance(built, BuiltProblem):
            return built
        failure, where = built
        raise failure.with_traceback(where)  # as it was: each raise adds its own frames

    def forget(self, spec: TrialSpec) -> None:
        """Build the problem of ``spec`` again when it is asked for next."""
        with self._lock:
            self._built.pop(spec.problem, None)

    def _build(self, spec: TrialSpec, key: str) -> BuiltProblem:
        dataset = self._registry.load(spec.dataset)
        task = self._registry.task(spec.task)
        problem = task.make_problem(dataset, spec.track, Seeds(spec.seeds.split, spec.seeds.simulation))
        self._scratch.refuse(_size(problem), "a problem's inputs")
        place = self._scratch.new()
        try:
            write_rounds(problem.rounds, place / "inputs", spec.inputs_id)
            freeze(place / "inputs")
            if self._store is not None and not self._store.has_problem(key):
                self._store.save_problem(key, problem)
            built = BuiltProblem(problem, place / "inputs")
        except BaseException:
            remove_tree(place)
            raise
        # Inputs leave the disk with the problem, once no trial holds it: a grid's problems may not fit there together.
        weakref.finalize(built, remove_tree, place)
        return built


def _size(problem: Problem) -> int:
    """About how many bytes the inputs take on disk."""

    def size(X: csr_matrix) -> int:
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)

    inputs = problem.inputs
    mask = 0 if inputs.query is None else int(inputs.query.indices.nbytes + inputs.query.indptr.nbytes)
    visible = size(inputs.cells.X) + mask
    return len(problem.rounds) * visible + (0 if inputs.train is None else size(inputs.train.X))
