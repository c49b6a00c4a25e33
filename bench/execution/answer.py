"""The source of a trial's prediction: a control, a trial that had the same inputs, or the method itself."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.environments.declaration import Environment
from bench.errors import InvalidOutputError, NotApplicableError
from bench.exchange import gate, prediction
from bench.exchange.files import write_obsm
from bench.execution import logs
from bench.execution.embeddings import with_embeddings
from bench.execution.job import environment_of_job
from bench.execution.problem_cache import BuiltProblem, DamagedInputsError, Problems
from bench.execution.reuse import Predictions, reused
from bench.execution.scratch import Scratch
from bench.plan.grid import Planned
from bench.plan.registry import Registry
from bench.results.records import Limits, TrialSpec
from bench.results.store import Store
from bench.sandbox import Job, Outcome, Sandbox, Session, imported
from bench.seeds import derive_seed
from bench.system import cache_dir
from bench.task import Task


@dataclass(frozen=True)
class Answer:
    """Answer to a problem, and how it came about.

    Parameters
    ----------
    read
        Reads the prediction through the gate, in the order of the dataset; of an outcome that is ``ok``.
    is_reused
        The prediction is another trial's, and is in the folder of this trial's results already.
    """

    outcome: Outcome
    read: Callable[[], dict[str, Any]]
    is_reused: bool = False


class Answers:
    """Gets the answers to all trials of a run, from one sandbox; thread-safe.

    Attributes
    ----------
    installed
        What is installed (:func:`bench.sandbox.imported.installed`).
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        limits: Limits,
        scratch: Scratch,
        problems: Problems,
        predictions: Predictions,
    ) -> None:
        self._registry, self._store, self._limits = registry, store, limits
        self._scratch, self._problems, self._predictions = scratch, problems, predictions
        self.installed = imported.installed()
        self._sandbox = Sandbox(limits.threads)

    def close(self) -> None:
        """End every method that runs."""
        self._sandbox.close()

    def of(
        self,
        planned: Planned,
        built: BuiltProblem,
        task: Task,
        folder: Path,
        results: Path,
        environment: Environment | None,
    ) -> Answer:
        """Of the control, of another trial that had the same inputs, or of the method itself."""
        if planned.spec.role != "method":
            answer = self._of_control(planned, built, task)
        elif (other := self._of_another(planned.spec, built, task, folder, results)) is not None:
            answer = other
        else:
            answer = self._of_method(planned, built, task, folder, results, environment)
        return answer

    def _of_control(self, planned: Planned, built: BuiltProblem, task: Task) -> Answer:
        spec, problem = planned.spec, built.problem
        seed = derive_seed("method", spec.method, planned.problem, spec.seeds.method)
        control = next(c for c in task.controls if c.name == spec.method)
        start = time.perf_counter()
        returned = control.predict(problem, np.random.default_rng(seed))
        wall = time.perf_counter() - start
        session = Session(**imported.session(self.installed, with_r=False))
        outcome = Outcome("ok", wall_s=wall, session=session)
        return Answer(outcome, lambda: gate.admit(returned, problem.inputs, task.outputs))

    def _of_another(
        self, spec: TrialSpec, built: BuiltProblem, task: Task, folder: Path, results: Path
    ) -> Answer | None:
        """A reused prediction; None where there is none, or it cannot be read: then the method runs itself."""
        problem, record = built.problem, self._predictions.find(spec, built.digest)
        if record is None:
            return None
        try:
            prediction.link(self._store.trial_folder(record.key), task.outputs, results)
            arrays = prediction.load(results, task.outputs, problem.solution.index)
        except Exception:  # noqa: BLE001 - a damaged file may raise anything
            logs.append(folder / "log.txt", traceback.format_exc())
            return None
        return Answer(reused(record), lambda: gate.check(arrays, problem.inputs, task.outputs), is_reused=True)

    def _of_method(
        self,
        planned: Planned,
        built: BuiltProblem,
        task: Task,
        folder: Path,
        results: Path,
        environment: Environment | None,
    ) -> Answer:
        spec, inputs = planned.spec, built.problem.inputs
        entry, source = self._registry.method(spec.method), self._registry.dataset(spec.dataset)
        if entry.value.supervised and task.labelled_training and inputs.train is None:
            raise NotApplicableError("the method learns from labelled training donors and this problem has none")
        if spec.embeddings:
            keys = [embedding.key for embedding in spec.embeddings.values()]
            write_obsm(with_embeddings(inputs, source, keys), folder / "obsm", spec.inputs_id)
        job = Job(
            folder=str(folder),
            inputs=str(built.inputs),
            locator=entry.locator,
            params={**spec.params, **spec.files},
            seed=derive_seed("method", entry.value.seeded_as or spec.method, spec.inputs_id, spec.seeds.method),
            threads=self._limits.threads,
            device=self._limits.device,
            timeout_s=self._limits.timeout_s,
            memory_mb=self._limits.memory_mb,
            outputs=task.outputs,
            environment=environment_of_job(environment, entry.value) if environment else None,
            files=tuple(spec.files.values()),
            preload=entry.value.preload,
            hidden=tuple(
                str(path.absolute()) for path in (self._store.root, self._scratch.folder, cache_dir(), *source.files)
            ),
        )
        try:
            with built.shown_to(planned.key):
                outcome = self._sandbox.run(job)
        except (InvalidOutputError, DamagedInputsError):
            self._problems.forget(spec)  # other trials are shown what they would have been
            raise
        shutil.rmtree(results, ignore_errors=True)  # whatever a method may have left there
        return Answer(outcome, lambda: gate.receive(folder, built.inputs, spec.inputs_id, inputs, task.outputs))
