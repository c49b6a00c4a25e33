"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import BenchError, UnavailableError

PLUGIN = "A Python file with methods or tasks of your own, as often as you like."
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help=PLUGIN, metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]

#: Panels of ``bench --help``.
RUNS, LOOK, DATA, MODELS, EXTEND = "Compare methods", "Look around", "Data", "Models", "Add methods of your own"


def examples(*commands: str) -> str:
    """The last lines of a command's help, each a paragraph of Markdown."""
    return "\n\n".join(f"Example: {command}" for command in commands)


def names(text: str | list[str] | None) -> list[str]:
    """``"a, b"`` as ``["a", "b"]``; of an option that is given several times, all of them."""
    given = text if isinstance(text, list) else [text or ""]
    return [name.strip() for part in given for name in part.split(",") if name.strip()]


def sbatch_options(items: list[str] | None) -> dict[str, str]:
    """``["partition=short"]`` as ``{"slurm_partition": "short"}``, as submitit names them."""
    for item in items or []:
        if not re.fullmatch(r"[A-Za-z_][\w-]*=.+", item):
            raise BenchError(f"{item!r} is not an option for sbatch", where="--slurm-option", fix="write NAME=VALUE")
    pairs = (item.split("=", 1) for item in items or [])
    return {f"slurm_{name.replace('-', '_')}": value for name, value in pairs}


def assignments(items: list[str] | None) -> dict[str, dict[str, Any]]:
    """``["solo.max_epochs=50"]`` as ``{"solo": {"max_epochs": 50}}``; values are JSON, or else plain text."""
    by_name: dict[str, dict[str, Any]] = {}
    for item in items or []:
        match = re.fullmatch(r"([^.=]+)\.([^=]+)=(.*)", item)
        if not match:
            raise BenchError(f"{item!r} is not an assignment", where="--set", fix="write METHOD.PARAMETER=VALUE")
        by_name.setdefault(match[1], {})[match[2]] = _value(match[3])
    return by_name


def settings(items: list[str] | None) -> dict[str, Any]:
    """``["d_model=8"]`` as ``{"d_model": 8}``; values are JSON, or else plain text."""
    for item in items or []:
        if not re.fullmatch(r"[^=]+=.*", item):
            raise BenchError(f"{item!r} is not an assignment", where="--set", fix="write SETTING=VALUE")
    return {name: _value(text) for name, text in (item.split("=", 1) for item in items or [])}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def need(*packages: str, extra: str, command: str) -> None:
    """Refuse a command whose packages are not there, with the extra that brings them."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"{' and '.join(missing)} must be installed for this",
            where=command,
            fix=f"pip install 'scmamba-bench[{extra}]'",
        )
