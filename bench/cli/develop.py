"""``bench new``, ``bench check`` and ``bench audit``: for those who add methods, tasks or data."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.options import EXTEND, AsJson, Plugins, examples, names
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.dataset import Dataset
    from bench.plan.registry import Registry

MARKS = {"pass": "green", "fail": "red", "leak": "red", "skip": "yellow", "not_applicable": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    new = typer.Typer(help="Write the files of a plugin to start from.", no_args_is_help=True)
    new.command(
        "method", epilog=examples("bench new method my-method", "bench new method my-method --task annotation")
    )(new_method)
    new.command("task", epilog=examples("bench new task my-task"))(new_task)
    app.add_typer(new, name="new", rich_help_panel=EXTEND)
    app.command(
        rich_help_panel=EXTEND,
        epilog=examples("bench check scrublet", "bench check my-method --plugin my_method.py"),
    )(check)
    app.command(
        rich_help_panel=EXTEND,
        epilog=examples("bench audit --task doublet", "bench audit --task doublet --datasets my.h5ad --seeds 3"),
    )(audit)


def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method, lower case.")],
    task: Annotated[str, typer.Option(help="The task it answers.", autocompletion=complete.task)] = "doublet",
    out: Annotated[Path, typer.Option(help="Where to make the package.")] = Path("."),
) -> None:
    """Write a package with one method, its entry point and its conformance test."""
    from bench.develop.scaffold import new_method as scaffold
    from bench.plan.registry import Registry

    registry = Registry()
    asked = registry.task(task)
    _check_new(name, "method", registry.methods)
    _check_new(name, f"control of {task}", [control.name for control in asked.controls])
    files = scaffold(name, asked, out)
    _tell_files(files, f"bench check {name}", f"compare:  bench run --task {task} --methods {name}")


def new_task(
    name: Annotated[str, typer.Argument(help="Name of the task, lower case.")],
    out: Annotated[Path, typer.Option(help="Where to make the package.")] = Path("."),
) -> None:
    """Write a package with one small task, its controls, its entry point and its test."""
    from bench.develop.scaffold import new_task as scaffold
    from bench.plan.registry import Registry

    _check_new(name, "task", Registry().tasks)
    _tell_files(
        scaffold(name, out), f"bench audit --task {name}", f"controls: bench run --task {name} --methods controls"
    )


def _check_new(name: str, kind: str, known: Iterable[str]) -> None:
    if name in known:
        raise BenchError(f"there is a {kind} called {name!r} already", where="NAME", fix="choose another name")


def _tell_files(files: list[Path], check: str, run: str) -> None:
    file, folder = shlex.quote(str(files[0])), shlex.quote(str(files[0].parent))
    for path in files:
        typer.echo(f"wrote {path}")
    typer.echo(f"\ntry it:   {check} --plugin {file}")
    typer.echo(f"{run} --plugin {file}")
    typer.echo(f"install:  pip install -e {folder}")


def check(
    method: Annotated[str, typer.Argument(help="Name of a method.", autocompletion=complete.method)],
    task: Annotated[
        str | None,
        typer.Option(help="Check on this task only. Default: all that it answers.", autocompletion=complete.task),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset to check on. Default: the built-in cohort.", autocompletion=complete.dataset),
    ] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Run the conformance suite on a method: schema, determinism, equivariance, edge cases, time-out."""
    if method.endswith(".py"):
        from bench.cli.mistakes import file_as_method

        raise file_as_method(method, "bench check")
    from bench.cli.live import build_shown
    from bench.develop.conformance import conformance
    from bench.plan.registry import Registry

    registry = Registry(plugin or ())
    entry = registry.method(method)

    def load() -> Dataset:
        return registry.load(dataset or _builtin(registry))

    failed, results = False, []
    for task_name, result in conformance(entry, registry.tasks, load, task=task, build=build_shown):
        failed |= result.status == "fail"
        results.append({"task": task_name} | vars(result))
        if not as_json:
            fix = f"\n  fix:   {result.fix}" if result.fix else ""
            _line(result.status, f"{result.wall_s:6.1f} s  {task_name}: {result.name}", result.detail + fix)
    if as_json:
        typer.echo(json.dumps(results, indent=1))
    else:
        counts = ", ".join(f"{n} {status}" for status, n in Counter(r["status"] for r in results).items())
        wall, cpu = (sum(r[seconds] for r in results) for seconds in ("wall_s", "cpu_s"))
        typer.echo(f"{method}: {counts} in {wall:.1f} s ({cpu:.1f} CPU seconds in the method's processes)")
    if failed:
        raise typer.Exit(1)


def audit(
    task: Annotated[str, typer.Option(help="Task to audit.", autocompletion=complete.task)],
    tracks: Annotated[
        str | None, typer.Option(help="Tracks, comma-separated. Default: all.", autocompletion=complete.tracks)
    ] = None,
    datasets: Annotated[
        str | None,
        typer.Option(help="Datasets or paths. Default: the built-in cohort.", autocompletion=complete.datasets),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of splits and simulations to audit.")] = 1,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Scramble the hidden truth, build the inputs again, and require the same bytes."""
    from bench.develop.leakage_audit import audit as audit_all
    from bench.plan.grid import check_tracks
    from bench.plan.registry import Registry
    from bench.task import Seeds

    registry = Registry(plugin or ())
    audited = registry.task(task)
    check_tracks(audited, names(tracks))
    findings = []
    for seed in range(seeds):
        sources = names(datasets) or [_builtin(registry)]
        for finding in audit_all(registry, audited, names(tracks) or list(audited.tracks), sources, Seeds(seed, seed)):
            findings.append(vars(finding) | {"seed": seed})
            if not as_json:
                _line(finding.status, f"{finding.dataset}/{finding.track} [{seed}] {finding.how}", finding.detail)
    if as_json:
        typer.echo(json.dumps(findings, indent=1))
    if not findings:
        raise BenchError("nothing was audited: no dataset serves these tracks", fix="see bench list datasets")
    if any(finding["status"] == "leak" for finding in findings):
        raise typer.Exit(1)


def _builtin(registry: Registry) -> str:
    return next(name for name, source in registry.datasets.items() if source.card.builtin)


def _line(status: str, text: str, detail: str) -> None:
    typer.echo(f"{typer.style(f'{status:<14}', fg=MARKS[status])} {text}" + (f": {detail}" if detail else ""))
