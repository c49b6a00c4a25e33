"""A reused prediction: trials of one method on the same bytes, in other tracks or tasks, need it made only once."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext

from bench.plan.keys import prediction_key
from bench.problem import Note
from bench.results.records import TrialRecord, TrialSpec
from bench.results.store import Store
from bench.sandbox import Outcome, Session


class Predictions:
    """The finished trials of a run folder by the key of their prediction; thread-safe.

    Each record is read once for the index. Trials that other processes finish meanwhile join it, for the folder is
    listed anew each time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._indexed: set[str] = set()
        self._trials: defaultdict[str, set[str]] = defaultdict(set)

    def turn(self, spec: TrialSpec) -> AbstractContextManager[object]:
        """Of trials that one prediction can serve, the first makes it and the others wait."""
        if not _is_shared(spec):
            return nullcontext()
        with self._lock:
            return self._turns[prediction_key(spec)]

    def find(self, spec: TrialSpec, inputs_digest: str) -> TrialRecord | None:
        """A finished trial whose prediction serves ``spec`` too: of the same method, which saw the same bytes."""
        if not _is_shared(spec):
            return None
        key = prediction_key(spec)
        with self._lock:
            for trial in sorted(self._store.keys() - self._indexed):
                self._index(trial, self._store.record(trial))
            trials = sorted(self._trials[key])
        # Read again: a trial may have been run anew since.
        records = (self._store.record(trial) for trial in trials)
        return next((r for r in records if r and _serves(r, key) and r.inputs_digest == inputs_digest), None)

    def add(self, record: TrialRecord) -> None:
        """Index a trial that was saved just now."""
        with self._lock:
            self._index(record.key, record)

    def _index(self, trial: str, record: TrialRecord | None) -> None:
        self._indexed.add(trial)
        if record is not None and record.status == "ok" and _is_shared(record.spec):
            self._trials[prediction_key(record.spec)].add(trial)


def reused(record: TrialRecord) -> Outcome:
    """The outcome of a trial that reuses the prediction of ``record``: its time, memory and notes."""
    used = record.resources
    phases = {"fit": used.fit_s, "predict": used.predict_s}
    source = f"trial {record.key} ({record.spec.task}/{record.spec.track})"
    note = Note(f"the prediction, time and memory are those of {source}, on the same inputs", "reused")
    return Outcome(
        "ok",
        wall_s=used.wall_s,
        cpu_s=used.cpu_s,
        rss_peak_mb=used.rss_peak_mb,
        gpu_peak_mb=used.gpu_peak_mb,
        phases={name: seconds for name, seconds in phases.items() if seconds is not None},
        guard=record.guard,
        session=Session(record.imported, record.machine.interpreter, record.machine.blas, gpu=used.device == "cuda"),
        notes=[*(n for n in record.notes if n.level != "reused"), note],
    )


def _is_shared(spec: TrialSpec) -> bool:
    """Return whether other trials are shown the same inputs (:meth:`bench.task.Task.inputs_name`)."""
    return bool(spec.inputs) and spec.role == "method"


def _serves(record: TrialRecord, key: str) -> bool:
    return record.status == "ok" and _is_shared(record.spec) and prediction_key(record.spec) == key
