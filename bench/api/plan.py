"""A plan in a file, run task by task; and the plan that a command line means."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from bench.api.result import Run
from bench.api.run import run
from bench.errors import BenchError, UnknownNameError
from bench.plan.file import MethodTable, PlanFile, PlanText, TaskTable, as_toml
from bench.plan.grid import RunRequest, make_plan
from bench.plan.quantities import megabytes, seconds
from bench.plan.registry import Registry
from bench.system import write_atomic


def run_plan(
    file: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    force: Sequence[str] = (),
    **options: Any,
) -> Iterator[Run]:
    """Run the tasks of a plan one after the other, once all of them have been found to be possible.

    Parameters
    ----------
    file
        TOML, as docs/plan.md says. What it names by path is relative to its own folder.
    out
        Run folder of all tasks. Default: the plan's, or ``bench-runs/`` and the name of the file.
    force
        As in :func:`bench.run`; a method counts for the tasks that it answers.
    **options
        Of :func:`bench.run`, those that say how and not what is run: ``jobs``, ``engine``, ``display``, ...

    Yields
    ------
    What each task came to.

    Raises
    ------
    bench.errors.BenchError
        If the file is wrong or names what there is not: with the line.
    """
    text = PlanText(Path(file))
    folder, plan = text.path.parent, text.plan
    plugins = [_found(folder, plugin) for plugin in plan.plugins]
    registry = Registry([Path(plugin) for plugin in plugins])
    asked = [_arguments(registry, task, folder, text, i) for i, task in enumerate(plan.task)]
    known = [
        {"all", *registry.methods_for(t.name), *(c.name for c in registry.task(t.name).controls)} for t in plan.task
    ]
    for name in force:
        if not any(name in names for names in known):
            raise UnknownNameError("method in --force", name, set().union(*known))
    place = out or (folder / plan.out if plan.out else Path("bench-runs") / text.path.stem)
    for arguments, names in zip(asked, known, strict=True):
        yield run(**arguments, out=place, plugins=plugins, force=[n for n in force if n in names], **options)


def _arguments(registry: Registry, task: TaskTable, folder: Path, text: PlanText, i: int) -> dict[str, Any]:
    """Return the arguments of :func:`bench.run` for a task, which must be possible."""
    named = set(registry.datasets)
    try:
        params = {
            method.name: _params(registry, method, folder) for method in task.methods if method.preset or method.params
        }
        request = RunRequest(
            task=task.name,
            tracks=task.tracks,
            methods=[method.name for method in task.methods],
            datasets=[name if name in named else _found(folder, name) for name in task.datasets],
            split_seeds=task.split_seeds,
            simulation_seeds=task.sim_seeds,
            method_seeds=task.seeds,
            params=params,
        )
        for unreadable in make_plan(registry, request).unreadable.values():
            raise unreadable
    except BenchError as error:
        word = error.name if isinstance(error, UnknownNameError) else Path(error.where).name
        error.where = "; ".join(filter(None, [text.where(i, *filter(None, [word])), error.where]))
        raise
    return {
        "task": task.name,
        "tracks": task.tracks or None,
        "methods": request.methods,
        "datasets": request.datasets or None,
        "seeds": task.seeds,
        "split_seeds": task.split_seeds,
        "sim_seeds": task.sim_seeds,
        "params": params,
        "threads": task.threads,
        "timeout_s": seconds(task.timeout),
        "memory_mb": megabytes(task.memory),
        "device": task.device,
    }


def _params(registry: Registry, method: MethodTable, folder: Path) -> dict[str, Any]:
    """Parameters of a method, its preset's among them; those that are files are looked for beside the plan."""
    cls = registry.method(method.name).value
    if method.preset is not None and method.preset not in cls.presets:
        raise UnknownNameError(f"preset of {method.name}", method.preset, cls.presets)
    given = {**cls.presets.get(method.preset or "", {}), **method.params}
    return {name: _found(folder, str(v)) if name in cls.files and v else v for name, v in given.items()}


def _found(folder: Path, name: str) -> str:
    """A file, which is beside the plan, by its path from here; any other name as it is."""
    path = folder / Path(name).expanduser()
    is_path = path.exists() or "/" in name or path.suffix
    return str(path) if is_path and "://" not in name else name


def write_plan(
    file: Path,
    task: str,
    *,
    out: Path | None = None,
    timeout: str = "1h",
    memory: str | None = None,
    threads: int = 1,
    device: str = "cpu",
    plugins: Sequence[Path] = (),
    methods: Sequence[str] = ("all",),
    **asked: Any,
) -> None:
    """Write what a request means today as a plan: every track, method and dataset by its name. Nothing runs.

    Parameters as of :func:`bench.run`; ``timeout`` and ``memory`` as a plan has them.
    """
    registry = Registry(plugins)
    named = set(registry.datasets)
    request = RunRequest(task=task, methods=methods, **asked)
    planned = make_plan(registry, request)
    near = file.absolute().parent

    def beside(path: object) -> str:
        return os.path.relpath(Path(str(path)).absolute(), near)

    def method(name: str) -> MethodTable:
        cls, params = registry.method(name).value, request.params.get(name, {})
        return MethodTable(
            name=name,
            preset=request.preset if request.preset in cls.presets else None,
            params={n: beside(v) if n in cls.files and v else v for n, v in params.items()},
        )

    table = TaskTable(
        name=task,
        tracks=list(request.tracks) or [name for name, track in planned.task.tracks.items() if track.default],
        methods=[method(name) for name in planned.methods] or [MethodTable(name="controls")],
        datasets=[n if n in named else beside(n) for n in request.datasets] or list(planned.datasets),
        seeds=request.method_seeds,
        split_seeds=request.split_seeds,
        sim_seeds=request.simulation_seeds,
        threads=threads,
        timeout=timeout,
        memory=memory,
        device=cast("Any", device),
    )
    plan = PlanFile(out=beside(out) if out else None, plugins=[beside(plugin) for plugin in plugins], task=[table])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, as_toml(plan).encode())
