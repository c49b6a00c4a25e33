"""The conformance suite that ``bench check METHOD`` runs on any method, built in or not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from bench.blocks import Rows
from bench.dataset import Dataset
from bench.environments.builder import in_use
from bench.environments.declaration import environment_of
from bench.errors import BenchError, InvalidOutputError
from bench.exchange import prediction
from bench.exchange.files import write_inputs
from bench.exchange.outputs import validated
from bench.execution import logs
from bench.execution.job import environment_of_job
from bench.method import Method
from bench.plan.registry import Entry
from bench.problem import Inputs
from bench.sandbox import Job, Outcome, Sandbox
from bench.task import Seeds, Task

#: What a method may answer to an input it cannot handle by design.
_GRACEFUL = ("ok", "not_applicable")
#: Largest relative difference between two runs that still counts as the same result.
_TOLERANCE = 1e-5
#: Lines of the log (the end of a traceback) told with a crash.
_LOG_LINES = 8


@dataclass(frozen=True)
class Check:
    """Result of one check: ``pass``, ``fail`` or ``skip``."""

    name: str
    status: str
    detail: str = ""


class Conformance:
    """Runs a method in the sandbox on small problems and says what it got wrong.

    Parameters
    ----------
    dataset, track
        A small problem of the method's task; checks derive the edge cases from it.
    """

    def __init__(
        self, entry: Entry[type[Method]], task: Task, dataset: Dataset, track: str, *, timeout_s: float = 300.0
    ) -> None:
        self._entry, self._task, self._timeout_s = entry, task, timeout_s
        self._inputs = task.make_problem(dataset, track, Seeds()).inputs
        self._environment = environment_of(entry.value)
        self._n = 0

    def run(self) -> Iterator[Check]:
        """Every check, one after the other."""
        own = self._environment.name if self._environment else ""
        with tempfile.TemporaryDirectory(prefix="bench-check-") as scratch, Sandbox() as sandbox, in_use([own]):
            self._folder, self._sandbox = Path(scratch), sandbox
            cls = self._entry.value
            if cls.supervised and self._task.labelled_training and self._inputs.train is None:
                yield Check("problem", "fail", "the method needs training donors and this dataset gives none")
                return
            outcome, first = self._call(self._inputs)
            yield self._verdict(
                "schema: the output is what the task asks for, the inputs are left as they were", outcome, first
            )
            if first is None:
                return
            for name, check in self._checks(first).items():
                try:
                    yield check(name)
                except BenchError as error:
                    yield Check(name, "fail", str(error))

    def _checks(self, first: dict[str, Any]) -> dict[str, Callable[[str], Check]]:
        checks = {
            "determinism: the same seed gives the same output": lambda n: self._again(n, first),
            "three cells: an answer or a reason": lambda n: self._graceful(n, self._few(3)),
            "one kind of cell: an answer or a reason": lambda n: self._graceful(n, self._one_class()),
            "time-out: the whole process tree ends in time": self._timeout,
        }
        if not self._entry.value.stochastic:
            checks["equivariance: permuting the cells permutes the output"] = lambda n: self._again(
                n, first, order="check, another order"
            )
        return checks

    def _call(
        self, inputs: Inputs, *, order: str = "check", timeout_s: float | None = None
    ) -> tuple[Outcome, dict[str, Any] | None]:
        self._n += 1
        own = self._environment
        folder = self._folder / str(self._n)
        folder.mkdir()
        write_inputs(inputs, folder / "inputs", order)
        outcome = self._sandbox.run(
            Job(
                folder=str(folder),
                inputs=str(folder / "inputs"),
                locator=self._entry.locator,
                params=self._entry.value.resolve({}),
                seed=1,
                threads=1,
                device="cpu",
                timeout_s=timeout_s or self._timeout_s,
                memory_mb=None,
                outputs=self._task.outputs,
                environment=environment_of_job(own, self._entry.value) if own else None,
                verify_inputs=True,
            )
        )
        if outcome.status == "crash":
            tail = logs.tail(folder / "log.txt").splitlines()[-_LOG_LINES:]
            return replace(outcome, detail="\n    ".join([outcome.detail, *tail])), None
        if outcome.status != "ok":
            return outcome, None
        try:
            n_cells = len(inputs.cells.obs)
            answer = prediction.read(folder, folder / "inputs", self._task.outputs, order, n_cells)
            arrays = validated(answer, self._task.outputs, n_cells, inputs.info)
            self._task.check(inputs, arrays)
            return outcome, {name: _whole(array) for name, array in arrays.items()}
        except InvalidOutputError as error:
            return Outcome("invalid_output", str(error)), None

    def _verdict(self, name: str, outcome: Outcome, arrays: dict[str, Any] | None) -> Check:
        return Check(name, "pass" if arrays is not None else "fail", _told(outcome))

    def _again(self, name: str, first: dict[str, Any], *, order: str = "check") -> Check:
        outcome, second = self._call(self._inputs, order=order)
        if second is None:
            return Check(name, "fail", _told(outcome))
        return _compare(name, first, second)

    def _graceful(self, name: str, inputs: Inputs) -> Check:
        outcome, _ = self._call(inputs)
        return Check(name, "pass" if outcome.status in _GRACEFUL else "fail", _told(outcome))

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


def _told(outcome: Outcome) -> str:
    return "" if outcome.status == "ok" else f"{outcome.status}: {outcome.detail}"
