"""``bench env``: the environments that some methods bring."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.options import LOOK, AsJson, Plugins, examples
from bench.cli.signals import interrupt
from bench.errors import BenchError, UnavailableError

if TYPE_CHECKING:
    from bench.environments.declaration import Environment
    from bench.plan.registry import Registry

_ROW = "{:<14} {:<15} {:<9} {:<18} {}"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    env = typer.Typer(
        help="Build, list or remove the environments of methods that cannot live beside current packages.",
        no_args_is_help=True,
    )
    env.command("build", epilog=examples("bench env build dca", "bench env build --all"))(build_environments)
    env.command("list", epilog=examples("bench env list"))(list_)
    env.command("clean", epilog=examples("bench env clean", "bench env clean --all"))(clean)
    app.add_typer(env, name="env", rich_help_panel=LOOK)


def build_environments(
    methods: Annotated[
        list[str] | None,
        typer.Argument(help="Names of methods; see `bench env list`.", autocompletion=complete.method),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All methods that bring an environment.")] = False,
    plugin: Plugins = None,
) -> None:
    """Build the environments of methods, where they are not built yet: minutes and gigabytes, once."""
    from bench.cli.live import build_shown
    from bench.environments.declaration import environment_of
    from bench.plan.registry import Registry

    signal.signal(signal.SIGTERM, interrupt)
    registry = Registry(plugin or ())
    names = list(methods or ())
    if all_:
        names = [name for name, entry in registry.methods.items() if entry.value.environment]
    elif not names:
        raise BenchError("no method is named", where="bench env build", fix="name methods, or give --all")
    failed: list[BenchError] = []
    for name in names:
        try:
            environment = environment_of(registry.method(name).value)
            if environment is None:
                typer.echo(f"{name} brings no environment")
            elif environment.is_built:
                typer.echo(f"{name}: built, {environment.folder}")
            else:
                build_shown(environment)
        except UnavailableError as error:
            failed.append(BenchError(f"the environment of {name} cannot be built: {error}", fix="install one of them"))
        except BenchError as error:
            failed.append(error)
        except KeyboardInterrupt:
            typer.echo("interrupted; nothing half-built is left", err=True)
            raise typer.Exit(130) from None
    for failure in failed:
        typer.echo(f"{typer.style('error:', fg='red', bold=True)} {failure}", err=True)
    if failed:
        raise typer.Exit(2)


def list_(plugin: Plugins = None, as_json: AsJson = False) -> None:
    """List which methods bring an environment, whether it is built, its size, and what else lies in the cache."""
    from bench.environments.builder import stored
    from bench.environments.declaration import environments_dir
    from bench.plan.registry import Registry

    by_folder = {entry.folder.name: entry for entry in stored()}
    rows, in_use = [], set()
    for method, environment in _environments(Registry(plugin or ())).items():
        row: dict[str, object] = {"method": method, "environment": "", "state": "no interpreter", "mb": None}
        if isinstance(environment, UnavailableError):
            row["content"] = str(environment)
        else:
            name = environment.name
            row |= {"environment": name, "state": "not built", "content": environment.summary}
            if environment.is_built and name in by_folder:
                row |= {"state": "built", "mb": round(by_folder[name].mb)}
            in_use.add(name)
        rows.append(row)
    for name, entry in by_folder.items():
        if name in in_use:
            continue
        content = "being built now, or left by a build that was killed"
        if entry.method:
            content = f"built for {entry.method}, {entry.built}; no method uses it"
        rows.append({"method": "", "environment": name, "state": "unused", "mb": round(entry.mb), "content": content})
    if as_json:
        typer.echo(json.dumps({"folder": str(environments_dir()), "environments": rows}, indent=1))
        return
    if not rows:
        typer.echo("no method brings an environment")
    else:
        typer.secho(_ROW.format("method", "state", "size", "environment", "content"), dim=True)
    for row in rows:
        size = f"{row['mb']} MB" if row["mb"] is not None else ""
        typer.echo(_ROW.format(row["method"] or "-", row["state"], size, row["environment"], row["content"]))
    typer.echo(f"in {environments_dir()}")
    if any(row["state"] == "not built" for row in rows):
        typer.echo("bench run builds what is not built when it is first needed; bench env build --all does it now")
    if any(row["state"] == "unused" for row in rows):
        typer.echo("bench env clean removes what is unused (name plugins whose environments are to stay: --plugin)")


def clean(
    all_: Annotated[
        bool, typer.Option("--all", help="Remove those of methods too; `bench run` builds them again.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Remove environments that no method uses, and half-built ones; what a run uses at this moment is left."""
    from bench.environments.builder import clean as remove
    from bench.plan.registry import Registry

    environments = _environments(Registry(plugin or ())).values()
    used = [] if all_ else [e.name for e in environments if not isinstance(e, UnavailableError)]
    removed, spared = remove(used)
    for entry in removed:
        typer.echo(f"removed {entry.folder.name} ({entry.method or 'half-built'}, {entry.mb:,.0f} MB)")
    for entry in spared:
        typer.echo(
            f"{entry.folder.name}: {f'({entry.method}) in use by a run' if entry.method else 'being built'}; left"
        )
    if not removed and not spared:
        typer.echo("nothing to remove")


def _environments(registry: Registry) -> dict[str, Environment | UnavailableError]:
    from bench.environments.declaration import environment_of

    by_method: dict[str, Environment | UnavailableError] = {}
    for name, entry in registry.methods.items():
        try:
            environment = environment_of(entry.value)
        except UnavailableError as error:
            by_method[name] = error
        else:
            if environment:
                by_method[name] = environment
    return by_method
