"""``bench list``, ``bench describe`` and ``bench doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import complete
from bench.cli.options import LOOK, AsJson, Plugins, examples
from bench.errors import BenchError, UnavailableError, UnknownNameError
from bench.words import ROLES

if TYPE_CHECKING:
    from bench.method import Method
    from bench.plan.registry import Registry

KINDS = ("tasks", "methods", "datasets")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "list", rich_help_panel=LOOK, epilog=examples("bench list", "bench list datasets", "bench list methods --json")
    )(list_)
    app.command(
        rich_help_panel=LOOK,
        epilog=examples("bench describe doublet", "bench describe doubletfinder", "bench describe my.h5ad"),
    )(describe)
    app.command(rich_help_panel=LOOK, epilog=examples("bench doctor"))(doctor)


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="tasks, methods or datasets. Default: all three.", autocompletion=lambda: list(KINDS)),
    ] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List what is registered, and whether it can run here."""
    from bench.plan.registry import Registry

    registry = Registry(plugin or ())
    if kind is not None and kind not in KINDS:
        if kind in registry.tasks or kind in registry.methods or kind in registry.datasets:
            raise BenchError(f"{kind!r} is no kind of thing", where="bench list", fix=f"bench describe {kind}")
        raise UnknownNameError("kind", kind, KINDS)
    tables = {k: _ROWS[k](registry) for k in KINDS if kind in (None, k)}
    if as_json:
        typer.echo(json.dumps(tables[kind] if kind else tables, indent=1))
        return
    for name, rows in tables.items():
        _print_rows(name, rows)


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    """Names whole, so that they can be copied; the summary below its row, so that it has the width of the terminal."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    headings = _COLUMNS[title]
    table = [headings, *(tuple(_as_text(row[heading]) for heading in headings) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    console.print(Text(title, style="bold"))
    for i, line in enumerate(table):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        console.print(Text(text.rstrip(), style="" if i else "dim"), soft_wrap=True)
        if i:
            console.print(Padding(Text(rows[i - 1]["summary"], style="dim"), (0, 0, 0, 4)))
    console.print()


def describe(
    name: Annotated[str, typer.Argument(help="Task, method or dataset, or a file.", autocompletion=complete.any_name)],
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Print the card of a task, method or dataset."""
    from bench.environments.availability import why_unavailable
    from bench.plan.cards import data_card, method_card, task_card
    from bench.plan.registry import Registry

    registry = Registry(plugin or ())
    if name in registry.tasks:
        task = registry.task(name)
        card = task_card(task).model_dump() | {"outputs": [asdict(output) for output in task.outputs]}
        card["controls"] = [{"name": c.name, "role": c.role, "summary": c.summary} for c in task.controls]
    elif name in registry.methods:
        entry = registry.methods[name]
        card = method_card(entry).model_dump()
        card |= {"unavailable": why_unavailable(entry.value), "environment_state": _environment_state(entry.value)}
        card |= {"origin": entry.origin, "parameters": entry.value.defaults(), "presets": dict(entry.value.presets)}
    elif name in registry.datasets or "/" in name or "." in name:
        card = data_card(registry.dataset(name).card).model_dump()
    else:
        raise UnknownNameError("name", name, [*registry.tasks, *registry.methods, *registry.datasets])
    if as_json:
        typer.echo(json.dumps(card, indent=1))
        return
    if "parameters" in card:
        card = _to_read(card)
    for control in card.get("controls", ()):
        control["role"] = ROLES[control["role"]]
    for key, value in card.items():
        if value not in ("", None, [], {}):
            typer.echo(f"{typer.style(key, bold=True)}: {_as_text(value)}")


def _to_read(card: dict[str, Any]) -> dict[str, Any]:
    """A method's card as people read it: its environment in a line, parameters as the command line takes them."""
    environment, summary, state = (card.pop(f"environment{part}") for part in ("", "_summary", "_state"))
    text = f"{summary}; {state} ({environment}, packages: --json)" if environment else state
    card |= {"environment": text, "environment_lock": []}
    card["licence"] = card["licence"] or "none stated"
    card["citation"] = f"\n{citation}" if (citation := card.pop("citation")) else ""
    card["parameters"] = _assigned(card["parameters"])
    card["presets"] = [f"{name} ({', '.join(_assigned(preset))})" for name, preset in card["presets"].items()]
    return card


def _assigned(params: dict[str, Any]) -> list[str]:
    return [
        f"{name}={value if value and isinstance(value, str) else json.dumps(value)}" for name, value in params.items()
    ]


def doctor(plugin: Plugins = None, as_json: AsJson = False) -> None:
    """Say what is missing for which method, and the command that installs it."""
    from bench.environments.availability import missing
    from bench.environments.doctor import machine
    from bench.environments.installed import installed_version
    from bench.plan.registry import Registry

    registry = Registry(plugin or ())
    lacking = {name: missing(entry.value) for name, entry in registry.methods.items()}
    environments = {n: state for n, entry in registry.methods.items() if (state := _environment_state(entry.value))}
    facts = machine()
    if as_json:
        methods = {n: [{"name": r.name, "install": r.install} for r in rs] for n, rs in lacking.items()}
        typer.echo(json.dumps({"machine": facts, "missing": methods, "environments": environments}, indent=1))
        return
    for key, value in facts.items():
        typer.echo(f"{key:<12} {value}")
    typer.echo()
    for name, requirements in lacking.items():
        mark = typer.style("missing" if requirements else "ready  ", fg="yellow" if requirements else "green")
        installed = [f"{r.name} {v}" for r in registry.method(name).value.requires if (v := installed_version(r))]
        typer.echo(f"{mark}  {name}" + (f" ({', '.join(installed)})" if installed else ""))
        for requirement in requirements:
            typer.echo(f"         {requirement.name}: {requirement.install}")
        if environments.get(name) == "not built":
            typer.echo(f"         its environment is not built: bench env build {name} (or bench run does it, once)")


def _task_rows(registry: Registry) -> list[dict[str, Any]]:
    return [
        {"name": name, "version": e.value.version, "tracks": list(e.value.tracks), "summary": e.value.summary}
        for name, e in registry.tasks.items()
    ]


def _method_rows(registry: Registry) -> list[dict[str, Any]]:
    from bench.environments.availability import why_unavailable

    rows = []
    for name, entry in registry.methods.items():
        cls, reason = entry.value, why_unavailable(entry.value)
        rows.append(
            {
                "name": name,
                "tasks": list(cls.tasks),
                "implementation": cls.implementation,
                "available": not reason,
                "environment": _environment_state(cls),
                "supervised": cls.supervised,
                "summary": cls.summary,
                "reference": cls.reference,
                "reason": reason,
                "origin": entry.origin,
            }
        )
    return rows


def _environment_state(method: type[Method]) -> str:
    """Say how it stands with the method's own environment; empty without one."""
    from bench.environments.declaration import environment_of

    try:
        own = environment_of(method)
    except UnavailableError:
        return "no interpreter"
    return "" if own is None else "built" if own.is_built else "not built"


def _dataset_rows(registry: Registry) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "cells": source.card.n_cells,
            "genes": source.card.n_genes,
            "donors": source.card.n_donors,
            "truth": source.card.truth,
            "origin": source.origin,
            "fields": sorted(source.card.fields),
            "summary": source.card.summary,
        }
        for name, source in registry.datasets.items()
    ]


_ROWS = {"tasks": _task_rows, "methods": _method_rows, "datasets": _dataset_rows}
_COLUMNS = {
    "tasks": ("name", "version", "tracks"),
    "methods": ("name", "tasks", "implementation", "available", "environment"),
    "datasets": ("name", "cells", "genes", "donors", "truth", "origin"),
}


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    if isinstance(value, list):
        value = {entry["name"]: {k: v for k, v in entry.items() if k != "name"} for entry in value}
    if isinstance(value, dict):
        return "".join(f"\n  {name}: {_entry(facts)}" for name, facts in value.items())
    return "" if value is None else str(value)


def _entry(facts: object) -> str:
    """A track, metric or the like: its summary, and below it what else is known of it."""
    if not isinstance(facts, dict):
        return _as_text(facts)
    others = [f"{k}: {_as_text(v)}" for k, v in facts.items() if k != "summary" and v not in ("", None)]
    return "\n    ".join(part for part in (facts.get("summary", ""), "; ".join(others)) if part)
