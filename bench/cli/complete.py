"""Names that a shell completes: of tasks, tracks, methods, datasets and presets, and files of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.plan.registry import Registry

_DATA = (".h5ad", ".h5", ".zarr")

Names = Callable[["Registry", typer.Context, str], Iterable[str]]


def _completer(names: Names, *, several: bool = False) -> Callable[[typer.Context, str], list[str]]:
    """Complete one name, or the last of several with commas between."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from bench.plan.registry import Registry

        head, comma, last = incomplete.rpartition(",") if several else ("", "", incomplete)
        with suppress(BenchError):  # of a plugin or a library that cannot be read; a shell shows nothing
            registry = Registry([path for path in ctx.params.get("plugin") or () if Path(path).is_file()])
            taken = head.split(",")
            fitting = [n for n in names(registry, ctx, last) if n.startswith(last) and n not in taken]
            return [f"{head}{comma}{name}" for name in fitting]
        return []

    return complete


def _methods(registry: Registry, ctx: typer.Context, _: str) -> Iterable[str]:
    task = ctx.params.get("task")
    return [*(registry.methods_for(task) if task else registry.methods), "all", "controls"]


def _tracks(registry: Registry, ctx: typer.Context, _: str) -> Iterable[str]:
    task = registry.tasks.get(ctx.params.get("task") or "")
    return task.value.tracks if task else ()


def _presets(registry: Registry, ctx: typer.Context, _: str) -> Iterable[str]:
    task = ctx.params.get("task")
    return sorted({p for e in registry.methods.values() if task in (None, *e.value.tasks) for p in e.value.presets})


def _datasets(registry: Registry, _: typer.Context, incomplete: str) -> Iterator[str]:
    """Names, and files in the folder that is typed; where none fits, a shell completes paths itself."""
    yield from registry.datasets
    folder, slash, _rest = incomplete.rpartition("/")
    place = Path(f"{folder}{slash}").expanduser()
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.suffix in _DATA:
            yield f"{folder}{slash}{path.name}"


def _any_name(registry: Registry, *_: object) -> Iterable[str]:
    return [*registry.tasks, *registry.methods, *registry.datasets]


task = _completer(lambda registry, *_: registry.tasks)
tracks = _completer(_tracks, several=True)
method = _completer(lambda registry, *_: registry.methods)
methods = _completer(_methods, several=True)
presets_of = _completer(_presets)
dataset = _completer(_datasets)
datasets = _completer(_datasets, several=True)
any_name = _completer(_any_name)
