"""One process per trial that starts the worker, measures its whole tree, enforces the limits and kills what is left."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from bench.sandbox import guard, imported
from bench.sandbox.progress import Progress, read_progress
from bench.system import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl, write_atomic

#: Seconds between SIGTERM and SIGKILL when the wall-clock limit is hit.
GRACE_S = 2.0
#: Seconds between two measurements of the tree: short at first, so that short trials are measured too.
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.01, 0.1
#: Signals that a method's process gets from somebody else: the system for want of memory, a person, a scheduler.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
#: Share of the memory limit above which a trial that was killed counts as out of memory.
_NEAR_LIMIT = 0.8
#: Address space reserved but never touched (thread stacks, arenas, CUDA) that RLIMIT_DATA must tolerate.
_DATA_SLACK_MB = 8192


@dataclass(frozen=True)
class MachineFacts:
    """Facts of this machine that the fork server has found out, for all jobs."""

    software: guard.Software
    index: dict[str, list[imported.Installed]]


def watch(job: dict[str, Any], facts: MachineFacts) -> None:
    """Run the job's worker to its end; writes ``outcome.json`` into the job's folder."""
    os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans come to us, so no process of the method escapes the tree
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    folder = Path(job["folder"])
    job["guard"] = guard.name()
    worker = _start_worker(job, facts, folder / "log.txt")
    signal.signal(signal.SIGTERM, lambda *_: _abandon())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tree = _Tree(with_gpu=job["device"] != "cpu")
    start = time.perf_counter()
    kills = _oom_kills()
    code, ended_by = _wait(worker, tree, start, job["timeout_s"], job["memory_mb"])
    wall = time.perf_counter() - start
    _kill_descendants()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak_mb = max(tree.rss_peak, usage.ru_maxrss * 1024) / 2**20
    outcome = _judge(folder, code, ended_by, job, peak_mb, _oom_kills() > kills)
    if outcome.get("status") in ("timeout", "oom"):
        outcome["detail"] = f"{outcome.get('detail', '')}{_how_far(read_progress(folder))}"
    outcome.setdefault("wall_s", wall)
    outcome |= {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_peak_mb": peak_mb,
        "gpu_peak_mb": tree.gpu_peak_mb,
        "guard": job["guard"],
    }
    write_atomic(folder / "outcome.json", json.dumps(outcome).encode())


class _Tree:
    """Peak memory of all our descendants; shared pages count once per process, as RSS does."""

    def __init__(self, *, with_gpu: bool) -> None:
        self.rss_peak = 0
        self.gpu_peak_mb: float | None = None
        self._me = psutil.Process()
        self._nvml = _nvml() if with_gpu else None

    def measure(self) -> int:
        """Bytes in use now; updates the peaks."""
        rss = 0
        pids = set()
        for process in self._me.children(recursive=True):
            try:
                rss += process.memory_info().rss
                pids.add(process.pid)
            except psutil.NoSuchProcess:
                continue
        self.rss_peak = max(self.rss_peak, rss)
        if self._nvml is not None:
            self.gpu_peak_mb = max(self.gpu_peak_mb or 0.0, _gpu_mb(self._nvml, pids))
        return rss


def _start_worker(job: dict[str, Any], facts: MachineFacts, log: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    _run_worker(job, facts, log)


def _run_worker(job: dict[str, Any], facts: MachineFacts, log: Path) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if job["memory_mb"] is not None and job["device"] == "cpu":
            # A single huge allocation fails here at once, before the page faults could be seen from outside.
            limit = int((job["memory_mb"] + _DATA_SLACK_MB) * 2**20)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _move_in(Path(job["folder"]) / "scratch")
        guard.confine(job, facts.software)
        if job["environment"]:
            from bench.sandbox import own_environment

            own_environment.enter(job)  # does not come back
        from bench.sandbox import worker

        code = worker.main(job, facts.index)
    except BaseException:  # noqa: BLE001 - told in the trial's log
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # a method may have closed them
                stream.flush()
        os._exit(code)


def _move_in(scratch: Path) -> None:
    """Work in the trial's scratch, which is home and temporary folder too: what tools drop goes away with it."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(scratch)
    os.environ |= {"HOME": str(home), "TMPDIR": str(scratch)}
    tempfile.tempdir = None


def _wait(worker: int, tree: _Tree, start: float, timeout_s: float, memory_mb: float | None) -> tuple[int, str | None]:
    pause = _FIRST_LOOK_S
    while True:
        done, status = os.waitpid(worker, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), None
        rss = tree.measure()
        if memory_mb is not None and rss > memory_mb * 2**20:
            return _end(worker, signal.SIGKILL), "oom"
        if time.perf_counter() - start > timeout_s:
            return _end(worker, signal.SIGTERM), "timeout"
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_LOOK_S)


def _end(worker: int, first: signal.Signals) -> int:
    """Ask the worker to end, then kill it and all it started."""
    os.kill(worker, first)
    deadline = time.perf_counter() + (GRACE_S if first != signal.SIGKILL else 0.0)
    while time.perf_counter() < deadline:
        done, status = os.waitpid(worker, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])


def _kill_descendants() -> None:
    """Kill and reap every process below us; as sub-reaper we inherit those whose parent has gone."""
    me = psutil.Process()
    while True:
        alive = me.children(recursive=True)
        for process in alive:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG if not alive else 0)[0]:
                continue
        except ChildProcessError:
            return


def _abandon() -> NoReturn:
    _kill_descendants()
    os._exit(1)


def _judge(
    folder: Path, code: int, ended_by: str | None, job: dict[str, Any], peak_mb: float, short_of_memory: bool
) -> dict[str, Any]:
    """Typed status from what ended the worker, its exit code, and what it wrote itself."""
    if ended_by == "timeout":
        return {"status": "timeout", "detail": f"stopped after the wall-clock limit of {job['timeout_s']:g} s"}
    if ended_by == "oom":
        return {"status": "oom", "detail": f"stopped above the memory limit of {job['memory_mb']:.0f} MB"}
    result = folder / "result.json"
    if code == 0 and result.exists():
        note = _read_result(result)
        return note or {"status": "crash", "detail": "the method overwrote result.json, which is the harness's"}
    if -code in _FROM_OUTSIDE:
        return _killed(signal.Signals(-code), peak_mb, job["memory_mb"], short_of_memory)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return {"status": "crash", "detail": f"the method's process ended with {how} before it returned"}


def _killed(by: signal.Signals, peak_mb: float, limit_mb: float | None, short_of_memory: bool) -> dict[str, Any]:
    """Out of memory, if the method used what it may; else no fault of the method, and it is tried again."""
    used_up = short_of_memory if limit_mb is None else peak_mb >= _NEAR_LIMIT * limit_mb
    of = "" if limit_mb is None else f", its limit is {limit_mb:.0f} MB"
    if by == signal.SIGKILL and used_up:
        return {"status": "oom", "detail": f"killed by the system for want of memory at {peak_mb:.0f} MB{of}"}
    cause = "; the system ran out of memory meanwhile" if short_of_memory else ""
    return {
        "status": "crash",
        "retryable": True,
        "detail": f"killed from outside by {by.name} at {peak_mb:.0f} MB{of}{cause}; the same command tries it again",
    }


def _oom_kills() -> int:
    """Count the processes the system has killed for want of memory since it started; 0 where it does not count."""
    with contextlib.suppress(OSError), open("/proc/vmstat") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    return 0


def _how_far(progress: Progress) -> str:
    """The method's last word, to follow the reason of its end; empty if it said nothing."""
    phase = progress.phase and f" in {progress.phase}"
    if not progress.fraction and not progress.message:
        return phase
    return f"{phase}, at {100 * progress.fraction:.0f} %{progress.message and ': '}{progress.message}"


def _read_result(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _nvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _gpu_mb(nvml: Any, pids: set[int]) -> float:
    used = 0.0
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid in pids and process.usedGpuMemory:
                used += process.usedGpuMemory / 2**20
    return used
