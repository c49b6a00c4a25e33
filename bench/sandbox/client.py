"""The parent's side of the sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter, ValidationError

from bench.errors import Status
from bench.problem import Json, Note, Output
from bench.system import cache_dir


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

#: The fork server's modules are ours: started with ``-m``, files of the working directory would shadow them.
_START = "import sys; sys.path[:] = sys.argv[1:]; del sys.argv[1:]; from bench.sandbox.fork_server import main; main()"


#: Variables of ours that a method's process has too: where programs and libraries are, and the language.
#: No others, so that neither results nor what a method can find depend on the shell that a run was started from.
_PASSED = frozenset(
    "BENCH_READ CONDA_PREFIX LANG LANGUAGE LD_LIBRARY_PATH LD_PRELOAD LOGNAME PATH PYTHONDONTWRITEBYTECODE "
    "PYTHONPATH R_HOME R_LIBS R_LIBS_SITE RPY2_CFFI_MODE USER".split()
)
_PASSED_BEGINNINGS = ("LC_", "CUDA_", "NVIDIA_")


def method_environment(threads: int) -> dict[str, str]:
    """All environment variables of the fork server; a trial adds a home and a temporary folder of its own.

    Caches of compiled code are kept in a folder of ours; models that were fetched before are found where they are.
    """
    passed = {n: v for n, v in os.environ.items() if n in _PASSED or n.startswith(_PASSED_BEGINNINGS)}
    compiled = cache_dir() / "compiled"
    with contextlib.suppress(OSError):
        compiled.mkdir(parents=True, exist_ok=True)
        caches = {"XDG_CACHE_HOME": "", "CUDA_CACHE_PATH": "nv", "TRITON_CACHE_DIR": "triton"}
        passed |= {name: str(compiled / folder) for name, folder in caches.items()}
    home, cache = Path.home(), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hugging_face = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    locations = {
        "HF_HUB_CACHE": os.environ.get("HF_HUB_CACHE") or str(hugging_face / "hub"),
        "TORCH_HOME": os.environ.get("TORCH_HOME") or str(cache / "torch"),
        "R_LIBS_USER": os.environ.get("R_LIBS_USER") or str(home / "R" / "%p-library" / "%v"),
    }
    return passed | locations | thread_environment(threads)


def thread_environment(threads: int) -> dict[str, str]:
    """Environment that holds every numeric library, and R, to one thread budget.

    ``OMP_WAIT_POLICY=PASSIVE``: spinning OpenMP threads made torch up to 40 times slower on shared cores.
    """
    names = (
        "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS BLIS_NUM_THREADS VECLIB_MAXIMUM_THREADS "
        "NUMEXPR_NUM_THREADS NUMBA_NUM_THREADS RCPP_PARALLEL_NUM_THREADS POLARS_MAX_THREADS"
    ).split()
    fixed = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
        "TZ": os.environ.get("TZ", "UTC"),  # unset, R's time-zone look-up complains on every start
        "HF_HUB_OFFLINE": "1",
    }
    return {name: str(threads) for name in names} | fixed


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
        self._start()

    def _start(self) -> None:
        self._futures: dict[str, Future[Outcome]] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(os.path.abspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=method_environment(self.threads),
            cwd="/",
            # A session of its own: Ctrl-C reaches the parent alone, which then ends the trials in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process, self._futures), daemon=True)
        self._reader.start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def run(self, job: Job) -> Outcome:
        """Run ``job`` to its end and say how it ended; never raises for anything the method does."""
        with self._lock:
            future = self._submit(job) or self._restarted(job)
        return future.result() if future else Outcome("crash", "the sandbox's fork server has died", retryable=True)

    def _restarted(self, job: Job) -> Future[Outcome] | None:
        """Submit to a new fork server: the old one was killed, and with it the trials in flight, but no others."""
        if self._closed:
            return None
        self._process.wait()
        self._start()
        return self._submit(job)

    def _submit(self, job: Job) -> Future[Outcome] | None:
        future: Future[Outcome] = Future()
        if self._closed or self._process.poll() is not None:
            return None
        self._futures[job.folder] = future
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asdict(job)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._futures.pop(job.folder, None)
            return None
        return future

    def close(self) -> None:
        """End every running job and the fork server."""
        with self._lock:
            self._closed = True
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        self._reader.join()

    @staticmethod
    def _read(process: subprocess.Popen[str], futures: dict[str, Future[Outcome]]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            _finish(futures, json.loads(line)["folder"])
        for folder in list(futures):
            _finish(futures, folder)


def _finish(futures: dict[str, Future[Outcome]], folder: str) -> None:
    future = futures.pop(folder, None)
    if future is not None:
        future.set_result(_read_outcome(Path(folder)))


def _read_outcome(folder: Path) -> Outcome:
    try:
        return _OUTCOME.validate_json((folder / "outcome.json").read_bytes())
    except FileNotFoundError:
        detail = "the process that watches the method was killed; the same command tries it again"
        return Outcome("crash", detail, retryable=True)
    except ValidationError:
        return Outcome("crash", "the method overwrote the harness's account of its end")
