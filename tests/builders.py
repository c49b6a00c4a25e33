"""Records and cards for tests; what a test does not name is the same in all."""

from typing import Any

from bench.results.records import Limits, MethodCard, PlannedTrial, Request, TaskCard, TrialRecord, TrialSpec
from bench.results.store import Store
from bench.task import Metric, Track


def trial_spec(**fields: Any) -> TrialSpec:
    """A trial of the method ``m`` on the dataset ``d``."""
    known = {"task": "t", "task_version": "1", "track": "a", "dataset": "d", "dataset_digest": "d", "method": "m"}
    known |= {"role": "method", "implementation": "port", "environment_digest": ""}
    return TrialSpec(**{**known, "method_digest": fields.get("method", "m"), **fields})


def trial_record(key: str, spec: TrialSpec, **fields: Any) -> TrialRecord:
    """A trial that ended well."""
    known = {"limits": Limits(), "status": "ok", "host": "h", "started": "2025", "bench_version": "0"}
    return TrialRecord(**{**known, "key": key, "spec": spec, **fields})


def metric(name: str, **fields: Any) -> Metric:
    """A metric from 0 to 1."""
    known = {"summary": name, "low": 0.0, "high": 1.0, "higher_is_better": True, "undefined": ""}
    return Metric(**{**known, "name": name, **fields})


def track(**fields: Any) -> Track:
    """A track that runs by default."""
    return Track(**{"summary": "s", "truth": "computational", "default": True, "caveat": "", **fields})


def task_card(name: str, tracks: dict[str, Track], metrics: list[Metric]) -> TaskCard:
    """Card of a task."""
    return TaskCard(name=name, version="1", summary="", purpose="", tracks=tracks, metrics=metrics)


def method_card(name: str, **fields: Any) -> MethodCard:
    """Card of a method."""
    return MethodCard(**{"summary": name, "role": "method", "implementation": "port", "name": name, **fields})


def save_request(store: Store, task: TaskCard, methods: list[MethodCard], planned: list[PlannedTrial], **fields: Any):
    """Write the request that asked for a run's trials, and its tables."""
    known = {"command": ["bench", "run"], "created": "2025", "datasets": []}
    store.save_request(Request(**{**known, "task": task, "methods": methods, "planned": planned, **fields}))
    store.write_tables()
