"""From what the user asked for to the list of trials: tracks x datasets x methods x seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.dataset import DatasetSource, lacking_field
from bench.environments.availability import why_unavailable
from bench.environments.declaration import environment_of
from bench.errors import BenchError, DataError, UnknownNameError
from bench.method import Method
from bench.plan.cards import method_card
from bench.plan.embeddings import embeddings_of, unnamed
from bench.plan.keys import data_key, environment_digest, trial_key
from bench.plan.registry import Registry
from bench.plan.source_digest import source_digest
from bench.results.records import EmbeddingSpec, MethodCard, Skipped, TrialSpec
from bench.system import path_digest
from bench.task import Control, Seeds, Task
from bench.words import count


@dataclass(frozen=True)
class RunRequest:
    """The request of ``bench run``.

    Parameters
    ----------
    tracks
        Empty: the task's default tracks.
    methods
        Names, ``all`` (every method and control) or ``controls``; controls are always in the table.
    datasets
        Registered names or paths; empty: the built-in ones.
    split_seeds, simulation_seeds, method_seeds
        Replicates on each seed axis. Method seeds None: as many as the task takes for a dataset.
    params
        ``{method: {parameter: value}}``.
    """

    task: str
    tracks: Sequence[str] = ()
    methods: Sequence[str] = ("all",)
    datasets: Sequence[str] = ()
    split_seeds: int = 1
    simulation_seeds: int = 1
    method_seeds: int | None = None
    preset: str | None = None
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """A trial to be run, or known from its card not to be runnable here."""

    key: str
    spec: TrialSpec
    unavailable: str = ""

    @property
    def problem(self) -> str:
        """Identity of the problem it shares with other trials."""
        return self.spec.problem


@dataclass(frozen=True)
class Plan:
    """All trials of one request.

    Parameters
    ----------
    unreadable
        The datasets, as they were asked for, of which nothing can be planned, and why.
    offers
        Dataset -> how to name the columns that it lacks for a track.
    cards
        Cards of the methods.
    superseded
        Why trials run again that the run folder holds under other keys (:mod:`bench.execution.superseded`).
    """

    task: Task
    trials: list[Planned]
    skipped: list[Skipped]
    methods: list[str]
    datasets: dict[str, DatasetSource]
    unreadable: dict[str, DataError] = field(default_factory=dict)
    offers: dict[str, str] = field(default_factory=dict)
    superseded: list[str] = field(default_factory=list)
    cards: Mapping[str, MethodCard] = field(default_factory=dict)


def make_plan(registry: Registry, request: RunRequest) -> Plan:
    """List the trials of a request.

    Raises
    ------
    BenchError
        If a name is unknown, or no dataset can be read or serves any of the tracks.
    """
    task = registry.task(request.task)
    tracks = list(request.tracks) or [name for name, track in task.tracks.items() if track.default]
    check_tracks(task, tracks)
    sources, unreadable = _datasets(registry, request.datasets)
    names = _methods(registry, task, request)
    _check_preset(registry, names, request.preset)
    for name in request.params:
        if name not in names:
            raise UnknownNameError("method in --set", name, names)
    served, skipped = _served(task, tracks, sources)
    offers = _offers(sources, skipped)
    for name, error in unreadable.items():
        reason = f"its data cannot be used: {error.what}"
        skipped += [Skipped(track=track, dataset=Path(name).name, reason=reason) for track in tracks]
    if not served:
        reasons = "; ".join(f"{s.dataset} on {s.track}: {s.reason}" for s in skipped)
        fix = "\n         ".join(offers.values()) or "see bench list datasets"
        raise BenchError(f"none of the datasets can serve the asked tracks of {task.name}", where=reasons, fix=fix)
    methods = [_requested(registry, name, request) for name in names]
    embedded = {method.name: embeddings_of(method.embeddings, {d: sources[d] for d, _ in served}) for method in methods}
    trials: list[Planned] = []
    for (dataset, track), n_splits in _n_splits(registry, task, served, request.split_seeds).items():
        if n_splits < request.split_seeds:
            skipped.append(Skipped(track=track, dataset=dataset, reason=_repeated(n_splits, request.split_seeds)))
        for problem_seeds in _problem_seeds(n_splits, request.simulation_seeds if task.tracks[track].seeded else 1):
            base = _base_spec(task, track, sources[dataset], problem_seeds)
            usual = request.method_seeds or task.usual_seeds(sources[dataset].card)
            trials += [_control_trial(base, control) for control in _control_seeds(task, usual)]
            for method in methods:
                n_seeds = request.method_seeds or (1 if method.trains_long else usual)
                trials += _method_trials(base, method, embedded[method.name][dataset], n_seeds)
    cards = {name: method_card(registry.methods[name]) for name in names}
    return Plan(task, trials, skipped, names, sources, unreadable, offers, cards=cards)


def check_tracks(task: Task, tracks: Sequence[str]) -> None:
    """Refuse a track that ``task`` does not have."""
    for track in tracks:
        if track not in task.tracks:
            raise UnknownNameError(f"track of {task.name}", track, task.tracks)


def _datasets(registry: Registry, names: Sequence[str]) -> tuple[dict[str, DatasetSource], dict[str, DataError]]:
    """The datasets by name, and those that cannot be read; an error if it is all of them."""
    if not names:
        return {name: source for name, source in registry.datasets.items() if source.card.builtin}, {}
    sources, unreadable = {}, {}
    for name in names:
        try:
            source = registry.dataset(name)
        except DataError as error:
            unreadable[name] = error
        else:
            sources[source.card.name] = source
    if not sources:
        raise next(iter(unreadable.values()))
    return sources, unreadable


def _methods(registry: Registry, task: Task, request: RunRequest) -> list[str]:
    available = registry.methods_for(task.name)
    controls = {c.name for c in task.controls}
    for name in available:
        if name in controls | {"all", "controls"}:
            raise BenchError(
                f"{name!r} cannot be the name of a method of {task.name!r}: a control or --methods uses it",
                where=registry.methods[name].origin,
                fix="rename the method (its class attribute `name`)",
            )
    names: list[str] = []
    for name in request.methods:
        if name == "all":
            names += [n for n in available if not unnamed(registry.methods[n].value, request.params.get(n, {}))]
        elif name == "controls" or name in controls:
            continue
        elif name in available:
            names.append(name)
        elif name in registry.methods:
            raise BenchError(
                f"method {name!r} does not answer task {task.name!r}",
                where=registry.methods[name].origin,
                fix=f"methods for {task.name}: {', '.join(available)}",
            )
        else:
            raise UnknownNameError("method", name, [*available, "all", "controls"])
    for name in names:
        if parameters := unnamed(registry.methods[name].value, request.params.get(name, {})):
            raise BenchError(
                f"{name} reads an embedding of the dataset (obsm), and none is named",
                where="--methods",
                fix=f"--set {name}.{parameters[0]}=KEY, such as X_scgpt",
            )
    return list(dict.fromkeys(names))


def _check_preset(registry: Registry, methods: Sequence[str], preset: str | None) -> None:
    presets = {p for name in methods for p in registry.methods[name].value.presets}
    if preset is not None and preset not in presets:
        raise UnknownNameError("preset (of the selected methods)", preset, presets)


def _served(
    task: Task, tracks: Sequence[str], sources: Mapping[str, DatasetSource]
) -> tuple[list[tuple[str, str]], list[Skipped]]:
    served, skipped = [], []
    for name, source in sources.items():
        for track in tracks:
            reason = task.why_not(source.card, track)
            if reason:
                skipped.append(Skipped(track=track, dataset=name, reason=reason))
            else:
                served.append((name, track))
    return served, skipped


def _offers(sources: Mapping[str, DatasetSource], skipped: Sequence[Skipped]) -> dict[str, str]:
    """Of the datasets that lack a column for a track: how to name it."""
    lacking: dict[str, dict[str, None]] = {}
    for each in skipped:
        if field := lacking_field(each.reason):
            lacking.setdefault(each.dataset, {})[field] = None
    offers = {name: sources[name].offer(fields) for name, fields in lacking.items()}
    return {name: offer for name, offer in offers.items() if offer}


def _n_splits(
    registry: Registry, task: Task, served: Sequence[tuple[str, str]], requested: int
) -> dict[tuple[str, str], int]:
    """Of the (dataset, track) pairs, how many of the split seeds are different; reads tables if several are asked."""
    n_different = dict.fromkeys(served, requested)
    for dataset in dict(served) if requested > 1 else ():
        try:
            cells = registry.open(dataset)
        except BenchError:  # each of its trials will say so
            continue
        n_different |= {(d, track): task.n_splits(cells, track, requested) for d, track in served if d == dataset}
    return n_different


def _repeated(n: int, requested: int) -> str:
    rest = f"seed {n}" if requested == n + 1 else f"seeds {n} to {requested - 1}"
    return f"it has {count(n, 'different split')}: split {rest} would repeat one"


def _problem_seeds(splits: int, simulations: int) -> list[Seeds]:
    return [Seeds(s, m) for s in range(splits) for m in range(simulations)]


def _control_seeds(task: Task, n: int) -> list[tuple[Control, int]]:
    return [(control, i) for control in task.controls for i in range(n if control.stochastic else 1)]


def _base_spec(task: Task, track: str, source: DatasetSource, seeds: Seeds) -> TrialSpec:
    return TrialSpec(
        task=task.name,
        task_version=task.version,
        track=track,
        dataset=source.card.name,
        dataset_digest=source.card.digest,
        data_key=data_key(source.card),
        method="",
        role="method",
        implementation="",
        method_digest="",
        environment_digest="",
        seeds=replace(seeds, method=0),
        inputs=task.inputs_name(track, seeds),
    )


def _control_trial(base: TrialSpec, control: tuple[Control, int]) -> Planned:
    entry, seed = control
    update = {"method": entry.name, "role": entry.role, "implementation": "control", "method_digest": base.task_version}
    spec = base.model_copy(update={**update, "seeds": replace(base.seeds, method=seed)})
    return Planned(trial_key(spec), spec)


def _existing(method: str, parameter: str, value: str) -> Path:
    path = Path(value).expanduser().absolute()
    if not path.exists():
        raise BenchError(
            "there is no such file or folder", where=f"--set {method}.{parameter}={value}", fix="check the path"
        )
    return path


@dataclass(frozen=True)
class _Requested:
    """A method as it was asked for: what its trials share, found out once, for it takes reading sources and files."""

    fields: dict[str, Any]
    stochastic: bool
    trains_long: bool
    unavailable: str
    embeddings: dict[str, str]

    @property
    def name(self) -> str:
        """Name of the method."""
        return str(self.fields["method"])


def _requested(registry: Registry, name: str, request: RunRequest) -> _Requested:
    cls: type[Method] = registry.methods[name].value
    params = cls.resolve(request.params.get(name, {}), request.preset)
    files = {
        parameter: _existing(name, parameter, str(params[parameter])) for parameter in cls.files if params[parameter]
    }
    named = {parameter: f"{path.name} (sha256 {path_digest(path)[:16]})" for parameter, path in files.items()}
    unavailable = why_unavailable(cls)
    environment = None if unavailable else environment_of(cls)
    if request.params.get(name) and not (unavailable or environment):
        _refuse_values(cls, params)
    fields = {
        "method": name,
        "implementation": cls.implementation,
        "method_digest": source_digest(cls),
        "environment_digest": environment_digest(cls),
        "params": params | named,
        "files": {parameter: str(path) for parameter, path in files.items()},
        "environment": environment.name if environment else "",
    }
    embeddings = {parameter: str(params[parameter]) for parameter in cls.embeddings}
    return _Requested(fields, cls.stochastic, cls.trains_long, unavailable, embeddings)


def _refuse_values(method: type[Method], params: Mapping[str, Any]) -> None:
    """Refuse values that the method's own ``__init__`` refuses, rather than let every trial crash of them."""
    try:
        method(**params)
    except BenchError:
        raise
    except Exception as error:
        what = f"{method.name} cannot take these values: {type(error).__name__}: {error}"
        fix = f"see the parameters: bench describe {method.name}"
        raise BenchError(what, where="parameters of the method", fix=fix) from error


def _method_trials(
    base: TrialSpec, method: _Requested, embeddings: dict[str, EmbeddingSpec], n_seeds: int
) -> list[Planned]:
    planned = []
    for seed in range(n_seeds if method.stochastic else 1):
        update = {**method.fields, "embeddings": embeddings, "seeds": replace(base.seeds, method=seed)}
        spec = base.model_copy(update=update)
        planned.append(Planned(trial_key(spec), spec, method.unavailable))
    return planned
