"""The fork server as its parent sees it: started, sent jobs, and kept for the next sandbox of this process."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import bench
from bench.system import cache_dir

#: The fork server's modules are ours: started with ``-m``, files of the working directory would shadow them.
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); preload = sys.argv[2:]; del sys.argv[1:]; "
    "from bench.sandbox.fork_server import main; main(preload)"
)
#: Variables of ours that a method's process has too: where programs and libraries are, and the language.
#: No others, so that neither results nor what a method can find depend on the shell that a run was started from.
_PASSED = frozenset(
    "BENCH_READ CONDA_PREFIX LANG LANGUAGE LD_LIBRARY_PATH LD_PRELOAD LOGNAME PATH PYTHONDONTWRITEBYTECODE "
    "PYTHONPATH R_HOME R_LIBS R_LIBS_SITE RPY2_CFFI_MODE USER".split()
)
_PASSED_BEGINNINGS = ("LC_", "CUDA_", "NVIDIA_")


def variables_at_start(threads: int) -> dict[str, str]:
    """Environment variables that libraries read as they are loaded."""
    passed = {n: v for n, v in os.environ.items() if n in _PASSED or n.startswith(_PASSED_BEGINNINGS)}
    return passed | thread_environment(threads)


def locations() -> dict[str, str]:
    """Environment variables of the sandbox; a trial adds a home and a temporary folder of its own.

    Caches of compiled code are kept in a folder of ours; models that were fetched before are found where they are.
    """
    home, cache = Path.home(), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hugging_face = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    found = {
        "HF_HUB_CACHE": os.environ.get("HF_HUB_CACHE") or str(hugging_face / "hub"),
        "TORCH_HOME": os.environ.get("TORCH_HOME") or str(cache / "torch"),
        "R_LIBS_USER": os.environ.get("R_LIBS_USER") or str(home / "R" / "%p-library" / "%v"),
    }
    compiled = cache_dir() / "compiled"
    with contextlib.suppress(OSError):
        compiled.mkdir(parents=True, exist_ok=True)
        caches = {"XDG_CACHE_HOME": "", "CUDA_CACHE_PATH": "nv", "TRITON_CACHE_DIR": "triton"}
        found |= {name: str(compiled / folder) for name, folder in caches.items()}
    return found


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


class Server:
    """A fork server that has imported the modules ``preload``, too; it ends with this process."""

    def __init__(self, threads: int, preload: Sequence[str] = ()) -> None:
        self.stamp = _stamp(threads)
        self.preload = tuple(preload)
        self._jobs: dict[str, Future[None]] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps([*map(os.path.abspath, sys.path)]), *preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables_at_start(threads) | locations(),
            cwd="/",
            # A session of its own: Ctrl-C reaches the parent alone, which then ends the trials in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.look_again()

    @property
    def is_idle(self) -> bool:
        """Return whether it is alive and runs no job."""
        return not self._jobs and self.process.poll() is None

    def look_again(self) -> bool:
        """Tell it the locations of now, and let it find out anew what is installed; False if it is dead."""
        return self._send(locations())

    def submit(self, job: dict[str, Any]) -> Future[None] | None:
        """Start a job; the future is done when nothing of it runs any more. None if the server is dead."""
        ended: Future[None] = Future()
        self._jobs[job["folder"]] = ended
        if self._send(job):
            return ended
        self._jobs.pop(job["folder"], None)
        return None

    def _send(self, message: object) -> bool:
        assert self.process.stdin is not None
        if self.process.poll() is not None:
            return False
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def end(self) -> None:
        """End every running job and the server."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._finish(json.loads(line)["folder"])
        for folder in list(self._jobs):
            self._finish(folder)

    def _finish(self, folder: str) -> None:
        if (ended := self._jobs.pop(folder, None)) is not None:
            ended.set_result(None)


_kept: list[Server] = []
_lock = threading.Lock()


def take(threads: int, preload: Sequence[str] = ()) -> Server:
    """The light server that was given back last if a new one would be the same, else a new one."""
    with _lock:
        kept = _kept.pop() if _kept and not preload else None
    if kept is not None:
        if kept.stamp == _stamp(threads) and kept.look_again():
            return kept
        kept.end()
    return Server(threads, preload)


def give_back(server: Server) -> None:
    """Keep one idle, light server, which costs the next sandbox no start; end any other, and what runs in it."""
    with _lock:
        keep = server.is_idle and not server.preload and not _kept
        if keep:
            _kept.append(server)
    if not keep:
        server.end()


@atexit.register
def end_kept() -> None:
    """End the server that is kept."""
    with _lock:
        servers, _kept[:] = _kept[:], []
    for server in servers:
        server.end()


def _stamp(threads: int) -> list[object]:
    """All that a fork server is started with: variables, where modules are, our code, and whose child it is."""
    sources = sorted(Path(bench.__file__).parent.rglob("*.py"))
    places = [*map(os.path.abspath, sys.path), *map(str, sources)]
    changed = [(place, os.stat(place).st_mtime_ns) for place in places if os.path.exists(place)]
    return [os.getpid(), variables_at_start(threads), list(locations()), changed]
