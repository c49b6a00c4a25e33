"""The command line. Heavy imports live inside the commands: ``bench --help`` must answer at once."""

from __future__ import annotations

import sys
from functools import cache

import typer

from bench import __version__
from bench.errors import BenchError

app = typer.Typer(
    name="bench",
    help="Compare single-nucleus RNA-seq methods on the same cells, by the same rules, the truth hidden from them.",
    epilog="Start with: bench run --task doublet --methods all",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@cache
def with_commands() -> typer.Typer:
    """The application with all its commands."""
    from bench.cli import compare, data, deg, develop, embed, env, pretrain, results, run, show

    for module in (run, show, results, compare, data, deg, pretrain, embed, env, develop):
        module.register(app)
    return app


def main() -> None:
    """Entry point of the ``bench`` command."""
    try:
        with_commands()()
    except BenchError as error:
        _stop(str(error))
    except OSError as error:  # a full disk, a path that cannot be written: nothing a traceback would explain
        if error.strerror is None:
            raise
        fix = "check that the path exists, may be used by you, and that the disk is not full"
        _stop(str(BenchError(error.strerror, where=str(error.filename or _rooms(error)), fix=fix)))


def _rooms(error: OSError) -> str:
    """List where a command writes, and the room there: a write that finds none does not say where it was."""
    import os
    import shutil

    from bench.system import no_space

    if not no_space(error):
        return ""
    places = {os.environ.get("TMPDIR", "/tmp"): "; the variable TMPDIR names another", os.getcwd(): ""}
    free = {place: shutil.disk_usage(place).free / 1e6 for place in places if os.path.isdir(place)}
    return " or ".join(f"{place} ({mb:,.0f} MB free{places[place]})" for place, mb in free.items())


def _stop(message: str) -> None:
    typer.secho("error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(message, err=True)
    sys.exit(2)
