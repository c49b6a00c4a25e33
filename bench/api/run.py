"""``bench.run``: one call from a task's name to scores, which the command line makes too."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.result import Run
from bench.api.watch import LINES, Display
from bench.environments.doctor import memory_mb as memory_here
from bench.environments.doctor import why_no_gpu
from bench.errors import BenchError, UnknownNameError
from bench.execution.engines import LocalEngine, SlurmEngine
from bench.execution.run import run as run_request
from bench.plan.grid import RunRequest
from bench.plan.registry import Registry
from bench.results.records import Limits

if TYPE_CHECKING:
    from bench.execution.run import Engine

#: Share of the memory at hand that all trials running at once may use together.
MEMORY_SHARE = 0.85

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def run(
    task: str,
    methods: Names = "all",
    datasets: Names | None = None,
    *,
    tracks: str | Sequence[str] | None = None,
    seeds: int = 1,
    split_seeds: int = 1,
    sim_seeds: int = 1,
    preset: str | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    threads: int = 1,
    timeout_s: float = 3600.0,
    memory_mb: float | None = None,
    device: str = "cpu",
    engine: str = "local",
    slurm_options: Mapping[str, str] | None = None,
    build_env: bool = True,
    force: str | Sequence[str] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    display: Display = LINES,
    command: Sequence[str] = (),
) -> Run:
    """Run methods on a task; finished trials are not run again.

    Parameters
    ----------
    task
        Name of the task; ``bench list tasks`` prints them.
    methods
        Names, ``"all"`` or ``"controls"``; controls always run.
    datasets
        Registered names or paths. Default: the built-in cohort.
    tracks
        Default: the task's usual ones.
    seeds, split_seeds, sim_seeds
        Replicates on each axis; deterministic methods run once.
    preset
        Named parameter set of the methods that have it.
    params
        ``{method: {parameter: value}}``.
    out
        Run folder. Default: ``bench-runs/TASK``; the same call goes on where it stopped.
    jobs
        Trials at once. Default: cores / threads.
    threads
        Thread budget of every trial.
    timeout_s
        Wall-clock limit of a trial in seconds.
    memory_mb
        Memory limit of a trial. Default: its share of this machine.
    device
        ``cpu`` or ``cuda``.
    engine
        ``local`` or ``slurm``.
    slurm_options
        Options for ``sbatch`` as submitit names them, such as ``{"slurm_partition": "short"}``.
    build_env
        Build the environment of a method that brings its own, where it is not built yet.
    force
        Run these methods (or ``"all"``) again even if finished.
    plugins
        Python files with methods or tasks of your own.
    display
        What is told meanwhile: ``bench.api.watch.LINES`` or ``SILENT``.
    command
        What the run folder keeps as the command. Default: this call.

    Returns
    -------
    Scores, predictions, failures and the report.

    Raises
    ------
    bench.errors.BenchError
        If the request cannot be run. A trial that fails raises nothing: see :attr:`Run.failures`.

    Examples
    --------
    >>> import bench
    >>> run = bench.run("doublet", methods=["scrublet", "cxds"], datasets=["my.h5ad"])  # doctest: +SKIP
    >>> run.scores.query("metric == 'auprc'")  # doctest: +SKIP
    """
    asked = dict(locals())
    methods, tracks = _listed(methods, "method", "--methods"), _listed(tracks, "track", "--tracks")
    datasets, forced = _listed(datasets, "dataset", "--datasets"), _listed(force or None, "method", "--force")
    if not methods:
        raise BenchError("no method is named", where="--methods", fix="name methods, or give all or controls")
    if device not in {"cpu", "cuda"}:
        raise BenchError(f"unknown device {device!r}", where="--device", fix="give cpu or cuda")
    if device == "cuda" and engine == "local" and (reason := why_no_gpu()):
        raise BenchError(reason, where="--device cuda", fix="leave --device out, or run where PyTorch sees a GPU")
    numbers = {"seeds": seeds, "split-seeds": split_seeds, "sim-seeds": sim_seeds, "threads": threads, "jobs": jobs}
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise BenchError(f"{number} is less than 1", where=f"--{name}", fix="give 1 or more")
    jobs = jobs or max(1, (os.cpu_count() or 1) // threads)
    request = RunRequest(
        task=task,
        tracks=tracks,
        methods=methods,
        datasets=datasets,
        split_seeds=split_seeds,
        simulation_seeds=sim_seeds,
        method_seeds=seeds,
        preset=preset,
        params=params or {},
    )
    limits = Limits(
        timeout_s=timeout_s,
        memory_mb=memory_mb or memory_here() * MEMORY_SHARE / jobs,
        threads=threads,
        device=device,
    )
    files = [Path(plugin) for plugin in plugins]
    registry = Registry(files)
    _check_forced(registry, task, forced)
    result = run_request(
        registry,
        request,
        Path(out or Path("bench-runs") / task),
        _engine(engine, jobs, slurm_options or {}, files, datasets),
        limits,
        display.watch,
        command=command or _call(asked),
        force=forced,
        build=display.build if build_env else None,
    )
    return Run(result.store, result)


def _listed(names: Names | None, kind: str, option: str) -> list[str]:
    """The names as a list; None is none, but an empty list was hardly meant."""
    if names is None:
        return []
    several = [names] if isinstance(names, str | os.PathLike) else list(names)
    if not several:
        raise BenchError(f"no {kind} is named", where=option, fix=f"name one, or leave {option} out")
    return [os.fspath(name) for name in several]


def _call(asked: Mapping[str, Any]) -> list[str]:
    """The call as a command for a shell, without the arguments that are as by default."""
    defaults = inspect.signature(run).parameters
    given = {name: value for name, value in asked.items() if name != "display" and value != defaults[name].default}
    arguments = [f"{name}={_literal(value)}" for name, value in given.items()]
    return ["python", "-c", f"import bench; bench.run({', '.join(arguments)})"]


def _literal(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, str | os.PathLike):
        return json.dumps(os.fspath(value), ensure_ascii=False)
    return repr(value)


def _check_forced(registry: Registry, task: str, forced: Sequence[str]) -> None:
    names = ["all", *registry.methods_for(task), *(control.name for control in registry.task(task).controls)]
    for name in forced:
        if name not in names:
            raise UnknownNameError("method in --force", name, names)


def _engine(
    name: str, jobs: int, options: Mapping[str, str], plugins: Sequence[Path], datasets: Sequence[str]
) -> Engine:
    if name == "local":
        if options:
            raise BenchError("--slurm-option needs --engine slurm", where="--engine local", fix="add --engine slurm")
        return LocalEngine(jobs)
    if name == "slurm":
        if shutil.which("srun") is None:
            raise BenchError("there is no SLURM here (srun is not found)", where="--engine slurm", fix="use local")
        return SlurmEngine(dict(options), plugins, datasets)
    raise BenchError(f"unknown engine {name!r}", where="--engine", fix="give local or slurm")
