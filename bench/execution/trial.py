"""One trial from specification to record: build the problem, run the method apart, check, score, save."""

from __future__ import annotations

import math
import shutil
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.environments.declaration import Environment, environment_of
from bench.errors import BenchError, InvalidOutputError, NotApplicableError, Status, UnavailableError, status_of
from bench.exchange import prediction
from bench.exchange.alignment import plain
from bench.exchange.outputs import validated
from bench.execution import logs
from bench.execution.job import environment_of_job
from bench.execution.problem_cache import BuiltProblem, DamagedInputsError, Problems
from bench.execution.provenance import Origin
from bench.execution.scratch import Scratch, remove_tree
from bench.method import Method
from bench.plan.grid import Planned
from bench.plan.keys import prediction_key
from bench.plan.registry import Registry
from bench.problem import Curve, Note, Scored
from bench.results.records import Limits, Resources, ScoreRecord, TrialRecord, TrialSpec
from bench.results.store import Store, scored_file
from bench.sandbox import Job, Outcome, Sandbox, Session, imported
from bench.seeds import derive_seed
from bench.system import cache_dir
from bench.task import Task

if TYPE_CHECKING:
    import pandas as pd

#: Folder of a trial's scratch with the checked prediction.
_KEPT = "kept"


class _FailedError(BenchError):
    """A step of a trial went wrong; the trial is a crash, to be tried again where that may help."""

    def __init__(self, detail: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.retryable = retryable


class TrialRunner:
    """Executes trials; use as a context manager.

    Parameters
    ----------
    store
        Where the records go.
    limits
        What each trial may use.
    """

    def __init__(self, registry: Registry, store: Store, limits: Limits) -> None:
        self.registry, self.store, self.limits = registry, store, limits
        self._scratch = Scratch()
        self._folders: dict[str, Path] = {}
        self.problems = Problems(registry, self._scratch, store)
        self._sandbox = Sandbox(limits.threads)
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._installed = imported.installed()
        self._aborted = False

    def __enter__(self) -> TrialRunner:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._sandbox.close()
        self._scratch.remove()

    def abort(self) -> None:
        """End what runs now; the trials in flight are lost, not recorded."""
        self._aborted = True
        self._sandbox.close()

    def folder(self, key: str) -> Path:
        """Scratch folder of a running trial (its ``progress.json`` and ``log.txt``); any other is not there."""
        return self._folders.get(key, self._scratch.folder / key)

    def execute(self, planned: Planned, begin: Callable[[], None] = lambda: None) -> TrialRecord | None:
        """Run one trial to its record and save it; whatever goes wrong becomes a status. None if it was aborted.

        Parameters
        ----------
        begin
            Called when the problem is ready: what comes before is not the trial's own time.

        Raises
        ------
        BenchError
            If the record cannot be kept: the run folder, or the folder for temporary files, takes no more.
        """
        folder = self._folders[planned.key] = self._scratch.new()
        spec = planned.spec
        # Of trials that one prediction can serve, the first makes it and the others wait.
        shared = self._turns[prediction_key(spec)] if spec.inputs and spec.role == "method" else nullcontext()
        try:
            with shared:
                record = self._attempt(planned, folder, begin)
                if self._aborted:
                    return None
                logs.shorten(folder / "log.txt")
                self.store.save(record, [*(folder / _KEPT).glob("*"), *folder.glob("log.txt")])
        finally:
            remove_tree(folder)
        return record

    def _attempt(self, planned: Planned, folder: Path, begin: Callable[[], None]) -> TrialRecord:
        spec, known = planned.spec, dict[str, Any]()
        origin = Origin(self._installed, self.registry.method(spec.method).value if spec.role == "method" else None)
        try:
            status, detail = self._run(planned, folder, begin, known, origin)
        except BenchError as error:
            status, detail = error.status, str(error)
            known["retryable"] = isinstance(error, _FailedError) and error.retryable
        return TrialRecord(
            key=planned.key,
            spec=spec,
            limits=self.limits,
            status=status,
            detail=detail,
            log_tail=logs.tail(folder / "log.txt"),
            problem=f"problems/{spec.problem}" if self.store.has_problem(spec.problem) else "",
            **known,
            **origin.facts(),
        )

    def _run(
        self, planned: Planned, folder: Path, begin: Callable[[], None], known: dict[str, Any], origin: Origin
    ) -> tuple[Status, str]:
        """Status and detail of a trial; ``known`` and ``origin`` get the rest of its record, as far as it comes."""
        spec, log = planned.spec, folder / "log.txt"
        if planned.unavailable:
            raise UnavailableError(planned.unavailable)
        origin.environment = self._environment(spec)
        with self._step("the problem could not be built", log, retryable=True):
            built = self.problems.get(spec)
        problem, task = built.problem, self.registry.task(spec.task)
        known |= {
            "problem_notes": list(problem.notes),
            "n_cells": len(problem.solution),
            "inputs_digest": built.digest,
        }
        begin()
        what = "the method could not be run" if spec.role == "method" else "the control failed"
        with self._step(what, log, retryable=True):
            outcome, answer = self._predict(planned, built, task, folder)
        origin.session = outcome.session
        known |= {"resources": _resources(outcome), "guard": outcome.guard}
        if outcome.status != "ok":
            shortage = self._scratch.shortage() if outcome.status == "crash" else ""
            known["retryable"] = outcome.retryable or bool(shortage)
            return outcome.status, outcome.detail + shortage
        with self._step("the prediction could not be checked", log):
            arrays = validated(answer, task.outputs, len(problem.solution), problem.inputs.info)
            task.check(problem.inputs, arrays)
        if not (folder / _KEPT).exists():  # it does where another trial's prediction was lent
            with self._step("the prediction could not be kept", log, retryable=True):
                arrays = prediction.save(arrays, task.outputs, problem, folder / _KEPT)
        with self._step("the prediction could not be scored", log):
            result = task.score(problem, arrays)
            scored = scored_records(result)
            for name, table in result.tables.items():
                table.to_parquet(folder / _KEPT / scored_file(name), index=False)
        with self._step("what the method has seen before could not be told", log):
            # A task may show donors under other names.
            overlap = self._overlap(spec, problem.solution if "donor" in problem.solution else problem.inputs.cells.obs)
        # a lent prediction brings the notes of its own trial
        known |= {"notes": list(dict.fromkeys([*overlap, *outcome.notes])), **scored}
        return "ok", outcome.detail

    @contextmanager
    def _step(self, what: str, log: Path, *, retryable: bool = False) -> Iterator[None]:
        """Make a crash of this trial of whatever goes wrong; the statuses that an error stands for pass."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if status_of(error) != "crash":
                raise
            if isinstance(error, BenchError):
                raise _FailedError(f"{what}: {error}", retryable=retryable) from error
            logs.append(log, traceback.format_exc())
            shortage = self._scratch.shortage(error)
            told = f"{what}: {type(error).__name__}: {error}{shortage}"
            raise _FailedError(told, retryable=retryable or bool(shortage)) from error

    def _overlap(self, spec: TrialSpec, tested: pd.DataFrame) -> list[Note]:
        """A note if the method has learned from this dataset before the trial, and whether from the tested donors."""
        if spec.role != "method":
            return []
        cls: type[Method] = self.registry.method(spec.method).value
        card = self.registry.dataset(spec.dataset).card
        seen = cls.seen_before({name: Path(file) for name, file in spec.files.items()})
        met = [seen[name] for name in (card.name, card.accession, card.digest) if name and name in seen]
        if not met:
            return []
        donors = set(tested["donor"].astype(str)) if "donor" in tested else set()
        if all(these is not None and donors and not donors & these for these in met):
            return [Note("the method was trained on other donors of this dataset before, not on the tested ones")]
        return [Note("the method was trained on this dataset before: its tested cells are not new to it")]

    def _predict(
        self, planned: Planned, built: BuiltProblem, task: Task, folder: Path
    ) -> tuple[Outcome, Mapping[str, Any]]:
        spec, problem = planned.spec, built.problem
        if spec.role != "method":
            seed = derive_seed("method", spec.method, planned.problem, spec.seeds.method)
            control = next(c for c in task.controls if c.name == spec.method)
            start = time.perf_counter()
            answer = plain(control.predict(problem, np.random.default_rng(seed)), problem.inputs, task.outputs)
            wall = time.perf_counter() - start
            session = Session(**imported.session(self._installed, with_r=False))
            return Outcome("ok", wall_s=wall, session=session), answer
        seed = derive_seed("method", spec.method, spec.inputs_id, spec.seeds.method)
        environment, lender = self._environment(spec), self._lender(spec, built)
        if lender is not None:
            try:
                prediction.lend(self.store.trial_folder(lender.key), task.outputs, folder / _KEPT)
                return _lent(lender), prediction.load(folder / _KEPT, task.outputs, problem)
            except Exception:  # noqa: BLE001 - a damaged file may raise anything; then the method runs itself
                logs.append(folder / "log.txt", traceback.format_exc())
        entry, source = self.registry.method(spec.method), self.registry.dataset(spec.dataset)
        if entry.value.supervised and task.labelled_training and problem.inputs.train is None:
            raise NotApplicableError("the method learns from labelled training donors and this problem has none")
        job = Job(
            folder=str(folder),
            inputs=str(built.inputs),
            locator=entry.locator,
            params={**spec.params, **spec.files},
            seed=seed,
            threads=self.limits.threads,
            device=self.limits.device,
            timeout_s=self.limits.timeout_s,
            memory_mb=self.limits.memory_mb,
            outputs=task.outputs,
            environment=environment_of_job(environment, entry.value) if environment else None,
            files=tuple(spec.files.values()),
            hidden=tuple(map(str, [self.store.root.absolute(), self._scratch.folder, cache_dir(), *source.files])),
        )
        try:
            with built.shown_to(planned.key):
                outcome = self._sandbox.run(job)
        except (InvalidOutputError, DamagedInputsError):
            self.problems.forget(spec)  # other trials are shown what they would have been
            raise
        shutil.rmtree(folder / _KEPT, ignore_errors=True)  # whatever a method may have left there
        if outcome.status != "ok":
            return outcome, {}
        return outcome, prediction.read(folder, built.inputs, task.outputs, spec.inputs_id, len(problem.solution))

    def _lender(self, spec: TrialSpec, built: BuiltProblem) -> TrialRecord | None:
        """A finished trial of this run folder whose method saw the same bytes, in this or in another track or task."""
        if not spec.inputs:
            return None
        mine = prediction_key(spec)
        for record in self.store.records():
            same_bytes = record.status == "ok" and record.inputs_digest == built.digest
            if same_bytes and record.spec.role == "method" and prediction_key(record.spec) == mine:
                return record
        return None

    def _environment(self, spec: TrialSpec) -> Environment | None:
        """The environment that the trial was planned for; None without one."""
        if not spec.environment:
            return None
        own = environment_of(self.registry.method(spec.method).value)
        if own is None or own.name != spec.environment or not own.is_built:
            raise UnavailableError(
                f"its environment {spec.environment} is not on this machine: bench env build {spec.method}"
            )
        return own


def scored_records(scored: Scored) -> dict[str, Any]:
    """Scores and curves as a record keeps them (NaN and infinity become null)."""
    scores = [
        ScoreRecord(
            metric=s.metric,
            value=_number(s.value),
            unit=s.unit,
            ci_low=_number(s.ci_low),
            ci_high=_number(s.ci_high),
            n=s.n,
            detail=s.detail,
        )
        for s in scored.scores
    ]
    return {"scores": scores, "curves": [_curve(curve) for curve in scored.curves]}


def _curve(curve: Curve) -> Curve:
    """The points of a curve that are defined: JSON knows no NaN, and a record that holds one cannot be read back."""
    points = [
        (float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(x) and math.isfinite(y)
    ]
    return Curve(name=curve.name, x=[x for x, _ in points], y=[y for _, y in points])


def _resources(outcome: Outcome) -> Resources:
    return Resources(
        wall_s=outcome.wall_s,
        fit_s=outcome.phases.get("fit"),
        predict_s=outcome.phases.get("predict"),
        cpu_s=outcome.cpu_s,
        rss_peak_mb=outcome.rss_peak_mb,
        gpu_peak_mb=outcome.gpu_peak_mb,
        device="cuda" if outcome.session.gpu or outcome.gpu_peak_mb else "cpu" if outcome.session.versions else "",
    )


def _lent(lender: TrialRecord) -> Outcome:
    used = lender.resources
    phases = {"fit": used.fit_s, "predict": used.predict_s}
    where = f"{lender.spec.task}/{lender.spec.track}"
    told = f"the prediction, time and memory are those of trial {lender.key} ({where}), on the same inputs"
    return Outcome(
        "ok",
        wall_s=used.wall_s,
        cpu_s=used.cpu_s,
        rss_peak_mb=used.rss_peak_mb,
        gpu_peak_mb=used.gpu_peak_mb,
        phases={name: seconds for name, seconds in phases.items() if seconds is not None},
        guard=lender.guard,
        session=Session(lender.imported, lender.machine.interpreter, lender.machine.blas, gpu=used.device == "cuda"),
        notes=[*(note for note in lender.notes if note.level != "reused"), Note(told, "reused")],
    )


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
