"""One trial from specification to record: build the problem, get an answer, check, keep and score it, save."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bench.environments.declaration import Environment, environment_of
from bench.errors import BenchError, Status, UnavailableError, status_of
from bench.exchange import prediction
from bench.execution import logs
from bench.execution.answer import Answers
from bench.execution.problem_cache import Problems
from bench.execution.provenance import Origin
from bench.execution.reuse import Predictions
from bench.execution.scratch import Scratch, remove_tree
from bench.method import Method
from bench.plan.grid import Planned
from bench.plan.registry import Registry
from bench.problem import SEEN, SEEN_OTHERS, UNTOLD, Curve, Note, Scored
from bench.results.records import EmbeddingSpec, Limits, Resources, ScoreRecord, TrialRecord, TrialSpec
from bench.results.store import Store, scored_file
from bench.sandbox import Outcome
from bench.words import listing

if TYPE_CHECKING:
    import pandas as pd

#: Folder of a trial's scratch with what goes into its folder of the run: the checked prediction, tables of its scores.
_RESULTS = "results"


class _EndedError(BenchError):
    """A trial ends before it has scores; ``retryable`` where another try may help."""

    def __init__(self, status: Status, detail: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.status, self.retryable = status, retryable


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
        self._predictions = Predictions(store)
        self._answers = Answers(registry, store, limits, self._scratch, self.problems, self._predictions)
        self._aborted = False

    def __enter__(self) -> TrialRunner:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._answers.close()
        self._scratch.remove()

    def abort(self) -> None:
        """End what runs now; the trials in flight are lost, not recorded."""
        self._aborted = True
        self._answers.close()

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
        try:
            with self._predictions.turn(planned.spec):
                record = self._attempt(planned, folder, begin)
                if self._aborted:
                    return None
                logs.shorten(folder / "log.txt")
                self.store.save(record, [*(folder / _RESULTS).glob("*"), *folder.glob("log.txt")])
                self._predictions.add(record)
        finally:
            remove_tree(folder)
        return record

    def _attempt(self, planned: Planned, folder: Path, begin: Callable[[], None]) -> TrialRecord:
        spec, fields = planned.spec, dict[str, Any]()
        method = self.registry.method(spec.method).value if spec.role == "method" else None
        origin = Origin(self._answers.installed, method)
        try:
            self._run(planned, folder, begin, fields, origin)
        except BenchError as error:
            fields |= {"status": error.status, "detail": str(error)}
            fields["retryable"] = isinstance(error, _EndedError) and error.retryable
        return TrialRecord(
            key=planned.key,
            spec=spec,
            limits=self.limits,
            log_tail=logs.tail(folder / "log.txt"),
            problem=f"problems/{spec.problem}" if self.store.has_problem(spec.problem) else "",
            **fields,
            **origin.facts(),
        )

    def _run(
        self, planned: Planned, folder: Path, begin: Callable[[], None], fields: dict[str, Any], origin: Origin
    ) -> None:
        """The road of a trial; ``fields`` and ``origin`` get the fields of its record, as far as it comes."""
        spec, log, results = planned.spec, folder / "log.txt", folder / _RESULTS
        origin.environment = self._environment(planned)
        with self._step("the problem could not be built", log, retryable=True):
            built = self.problems.get(spec)
        problem, task = built.problem, self.registry.task(spec.task)
        fields |= {
            "problem_notes": list(problem.notes),
            "n_cells": len(problem.solution),
            "inputs_digest": built.digest,
        }
        begin()
        failure = "the method could not be run" if spec.role == "method" else "the control failed"
        with self._step(failure, log, retryable=True):
            answer = self._answers.of(planned, built, task, folder, results, origin.environment)
        outcome, origin.session = answer.outcome, answer.outcome.session
        fields |= {"resources": _resources(outcome), "guard": outcome.guard}
        self._refuse_failure(outcome)
        with self._step("the prediction could not be checked", log):
            arrays = answer.read()
            task.check(problem.inputs, arrays)
        if not answer.is_reused:
            with self._step("the prediction could not be kept", log, retryable=True):
                arrays = prediction.save(arrays, task.outputs, problem, results)
        with self._step("the prediction could not be scored", log):
            result = task.score(problem, arrays)
            scored = scored_records(result)
            for name, table in result.tables.items():
                table.to_parquet(results / scored_file(name), index=False)
        with self._step("what the method has seen before could not be told", log):
            # A task may show donors under other names.
            overlap = self._overlap(spec, problem.solution if "donor" in problem.solution else problem.inputs.cells.obs)
        answered = [Note(o.name, "answer") for o in task.outputs if o.instead_of and o.name in arrays]
        # a reused prediction brings the notes of its own trial
        notes = list(dict.fromkeys([*overlap, *answered, *outcome.notes]))
        fields |= {"status": "ok", "detail": outcome.detail, "notes": notes, **scored}

    @contextmanager
    def _step(self, failure: str, log: Path, *, retryable: bool = False) -> Iterator[None]:
        """Make a crash of this trial of whatever goes wrong; errors that stand for another status pass."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if status_of(error) != "crash":
                raise
            if isinstance(error, BenchError):
                raise _EndedError("crash", f"{failure}: {error}", retryable=retryable) from error
            logs.append(log, traceback.format_exc())
            shortage = self._scratch.shortage(error)
            detail = f"{failure}: {type(error).__name__}: {error}{shortage}"
            raise _EndedError("crash", detail, retryable=retryable or bool(shortage)) from error

    def _refuse_failure(self, outcome: Outcome) -> None:
        """End the trial of a method that did not end well itself."""
        if outcome.status != "ok":
            shortage = self._scratch.shortage() if outcome.status == "crash" else ""
            detail, retryable = outcome.detail + shortage, outcome.retryable or bool(shortage)
            raise _EndedError(outcome.status, detail, retryable=retryable)

    def _overlap(self, spec: TrialSpec, tested: pd.DataFrame) -> list[Note]:
        """A note if the method has learned from this dataset before the trial, and whether from the tested donors."""
        if spec.role != "method":
            return []
        cls: type[Method] = self.registry.method(spec.method).value
        card = self.registry.dataset(spec.dataset).card
        donors_seen = dict(cls.seen_before({name: Path(file) for name, file in spec.files.items()}))
        notes = [_told(embedding) for embedding in spec.embeddings.values()]
        for embedding in spec.embeddings.values():
            donors_seen |= dict.fromkeys(embedding.pretrained_on or ())
        met = [donors_seen[name] for name in (card.name, card.accession, card.digest) if name and name in donors_seen]
        if not met:
            return notes
        donors = set(tested["donor"].astype(str)) if "donor" in tested else set()
        if all(these is not None and donors and not donors & these for these in met):
            return [SEEN_OTHERS, *notes]
        return [SEEN, *notes]

    def _environment(self, planned: Planned) -> Environment | None:
        """The environment that the trial was planned for; None without one."""
        spec = planned.spec
        if planned.unavailable:
            raise UnavailableError(planned.unavailable)
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


def _told(embedding: EmbeddingSpec) -> Note:
    """The note on what an embedding was pre-trained on."""
    if embedding.pretrained_on is None:
        return UNTOLD
    names = listing(embedding.pretrained_on) if embedding.pretrained_on else "no data"
    return Note(f"{embedding.key} was pre-trained on {names}, as its user says")


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


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
