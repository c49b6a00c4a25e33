"""Wrong commands, and the right one to give next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from bench.errors import BenchError, close_to, did_you_mean

#: What click raises where a command line cannot be read.
UsageError: Any = typer.BadParameter.__mro__[1]

_DATA = (".h5ad", ".h5", ".zarr")
#: Options whose values have cards.
_NAMED = ("--task", "--methods", "--datasets")


def unusable(error: Any, root: Any) -> BenchError:
    """Mistakes that click finds in a command line, said as our own errors are, and what to do.

    Parameters
    ----------
    error
        A ``UsageError``.
    root
        The command ``bench``.
    """
    command = error.ctx.command_path if error.ctx else "bench"
    fix = f"see {command} --help"
    if name := getattr(error, "option_name", ""):
        near = close_to(name, {o for p in error.ctx.command.params for o in p.opts})
        others = [path for path, options in _options(root).items() if name in options]
        if others and name not in near:
            fix = f"{name} is an option of {' and '.join(others[:3])}: see {others[0]} --help"
        elif near:
            fix = did_you_mean(near)
        return BenchError(f"{command} has no option {name}", where=command, fix=fix)
    if command == "bench deg" and (data := error.ctx.params.get("data")):
        fix = f"name a column of {data}: {', '.join(_registry().dataset(data).obs_columns())}"
    return BenchError(error.format_message().removesuffix("."), where=command, fix=fix)


def no_such_command(words: Sequence[str], root: Any) -> BenchError:
    """``bench WORD``, where the word is no command but a task, a method, a file, ..."""
    word = words[0]
    deeper = [path for path in _options(root) if path.split()[-1] == word]
    if deeper:
        fix = shlex.join([*deeper[0].split(), *words[1:]])
    elif (Path(word) / "run.json").exists():
        fix = shlex.join(["bench", "report", word])
    elif option := _option_of(word):
        look = ["bench", *(("data", "add") if _is_data(word) else ("describe",)), word]
        fix = shlex.join(_run_of([word])) + (f", or {shlex.join(look)}" if option in _NAMED else "")
    else:
        fix = did_you_mean(close) if (close := close_to(word, root.commands)) else "see bench --help"
    return BenchError(f"there is no command {word!r}", where="bench", fix=fix)


#: Options that a plan says itself, and the one that writes one.
_PLANNED = (
    "tracks methods datasets preset set_ seeds split_seeds sim_seeds plugin threads timeout memory device".split()
)
_PLANNED += ["task", "write_plan"]


def refuse_mistakes(ctx: Any, task: str | None, plan: Path | None, methods: Sequence[str]) -> None:
    """Answer what is often given in place of an option of ``bench run``, and beside a plan what it says itself."""
    if ctx.args:
        raise stray(ctx.args, sys.argv[2:])
    if plan is not None:
        given = [
            p for p in ctx.command.params if getattr(ctx.get_parameter_source(p.name), "name", "") == "COMMANDLINE"
        ]
        if beside := [p.opts[0] for p in given if p.name in _PLANNED]:
            fix = f"write it in {plan}, or leave --plan out"
            raise BenchError(f"{beside[0]} is for the plan to say", where=f"--plan {plan}", fix=fix)
    elif task is None:
        raise no_task()
    for name in methods:
        if name.endswith(".py"):
            raise file_as_method(name, f"bench run --task {task} --methods")


def stray(words: Sequence[str], given: Sequence[str]) -> BenchError:
    """``bench run ... WORD``: a run takes everything by options.

    Parameters
    ----------
    words
        That no option asked for.
    given
        All words after ``bench run``.
    """
    fix = shlex.join(_run_of(words, [word for word in given if word not in words]))
    return BenchError(f"bench run takes no {shlex.join(words)}", where="a run takes everything by options", fix=fix)


def no_task() -> BenchError:
    """``bench run`` without a task."""
    tasks = sorted(_registry().tasks)
    fix = f"name one of {', '.join(tasks)}, such as: bench run --task {tasks[0]}"
    return BenchError("no task is named", where="--task", fix=fix)


def file_as_method(file: str, command: str) -> BenchError:
    """The file of a plugin in place of the name of a method in it."""
    from bench.plan.registry import Registry

    path, names = Path(file), []
    if path.is_file():
        methods = Registry([path]).methods
        names = [name for name, entry in methods.items() if entry.locator.get("file") == str(path.resolve())]
    fix = f"{command} {','.join(names) or 'NAME'} --plugin {shlex.quote(file)}"
    return BenchError(f"{file!r} is a file, not the name of a method", where=command, fix=fix)


def _run_of(words: Sequence[str], given: Sequence[str] = ()) -> list[str]:
    """A run with these words where they belong."""
    command = ["bench", "run", *given]
    named = [word for option in ("--task", "--plan") for word in words if _option_of(word) == option]
    if not named and not {"--task", "--plan"} & {word.partition("=")[0] for word in given}:
        command += ["--task", "TASK"]
    by_option: dict[str, list[str]] = {}
    for word in words:
        by_option.setdefault(_option_of(word) or "--datasets", []).append(word)
    for option, values in by_option.items():
        command += [option, ",".join(values)]
    return command


def _option_of(word: str) -> str:
    """The option of ``bench run`` that a word is a value of; empty if it is none that we know."""
    if word.endswith((".toml", ".py")):
        return "--plan" if word.endswith(".toml") else "--plugin"
    registry = _registry()
    kinds = {"--task": registry.tasks, "--methods": [*registry.methods, "all"], "--datasets": registry.datasets}
    return next((option for option, names in kinds.items() if word in names), "--datasets" if _is_data(word) else "")


def _is_data(word: str) -> bool:
    return word.endswith(_DATA) or (Path(word) / "matrix.mtx.gz").exists() or (Path(word) / "matrix.mtx").exists()


def _registry() -> Any:
    from bench.plan.registry import Registry

    return Registry()


def _options(group: Any, path: str = "bench") -> dict[str, set[str]]:
    """Command -> names of its options, of all commands below ``group``."""
    found: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= _options(command, f"{path} {name}")
        elif not command.hidden:
            found[f"{path} {name}"] = {option for parameter in command.params for option in parameter.opts}
    return found
