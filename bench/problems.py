"""Problems in memory and their inputs on disk, each built once for all the trials that share it."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from bench.digest import path_digest
from bench.errors import BenchError
from bench.exchange import write_rounds
from bench.problem import Problem
from bench.record import TrialSpec
from bench.registry import Registry
from bench.store import Store
from bench.task import Seeds

#: Problems held in memory at once; trials are ordered so that one is enough most of the time.
_KEPT_IN_MEMORY = 2


@dataclass(frozen=True)
class BuiltProblem:
    """A problem in memory and its inputs on disk; ``digest`` is that of the inputs where other problems share them."""

    problem: Problem
    inputs: Path
    digest: str = ""


class Problems:
    """Builds each problem once, for all trials that share it; thread-safe."""

    def __init__(self, registry: Registry, scratch: Path, store: Store | None = None) -> None:
        self._registry = registry
        self._scratch = scratch
        self._store = store
        self._lock = threading.Lock()
        self._built: OrderedDict[str, BuiltProblem | BenchError] = OrderedDict()

    def get(self, spec: TrialSpec) -> BuiltProblem:
        """The problem of ``spec``.

        Raises
        ------
        BenchError
            If the dataset or the task refuses; the same error for every trial of the problem.
        """
        key = spec.problem
        with self._lock:
            if key not in self._built:
                try:
                    self._built[key] = self._build(spec, key)
                except BenchError as error:
                    self._built[key] = error
            found = self._built[key]
            self._built.move_to_end(key)
            while len(self._built) > _KEPT_IN_MEMORY:
                self._built.popitem(last=False)
        if isinstance(found, BenchError):
            raise found
        return found

    def _build(self, spec: TrialSpec, key: str) -> BuiltProblem:
        dataset = self._registry.load(spec.dataset)
        task = self._registry.task(spec.task)
        problem = task.make_problem(dataset, spec.track, Seeds(spec.seeds.split, spec.seeds.simulation))
        folder = Path(tempfile.mkdtemp(prefix=f"problem-{key}-", dir=self._scratch))
        write_rounds(problem.rounds, folder, spec.inputs_id)
        if self._store is not None and not self._store.has_problem(key):
            self._store.save_problem(key, problem, task.problem_tables(problem))
        built = BuiltProblem(problem, folder, path_digest(folder) if spec.inputs else "")
        # Inputs leave the disk with the problem, once no trial holds it: a grid's problems may not fit there together.
        weakref.finalize(built, shutil.rmtree, folder, ignore_errors=True)
        return built
