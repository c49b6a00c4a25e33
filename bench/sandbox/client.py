"""The parent's side of the sandbox."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter, ValidationError

from bench.errors import Status
from bench.problem import Json, Note, Output
from bench.sandbox.server import Server, give_back, take


@dataclass(frozen=True)
class Job:
    """One method call, as plain data.

    Parameters
    ----------
    folder
        The trial's own scratch folder; log, prediction and outcome are written there.
    inputs
        Folder written by :func:`bench.exchange.files.write_rounds`.
    locator
        Where the method's class is (:class:`bench.plan.registry.Entry`).
    timeout_s, memory_mb
        Limits on the whole process tree; ``memory_mb`` None means none.
    outputs
        What the method is to return.
    environment
        Where a method of its own environment runs (:func:`bench.execution.job.environment_of_job`).
    verify_inputs
        Refuse the output of a method that changed its inputs in memory (``bench check``).
    files
        Files and folders that the method's parameters name.
    hidden
        What it must not be able to open where the system can guard files, wherever it lies: the truth.
    preload
        Modules that its process has imported before it starts (:class:`bench.method.Method`).
    """

    folder: str
    inputs: str
    locator: dict[str, Json]
    params: dict[str, Json]
    seed: int
    threads: int
    device: str
    timeout_s: float
    memory_mb: float | None
    outputs: tuple[Output, ...] = ()
    environment: dict[str, Json] | None = None
    verify_inputs: bool = False
    files: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Session:
    """Session of a method's process: what it had imported and computed with (:mod:`bench.sandbox.imported`).

    Parameters
    ----------
    versions
        Of Python, every distribution imported and, where R ran, R and its packages (``R:name``).
    interpreter, blas
        Python's implementation and compiler; library, version, kernel and threads of each BLAS.
    gpu
        Whether a GPU's memory was used.
    """

    versions: dict[str, str] = field(default_factory=dict)
    interpreter: str = ""
    blas: str = ""
    gpu: bool = False


@dataclass(frozen=True)
class Outcome:
    """End of a method's process tree, and what it used.

    ``retryable`` marks an end that tells nothing of the method: it was killed from outside, or its watcher was.
    ``guard`` names what kept it from opening other files than its own.
    """

    status: Status
    detail: str = ""
    wall_s: float | None = None
    cpu_s: float | None = None
    rss_peak_mb: float | None = None
    gpu_peak_mb: float | None = None
    phases: dict[str, float] = field(default_factory=dict)
    notes: list[str | Note] = field(default_factory=list)
    retryable: bool = False
    guard: str = ""
    session: Session = Session()


_OUTCOME = TypeAdapter(Outcome)


class Sandbox:
    """Runs jobs in processes of their own; use as a context manager.

    Parameters
    ----------
    threads
        Thread budget of every job; set before the numeric libraries load, hence one per sandbox.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._lock = threading.Lock()
        self._closed = False
        self._servers: dict[tuple[str, ...], Server] = {(): take(threads)}

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def run(self, job: Job) -> Outcome:
        """Run ``job`` to its end and say how it ended; never raises for anything the method does."""
        with self._lock:
            ended = None if self._closed else self._submitted(job)
        if ended is None:
            return Outcome("crash", "the sandbox's fork server has died", retryable=True)
        ended.result()
        return _read_outcome(Path(job.folder))

    def _submitted(self, job: Job) -> Future[None] | None:
        """Submit to a fork server with the modules of the job.

        If it was killed, and with it the trials in flight, but no others, a new one takes its place.
        """
        if server := self._servers.get(job.preload):
            if ended := server.submit(asdict(job)):
                return ended
            server.end()
        self._servers[job.preload] = take(self.threads, job.preload)
        return self._servers[job.preload].submit(asdict(job))

    def close(self) -> None:
        """End every running job; a light fork server serves the next sandbox."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for server in self._servers.values():
                    give_back(server)


def _read_outcome(folder: Path) -> Outcome:
    try:
        return _OUTCOME.validate_json((folder / "outcome.json").read_bytes())
    except FileNotFoundError:
        detail = "the process that watches the method was killed; the same command tries it again"
        return Outcome("crash", detail, retryable=True)
    except ValidationError:
        return Outcome("crash", "the method overwrote the harness's account of its end")
