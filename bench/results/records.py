"""Records of a trial and a run: typed, validated when read back, plain JSON on disk."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, JsonValue, PlainSerializer, PlainValidator
from pydantic_core import CoreSchema, core_schema

from bench.errors import Status
from bench.problem import Curve, Note
from bench.task import Metric, Seeds, Track

#: Statuses that are an answer about the plan, not a failure of it.
DECLARED: frozenset[str] = frozenset({"unavailable", "not_applicable"})


def _printable_fields(value: object) -> object:
    return {name: _printable(field) for name, field in value.items()} if isinstance(value, dict) else value


def _printable(value: object) -> object:
    """Lone surrogates (of an undecodable file name in an error, say) could not be written down."""
    if isinstance(value, list) and value and isinstance(value[0], (str, Note)):
        return [_printable(part) for part in value]
    if isinstance(value, Note):
        return _printable(str(value))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make text printable where a record is made; where one is read, JSON has refused what is not."""
        model = handler(source)
        made = core_schema.no_info_before_validator_function(_printable_fields, model)
        return core_schema.json_or_python_schema(json_schema=model, python_schema=made)


def _note(value: object) -> Note:
    return value if isinstance(value, Note) else Note.read(str(value))


#: A note, which is text on disk; read back, or from a task's or a method's sentence, it has its level again.
WrittenNote = Annotated[Note, PlainValidator(_note), PlainSerializer(str)]


class Limits(_Frozen):
    """Limits of what a trial may use."""

    timeout_s: float = 3600.0
    memory_mb: float | None = None
    threads: int = 1
    device: str = "cpu"


class EmbeddingSpec(_Frozen):
    """An embedding of the dataset that a trial's method reads."""

    key: str
    #: sha256 over shape and values (:class:`bench.dataset.Embedding`); empty where there is no such embedding.
    sha256: str = ""
    #: What its user says that it was pre-trained on; None: nothing was said.
    pretrained_on: list[str] | None = None


class TrialSpec(_Frozen):
    """Everything that decides a trial's outcome; its hash is the trial's key."""

    task: str
    task_version: str
    track: str
    dataset: str
    #: sha256 of the dataset, as on its card.
    dataset_digest: str
    method: str
    role: Literal["method", "random", "perfect", "trap"]
    implementation: str
    method_digest: str
    environment_digest: str
    params: dict[str, JsonValue] = Field(default_factory=dict)
    seeds: Seeds = Seeds()
    #: sha256 over ``dataset_digest`` and the facts of the card that problems are built from
    #: (:func:`bench.plan.keys.data_key`).
    data_key: str = ""
    #: Short digest of the method's own environment (:mod:`bench.environments.declaration`); empty without one.
    environment: str = ""
    #: Parameters that are files: where they lie on this machine. Not in the key, which has their digests in ``params``.
    files: dict[str, str] = Field(default_factory=dict)
    #: Parameters that name an embedding: which. In the key where there are any.
    embeddings: dict[str, EmbeddingSpec] = Field(default_factory=dict)
    #: Name of what methods are shown, where other tracks or tasks show the same (:meth:`bench.task.Task.inputs_name`).
    inputs: str = ""

    @property
    def problem(self) -> str:
        """A short name of everything that decides a problem; trials with the same one see the same bytes."""
        parts = [self.task, self.task_version, self.track, self.dataset, self.data_key]
        parts += [str(self.seeds.split), str(self.seeds.simulation)]
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]

    @property
    def inputs_id(self) -> str:
        """A short name of everything that decides what methods are shown; the problem's, where no other shows it."""
        if not self.inputs:
            return self.problem
        return hashlib.sha256("\x1f".join([self.inputs, self.dataset, self.data_key]).encode()).hexdigest()[:16]


class ScoreRecord(_Frozen):
    """A :class:`bench.problem.Score` on disk (NaN is null)."""

    metric: str
    value: float | None
    unit: str = "pooled"
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    detail: str = ""


class Resources(_Frozen):
    """Resources that a trial used: whole process tree, R and other children included."""

    wall_s: float | None = None
    fit_s: float | None = None
    predict_s: float | None = None
    cpu_s: float | None = None
    rss_peak_mb: float | None = None
    gpu_peak_mb: float | None = None
    #: ``cuda`` where the method held memory of a GPU, else ``cpu``; empty where nobody saw.
    device: str = ""


class Machine(_Frozen):
    """The machine on which a trial ran, and what its numbers hang on besides versions.

    Parameters
    ----------
    cpu, cores
        Model and number of cores.
    load
        Processes that wanted a core in the minute before the trial began.
    interpreter
        Implementation, version and compiler of the method's Python.
    blas
        Library, version, kernel and threads of each BLAS in the method's process.
    """

    cpu: str = ""
    cores: int | None = None
    load: float | None = None
    interpreter: str = ""
    blas: str = ""


class TrialRecord(_Frozen):
    """``trial.json``."""

    key: str
    spec: TrialSpec
    limits: Limits
    status: Status
    detail: str = ""
    #: The end tells nothing of the method (it was killed from outside, the problem could not be built): the same
    #: command tries the trial again.
    retryable: bool = False
    log_tail: str = ""
    problem_notes: list[WrittenNote] = Field(default_factory=list)
    notes: list[WrittenNote] = Field(default_factory=list)
    n_cells: int | None = None
    #: Folder, within that of the run, with the truth the scores were made from.
    problem: str = ""
    #: sha256 over the files that the method was shown.
    inputs_digest: str = ""
    resources: Resources = Resources()
    scores: list[ScoreRecord] = Field(default_factory=list)
    curves: list[Curve] = Field(default_factory=list)
    #: Of Python, what the method requires and what most of its kind compute with.
    versions: dict[str, str] = Field(default_factory=dict)
    #: Every distribution imported in the method's process and, as ``R:name``, every R package loaded there.
    imported: dict[str, str] = Field(default_factory=dict)
    #: The same of the process that made the problem and the scores.
    scored_with: dict[str, str] = Field(default_factory=dict)
    machine: Machine = Machine()
    #: What kept the method from opening other files than software, its inputs and its scratch; empty: nothing did.
    guard: str = ""
    host: str = ""
    started: str = ""
    bench_version: str = ""


class MethodCard(_Frozen):
    """A method's (or control's) card as the report shows it."""

    name: str
    summary: str
    implementation: str
    role: str = "method"
    tasks: list[str] = Field(default_factory=list)
    reference: str = ""
    citation: str = ""
    licence: str = ""
    input_layer: str = ""
    fractional_counts: bool = False
    supervised: bool = False
    stochastic: bool = False
    per_donor: bool = False
    requires: list[str] = Field(default_factory=list)
    kind: str = ""
    named_by: list[str] = Field(default_factory=list)
    pretrained_on: list[str] = Field(default_factory=list)
    caveat: str = ""
    origin: str = ""
    #: The method's own environment on this machine: short digest, what is in it, and every pin.
    environment: str = ""
    environment_summary: str = ""
    environment_lock: list[str] = Field(default_factory=list)


class TaskCard(_Frozen):
    """A task's card; tracks and metrics are checked here, where a plugin's are first written down."""

    model_config = ConfigDict(revalidate_instances="always")

    name: str
    version: str
    summary: str
    purpose: str
    tracks: dict[str, Track]
    metrics: list[Metric]
    linear_baseline: bool = False


class DataCard(_Frozen):
    """A dataset's card as the report shows it."""

    name: str
    summary: str
    digest: str
    fields: list[str]
    truth: str
    n_cells: int
    n_genes: int
    n_donors: int | None
    source: str
    accession: str
    licence: str
    organism: str
    tissue: str
    caveat: str
    expected_doublet_rate: float | None
    weak_labels: str = ""


class PlannedTrial(_Frozen):
    """One line of a request: what was going to be run."""

    key: str
    track: str
    dataset: str
    method: str
    seeds: Seeds


class Skipped(_Frozen):
    """A (track, dataset) pair, or replicates of one, that a request asked for and that cannot be, with the reason."""

    track: str
    dataset: str
    reason: str


class Request(_Frozen):
    """One ``bench run`` into a run folder (``requests/<id>.json``): what was asked, by whom, where.

    ``paths`` tells where the datasets given by path lay, so that ``bench rescore`` finds them again.
    """

    command: list[str]
    created: str
    task: TaskCard
    methods: list[MethodCard]
    datasets: list[DataCard]
    planned: list[PlannedTrial]
    skipped: list[Skipped] = Field(default_factory=list)
    paths: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    host: dict[str, str] = Field(default_factory=dict)
    git: str = ""


class RunInfo(_Frozen):
    """``run.json``: the identity of a run folder."""

    run_id: str
    created: str
    bench_version: str
