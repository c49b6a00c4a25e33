"""The conformance suite that ``bench check METHOD`` runs on any method, built in or not."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.sparse import issparse

from bench.blocks import Rows
from bench.dataset import Dataset, DatasetCard
from bench.environments.builder import build_environment, in_use
from bench.environments.declaration import Environment, environment_of
from bench.errors import BenchError, InvalidOutputError, UnknownNameError
from bench.exchange import gate
from bench.exchange.files import write_inputs, write_obsm
from bench.execution import logs
from bench.execution.job import environment_of_job
from bench.method import Method
from bench.plan.registry import Entry
from bench.problem import Cells, Inputs
from bench.sandbox import Job, Outcome, Sandbox
from bench.task import Seeds, Task

#: What a method may answer to an input it cannot handle by design.
_GRACEFUL = ("ok", "not_applicable")
_SCHEMA = "schema: the output is what the task asks for, the inputs are left as they were"
_DETERMINISM = "determinism: the same seed gives the same output"
_FEW = "three cells: an answer or a reason"
_ALIKE = "one kind of cell: an answer or a reason"
_TIMEOUT = "time-out: the whole process tree ends in time"
_EQUIVARIANCE = "equivariance: permuting the cells permutes the output"
_REASON = "answer, or raise bench.errors.NotApplicableError where the method cannot by design"
#: What mends a failure, where its detail does not say so.
_FIXES = {
    _DETERMINISM: "draw all random numbers from ctx.seed",
    _FEW: _REASON,
    _ALIKE: _REASON,
    _TIMEOUT: "leave SIGTERM as it is, and start no process that outlives `run`",
    _EQUIVARIANCE: "let a cell's answer hang on its counts, not on its row; where random numbers are drawn by row, "
    "set stochastic = True",
}
#: Largest relative difference between two runs that still counts as the same result.
_TOLERANCE = 1e-5
#: Name and dimensions of the embedding that stands for a dataset's own.
_EMBEDDING, _DIMENSIONS = "X_made_up", 8
#: Lines of the log (the end of a traceback) told with a crash.
_LOG_LINES = 8


@dataclass(frozen=True)
class Check:
    """One check: ``pass``, ``fail`` or ``skip``; ``fix`` mends a failure where ``detail`` does not say how.

    ``wall_s`` and ``cpu_s`` are the seconds that it took, the latter of the method's processes.
    """

    name: str
    status: str
    detail: str = ""
    fix: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0


class Conformance:
    """Runs a method in the sandbox on small problems and says what it got wrong.

    Parameters
    ----------
    dataset, track
        A small problem of the method's task; checks derive the edge cases from it.
    params
        Parameters of the method; the others have their defaults.
    """

    def __init__(
        self,
        entry: Entry[type[Method]],
        task: Task,
        dataset: Dataset,
        track: str,
        *,
        params: Mapping[str, Any] = MappingProxyType({}),
        timeout_s: float = 300.0,
    ) -> None:
        self._entry, self._task, self._timeout_s = entry, task, timeout_s
        self._params = entry.value.resolve(params)
        self._inputs = task.make_problem(dataset, track, Seeds()).inputs
        if reads := entry.value.embeddings:
            self._params |= dict.fromkeys(reads, _EMBEDDING)
            self._inputs = _with_made_up_embedding(self._inputs)
        self._environment = environment_of(entry.value)
        self._n = 0
        self._cpu_s = 0.0

    def run(self) -> Iterator[Check]:
        """Every check, one after the other."""
        own = self._environment.name if self._environment else ""
        with tempfile.TemporaryDirectory(prefix="bench-check-") as scratch, Sandbox() as sandbox, in_use([own]):
            self._folder, self._sandbox = Path(scratch), sandbox
            cls = self._entry.value
            if cls.supervised and self._task.labelled_training and self._inputs.train is None:
                yield Check("problem", "fail", "the method needs training donors and this dataset gives none")
                return
            start = time.monotonic()
            outcome, first = self._call(self._inputs)
            yield self._timed(self._verdict(_SCHEMA, outcome, first), start)
            if first is None:
                return
            for name, check in self._checks(first).items():
                start = time.monotonic()
                try:
                    done = check(name)
                except BenchError as error:
                    done = Check(name, "fail", str(error))
                yield self._timed(replace(done, fix=_FIXES[name]) if done.status == "fail" else done, start)

    def _timed(self, check: Check, start: float) -> Check:
        cpu_s, self._cpu_s = self._cpu_s, 0.0
        return replace(check, wall_s=time.monotonic() - start, cpu_s=cpu_s)

    def _checks(self, first: dict[str, Any]) -> dict[str, Callable[[str], Check]]:
        checks = {
            _DETERMINISM: lambda n: self._again(n, first),
            _FEW: lambda n: self._graceful(n, self._few(3)),
            _ALIKE: lambda n: self._graceful(n, self._one_class()),
            _TIMEOUT: self._timeout,
        }
        if not self._entry.value.stochastic:
            checks[_EQUIVARIANCE] = lambda n: self._again(n, first, order="check, another order")
        return checks

    def _call(
        self, inputs: Inputs, *, order: str = "check", timeout_s: float | None = None
    ) -> tuple[Outcome, dict[str, Any] | None]:
        self._n += 1
        own = self._environment
        folder = self._folder / str(self._n)
        folder.mkdir()
        write_inputs(inputs, folder / "inputs", order)
        write_obsm(inputs, folder / "obsm", order)
        outcome = self._sandbox.run(
            Job(
                folder=str(folder),
                inputs=str(folder / "inputs"),
                locator=self._entry.locator,
                params=self._params,
                seed=1,
                threads=1,
                device="cpu",
                timeout_s=timeout_s or self._timeout_s,
                memory_mb=None,
                outputs=self._task.outputs,
                environment=environment_of_job(own, self._entry.value) if own else None,
                verify_inputs=True,
                preload=self._entry.value.preload,
            )
        )
        self._cpu_s += outcome.cpu_s or 0.0
        if outcome.status == "crash":
            tail = logs.tail(folder / "log.txt").splitlines()[-_LOG_LINES:]
            return replace(outcome, detail="\n    ".join([outcome.detail, *tail])), None
        if outcome.status != "ok":
            return outcome, None
        try:
            arrays = gate.receive(folder, folder / "inputs", order, inputs, self._task.outputs)
            self._task.check(inputs, arrays)
            return outcome, {name: _whole(array) for name, array in arrays.items()}
        except InvalidOutputError as error:
            return Outcome("invalid_output", str(error)), None

    def _verdict(self, name: str, outcome: Outcome, arrays: dict[str, Any] | None) -> Check:
        return Check(name, "pass" if arrays is not None else "fail", _failure_text(outcome))

    def _again(self, name: str, first: dict[str, Any], *, order: str = "check") -> Check:
        outcome, second = self._call(self._inputs, order=order)
        if second is None:
            return Check(name, "fail", _failure_text(outcome))
        return _compare(name, first, second)

    def _graceful(self, name: str, inputs: Inputs) -> Check:
        outcome, _ = self._call(inputs)
        return Check(name, "pass" if outcome.status in _GRACEFUL else "fail", _failure_text(outcome))

    def _few(self, n: int) -> Inputs:
        return self._inputs.take(np.arange(min(n, len(self._inputs.cells.obs))))

    def _one_class(self) -> Inputs:
        """Cells that are all alike: one cell's counts, many times."""
        return self._inputs.take(np.zeros(min(50, len(self._inputs.cells.obs)), dtype=np.intp))

    def _timeout(self, name: str) -> Check:
        outcome, _ = self._call(self._inputs, timeout_s=0.05)
        wall = outcome.wall_s or 0.0
        if outcome.status == "ok":
            return Check(name, "skip", "finished within 0.05 s")
        ended = outcome.status == "timeout" and wall < 10
        return Check(name, "pass" if ended else "fail", f"{outcome.status} after {wall:.1f} s")


def conformance(
    entry: Entry[type[Method]],
    tasks: Mapping[str, Entry[Task]],
    load: Callable[[], Dataset],
    *,
    task: str | None = None,
    params: Mapping[str, Any] = MappingProxyType({}),
    build: Callable[[Environment], None] = build_environment,
) -> Iterator[tuple[str, Check]]:
    """Run the suite for every task that a method answers, on the first default track that the dataset serves.

    Parameters
    ----------
    tasks
        Those that are installed.
    load
        Gives the dataset to check on, once it is known that there is something to check.
    task
        Only this one.
    build
        Builds the method's environment, where it has one that is not built.

    Yields
    ------
    Name of the task, and a check.

    Raises
    ------
    BenchError
        If the method does not answer ``task``, none of its tasks is installed, or the dataset serves no track of one.
    """
    answered = entry.value.tasks
    if task is not None and task not in answered:
        raise UnknownNameError(f"task of {entry.name}", task, answered)
    if not set(answered) & set(tasks):
        raise UnknownNameError("task", answered[0], tasks, where=f"tasks of {entry.origin}")
    own = environment_of(entry.value)
    if own and not own.is_built:
        build(own)
    dataset = load()
    for name in answered if task is None else (task,):
        if name not in tasks:
            yield name, Check("task", "skip", "not installed here")
            continue
        of_task = tasks[name].value
        track = default_track(of_task, dataset.card)
        for check in Conformance(entry, of_task, dataset, track, params=params).run():
            yield name, check


def default_track(task: Task, card: DatasetCard) -> str:
    """The first track that is run by default and that a dataset serves.

    Raises
    ------
    BenchError
        If it serves none.
    """
    reasons = {name: task.why_not(card, name) for name, track in task.tracks.items() if track.default}
    served = [name for name, reason in reasons.items() if reason is None]
    if not served:
        raise BenchError(
            f"{card.name!r} serves no track of {task.name}",
            where="; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
            fix="give another dataset",
        )
    return served[0]


def _with_made_up_embedding(inputs: Inputs) -> Inputs:
    """The inputs with random vectors of each cell: the toy data hold no embedding."""
    rng = np.random.default_rng(0)

    def embedded(cells: Cells) -> Cells:
        return replace(cells, obsm={_EMBEDDING: rng.normal(size=(len(cells.obs), _DIMENSIONS)).astype(np.float32)})

    train = None if inputs.train is None else embedded(inputs.train)
    return replace(inputs, cells=embedded(inputs.cells), train=train)


def _whole(values: Any) -> Any:
    """Expression as one array: the problems here are small."""
    if isinstance(values, Rows):
        return values[:]
    return values.toarray() if issparse(values) else values


def _compare(name: str, a: dict[str, Any], b: dict[str, Any]) -> Check:
    if set(a) != set(b):
        return Check(name, "fail", f"outputs differ: {sorted(a)} and {sorted(b)}")
    for key in a:
        if a[key].dtype.kind == "f":
            if not np.allclose(a[key], b[key], rtol=_TOLERANCE, atol=_TOLERANCE):
                worst = np.unravel_index(np.argmax(np.abs(a[key] - b[key])), a[key].shape)
                detail = f"{key!r} differs, most at cell {int(worst[0])}: {a[key][worst]:g} and {b[key][worst]:g}"
                return Check(name, "fail", detail)
        elif not np.array_equal(a[key], b[key]):
            return Check(name, "fail", f"{key!r} differs for {int(np.sum(a[key] != b[key]))} cells")
    return Check(name, "pass")


def _failure_text(outcome: Outcome) -> str:
    return "" if outcome.status == "ok" else f"{outcome.status}: {outcome.detail}"
