"""The fork server: loads once what its trials share, then forks a supervisor for every job line on standard input.

A line of variables instead has it take these, and look anew at what is installed.

Ends, with every process below it, when its standard input closes: so also when the parent is killed with SIGKILL.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
from collections.abc import Sequence
from typing import NoReturn

import psutil

from bench.sandbox import guard, imported, supervisor
from bench.system import PR_SET_CHILD_SUBREAPER, prctl


def main(preload: Sequence[str] = ()) -> NoReturn:
    """Serve jobs until standard input closes; their processes have the modules ``preload`` already."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    _preload(preload)
    facts: supervisor.MachineFacts | None = None
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a killed supervisor leaves behind comes to us
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, str] = {}
    pending = b""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            _reap(running, answers)
        if 0 in ready:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for job in map(json.loads, lines):
                if "folder" not in job:  # a new sandbox: software may have been installed since the last
                    os.environ |= job
                    importlib.invalidate_caches()
                    facts = supervisor.MachineFacts(guard.installed(), imported.installed())
                    continue
                assert facts is not None
                running[_fork_supervisor(job, facts, (answers, wake_read, wake_write))] = job["folder"]
    for pid in running:
        os.kill(pid, signal.SIGTERM)
    for pid in running:
        os.waitpid(pid, 0)
    _kill_strays({})
    os._exit(0)  # taking the libraries apart is a quarter of what an idle fork server costs


def _preload(modules: Sequence[str]) -> None:
    import numpy.random  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.sparse  # noqa: F401

    import bench.exchange.files
    import bench.sandbox.worker  # noqa: F401

    for module in modules:
        with contextlib.suppress(Exception):  # a trial that imports it then says what is wrong
            importlib.import_module(module)


def _fork_supervisor(job: dict[str, object], facts: supervisor.MachineFacts, inherited: tuple[int, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a handler would be inherited by R and other tools
    for fd in inherited:
        os.close(fd)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    supervisor.watch(job, facts)
    os._exit(0)


def _reap(running: dict[int, str], answers: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        folder = running.pop(pid, None)
        if folder is None or status != 0:
            _kill_strays(running)
        if folder is not None:  # nothing of this job runs any more
            os.write(answers, (json.dumps({"folder": folder}) + "\n").encode())


def _kill_strays(running: dict[int, str]) -> None:
    """Kill what a killed supervisor left: generation by generation, each falls to us as the last dies."""
    while strays := [p.pid for p in psutil.Process().children() if p.pid not in running]:
        for pid in strays:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
