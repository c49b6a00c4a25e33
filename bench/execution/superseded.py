"""The reasons why trials that a run folder holds run again: what their key is made of has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.plan.grid import Planned
from bench.results.records import TrialRecord, TrialSpec
from bench.results.store import Store

#: Field of a specification and what it stands for, where two trials of one name differ in it.
_CAUSES = {
    "task_version": "the version of the task",
    "data_key": "the data",
    "method_digest": "the code of the method",
    "environment_digest": "the packages that the method needs",
    "environment": "the environment of the method",
    "embeddings": "the embedding",
}


def superseded(store: Store, due: Iterable[Planned]) -> list[str]:
    """A sentence for every cause why trials are due whose like, by name, parameters and seeds, is in the run folder."""
    finished = store.keys()
    new = {_name(planned.spec): planned.spec for planned in due if planned.key not in finished}
    if not new:
        return []
    methods: dict[str, dict[str, None]] = {}
    for record, spec in _namesakes(store, new):
        cause = " and ".join(
            words for field, words in _CAUSES.items() if getattr(record.spec, field) != getattr(spec, field)
        )
        methods.setdefault(f"{cause or 'their key'} changed since bench {record.bench_version}", {})[spec.method] = None
    return [f"run again: {', '.join(names)}: {cause}" for cause, names in methods.items()]


def _namesakes(store: Store, new: dict[str, TrialSpec]) -> Iterator[tuple[TrialRecord, TrialSpec]]:
    """Of each trial in ``new`` the newest record of its name."""
    newest: dict[str, TrialRecord] = {}
    for record in store.records():
        name = _name(record.spec)
        if name in new and (name not in newest or record.started >= newest[name].started):
            newest[name] = record
    return ((record, new[name]) for name, record in newest.items())


def _name(spec: TrialSpec) -> str:
    """Return what the report tells trials apart by; of two of one name it shows the newer."""
    return spec.model_dump_json(include={"task", "track", "dataset", "method", "params", "seeds"})
