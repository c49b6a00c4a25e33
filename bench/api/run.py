"""``bench.run``: one call from a task's name to scores, which the command line makes too."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.api.dataset import as_dataset
from bench.api.methods import asked, keep
from bench.api.result import Run
from bench.api.watch import LINES, Display
from bench.api.words import python_words
from bench.dataset import DatasetSource
from bench.environments.doctor import memory_mb as memory_here
from bench.environments.doctor import why_no_gpu
from bench.errors import BenchError, UnknownNameError
from bench.execution.engines import LocalEngine, SlurmEngine
from bench.execution.run import run as run_request
from bench.method import Method, params_of
from bench.plan.grid import RunRequest
from bench.plan.registry import Registry
from bench.results.records import Limits

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.execution.run import Engine

    OneMethod: TypeAlias = str | Method | type[Method]
    OneDataset: TypeAlias = str | os.PathLike[str] | AnnData | DatasetSource

#: Share of the memory at hand that all trials running at once may use together.
MEMORY_SHARE = 0.85


def run(
    task: str,
    methods: OneMethod | Sequence[OneMethod] = "all",
    datasets: OneDataset | Sequence[OneDataset] | None = None,
    *,
    tracks: str | Sequence[str] | None = None,
    seeds: int | None = None,
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
        Names, ``"all"`` or ``"controls"``; controls always run. A subclass of :class:`bench.Method` or an object of one
        (with its parameters) is a method too; of one that is defined in a notebook, the source is written to a file,
        with what it uses: you are told where, and the run folder keeps a copy.
    datasets
        Registered names, paths, an AnnData of raw counts, or what :func:`bench.as_dataset` gives, which says what its
        columns mean. Default: the built-in cohort.
    tracks
        Default: the task's usual ones.
    seeds, split_seeds, sim_seeds
        Replicates on each axis; deterministic methods run once. ``seeds`` None: as many as the task takes for a
        dataset of this size, 1 of methods that train long.
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
    arguments = dict(locals())
    with nullcontext() if command else python_words(run):
        several = _listed(methods, "method", "--methods", fix="name methods, or give all or controls")
        data = _listed(datasets, "dataset", "--datasets")
        tracks, forced = _listed(tracks, "track", "--tracks"), _listed(force or None, "method", "--force")
        _check_device(device, engine)
        _check_numbers(
            {"seeds": seeds, "split-seeds": split_seeds, "sim-seeds": sim_seeds, "threads": threads, "jobs": jobs},
            {"timeout": timeout_s, "memory": memory_mb},
        )
        if engine == "slurm" and any(not isinstance(each, str | os.PathLike) for each in data):
            fix = "write it to a file, adata.write_h5ad(FILE), and give the path"
            raise BenchError("SLURM's jobs cannot see cells that are in memory here", where="datasets", fix=fix)
        jobs = jobs or max(1, (os.cpu_count() or 1) // threads)
        files = [Path(plugin) for plugin in plugins]
        chosen = asked(several, Registry(files))
        files += chosen.files
        registry = Registry(files)
        request = RunRequest(
            task=task,
            tracks=tracks,
            methods=chosen.names,
            datasets=[_dataset(registry, each) for each in data],
            split_seeds=split_seeds,
            simulation_seeds=sim_seeds,
            method_seeds=seeds,
            preset=preset,
            params={
                name: {**chosen.params.get(name, {}), **(params or {}).get(name, {})}
                for name in [*chosen.params, *(params or {})]
            },
        )
        limits = Limits(
            timeout_s=timeout_s,
            memory_mb=memory_mb or memory_here() * MEMORY_SHARE / jobs,
            threads=threads,
            device=device,
        )
        _check_forced(registry, task, forced)
        for line in chosen.written.values():
            display.say(line)
        result = run_request(
            registry,
            request,
            Path(out or Path("bench-runs") / task),
            _engine(engine, jobs, slurm_options or {}, files, request.datasets),
            limits,
            display.watch,
            command=command or _call(arguments),
            force=forced,
            build=display.build if build_env else None,
        )
        if result.store.is_writable:
            for file in chosen.written:
                keep(file, result.store.root / "methods")
        return Run.of(result)


def _check_device(device: str, engine: str) -> None:
    if device not in {"cpu", "cuda"}:
        raise BenchError(f"unknown device {device!r}", where="--device", fix="give cpu or cuda")
    if device == "cuda" and engine == "local" and (reason := why_no_gpu()):
        raise BenchError(reason, where="--device cuda", fix="leave --device out, or run where PyTorch sees a GPU")


def _check_numbers(counts: Mapping[str, int | None], limits: Mapping[str, float | None]) -> None:
    for name, n in counts.items():
        if n is not None and (not isinstance(n, Integral) or n < 1):
            raise BenchError(f"{n!r} is no number of {name}", where=f"--{name}", fix="give 1 or more")
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise BenchError(f"{limit!r} is no {name}", where=f"--{name}", fix="give more than 0, or leave it out")


def _listed(given: Any, kind: str, option: str, fix: str = "") -> list[Any]:
    """Return the values that were given as a list; None is none, but an empty list was hardly meant."""
    if given is None:
        return []
    several = list(given) if isinstance(given, Sequence | set) and not isinstance(given, str) else [given]
    if not several:
        raise BenchError(f"no {kind} is named", where=option, fix=fix or f"name one, or leave {option} out")
    return several


def _dataset(registry: Registry, data: OneDataset) -> str:
    """Name or path under which the registry finds a dataset."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    source = data if isinstance(data, DatasetSource) else as_dataset(data)
    registry.add(source, "datasets", fix="give it another name: bench.as_dataset(data, name=...)")
    return source.card.name


def _call(arguments: Mapping[str, Any]) -> list[str]:
    """The call as a command for a shell, without the arguments that are as by default."""
    defaults = inspect.signature(run).parameters
    given = {n: v for n, v in arguments.items() if n != "display" and not _is(v, defaults[n].default)}
    texts = [f"{name}={_literal(value)}" for name, value in given.items()]
    return ["python", "-c", f"import bench; bench.run({', '.join(texts)})"]


def _is(value: object, default: object) -> bool:
    """Return whether an argument is as by default; an AnnData must not be asked whether it equals something."""
    return value is default or (isinstance(value, type(default)) and value == default)


def _literal(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if inspect.isclass(value):
        return value.__name__
    if isinstance(value, Method):
        return f"{type(value).__name__}({', '.join(f'{n}={_literal(v)}' for n, v in params_of(value).items())})"
    if isinstance(value, DatasetSource):
        return f"<{value.card.name}>"
    if isinstance(value, str | os.PathLike):
        return json.dumps(os.fspath(value), ensure_ascii=False)
    return repr(value) if isinstance(value, int | float | None) else f"<{type(value).__name__}>"


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
            raise BenchError("options of SLURM need its engine", where="--engine", fix="give slurm, or leave them out")
        return LocalEngine(jobs)
    if name == "slurm":
        if shutil.which("srun") is None:
            raise BenchError("there is no SLURM here (srun is not found)", where="--engine slurm", fix="use local")
        return SlurmEngine(dict(options), plugins, datasets)
    raise BenchError(f"unknown engine {name!r}", where="--engine", fix="give local or slurm")
