"""Cards as the run folder keeps them and ``bench describe`` prints them."""

from __future__ import annotations

from pathlib import Path

from bench.dataset import DatasetCard
from bench.environments.declaration import environment_of
from bench.errors import UnavailableError
from bench.method import Method
from bench.plan.registry import Entry
from bench.results.records import DataCard, MethodCard, TaskCard
from bench.task import Control, Task


def method_card(entry: Entry[type[Method]] | Control) -> MethodCard:
    """Card of a method or a control."""
    if isinstance(entry, Control):
        return MethodCard(
            name=entry.name,
            summary=entry.summary,
            implementation="control",
            role=entry.role,
            stochastic=entry.stochastic,
        )
    cls = entry.value
    try:
        own = environment_of(cls)
    except UnavailableError:  # no interpreter for it here: its trials say so
        own = None
    return MethodCard(
        name=entry.name,
        summary=cls.summary,
        implementation=cls.implementation,
        tasks=list(cls.tasks),
        reference=cls.reference,
        citation=cls.citation,
        licence=cls.licence,
        input_layer=cls.input_layer,
        fractional_counts=cls.fractional_counts,
        supervised=cls.supervised,
        stochastic=cls.stochastic,
        per_donor=cls.per_donor,
        requires=[f"R:{r.name}" if r.kind == "r" else r.name for r in cls.requires],
        kind=cls.kind,
        named_by=list(cls.named_by),
        pretrained_on=list(cls.pretrained_on),
        caveat=cls.caveat,
        # Only the file's name: a report that is mailed must not tell the paths of the machine it was made on.
        origin=f"{cls.__module__} ({Path(entry.origin).name})",
        environment=own.name if own else "",
        environment_summary=own.summary if own else "",
        environment_lock=own.lock if own else [],
    )


def task_card(task: Task) -> TaskCard:
    """Card of a task with its tracks and metrics."""
    return TaskCard(
        name=task.name,
        version=task.version,
        summary=task.summary,
        purpose=task.purpose,
        tracks=dict(task.tracks),
        metrics=list(task.metrics),
        linear_baseline=task.linear_baseline,
    )


def data_card(card: DatasetCard) -> DataCard:
    """Card of a dataset."""
    facts = {name: getattr(card, name) for name in DataCard.model_fields if name != "fields"}
    return DataCard(fields=sorted(card.fields), **facts)
