"""The command line. Heavy imports live inside the commands: ``bench --help`` must answer at once."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import typer
import typer.core

from bench import __version__
from bench.errors import BenchError


class Commands(typer.core.TyperGroup):
    """The commands of ``bench``; a word that is none of them is answered with the command that may have been meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names."""
        if args and args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            from bench.cli.mistakes import no_such_command

            raise no_such_command(args, self)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="bench",
    cls=Commands,
    help="Compare single-nucleus RNA-seq methods on the same cells, by the same rules, the truth hidden from them.",
    epilog="Start with: bench run --task doublet\n\nCompletion of names: bench --install-completion",
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
    from bench.cli import compare, data, deg, develop, embed, env, import_checkpoint, pretrain, results, run, show

    for module in (run, show, results, compare, data, deg, pretrain, import_checkpoint, embed, env, develop):
        module.register(app)
    return app


#: Types as the help shows them.
_SHORT: dict[object, str] = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH", list[str]: "TEXT"}


@cache
def _command() -> Any:
    """The same as typer's command, in whose help types are short: the width is for what an option does."""
    command: Any = typer.main.get_command(with_commands())
    groups = [command]
    while groups:
        for each in groups.pop().commands.values():
            groups += [each] if hasattr(each, "commands") else []
            for parameter in each.params:
                kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
                if parameter.param_type_name == "option" and parameter.metavar is None and kind in _SHORT:
                    parameter.metavar = _SHORT[kind]
    return command


def main() -> None:
    """Entry point of the ``bench`` command."""
    try:
        code = _command()(prog_name="bench", standalone_mode=False)
    except typer.Abort:
        sys.exit(1)
    except BenchError as error:
        _stop(str(error))
    except OSError as error:  # a full disk, a path that cannot be written: nothing a traceback would explain
        if error.strerror is None:
            raise
        fix = "check that the path exists, may be used by you, and that the disk is not full"
        _stop(str(BenchError(error.strerror, where=str(error.filename or _rooms(error)), fix=fix)))
    except Exception as error:
        from bench.cli.mistakes import UsageError, unusable

        if not isinstance(error, UsageError):
            raise
        if type(error).__name__ != "NoArgsIsHelpError":  # the help is on the screen already
            _stop(str(unusable(error, _command())))
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


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
