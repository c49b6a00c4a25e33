"""``bench new``: a package with one method or one task, its entry point and its test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from bench.errors import BenchError
from bench.task import Task


def new_method(name: str, task: Task, parent: Path) -> list[Path]:
    """Write a plugin package for a method.

    Parameters
    ----------
    name
        Name of the method on the command line.
    task
        What it answers: it begins with a trivial answer of the kind that the task asks for.
    parent
        Folder in which the package ``bench-NAME`` is made.

    Raises
    ------
    BenchError
        If the name is unusable, the folder exists, or there is no template for the task's first output.
    """
    kind = task.outputs[0].kind
    if not _template(f"{kind}.py.txt").is_file():
        raise BenchError(f"there is no template for a {kind}", where=task.name, fix="see docs/add-a-method.md")
    body = _template(f"{kind}.py.txt").read_text().rstrip()
    return _write("method", name, parent, {"task": task.name, "body": body})


def new_task(name: str, parent: Path) -> list[Path]:
    """Write a plugin package for a task, which begins as a small one on any dataset.

    Parameters
    ----------
    name
        Name of the task on the command line.
    parent
        Folder in which the package ``bench-NAME`` is made.

    Raises
    ------
    BenchError
        If the name is unusable or the folder exists.
    """
    return _write("task", name, parent, {})


def _template(name: str) -> resources.abc.Traversable:
    return resources.files("bench.cli").joinpath("templates", name)


def _write(kind: str, name: str, parent: Path, more: Mapping[str, str]) -> list[Path]:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise BenchError(f"{name!r} is not a usable name", where="NAME", fix="use lower-case letters, digits and -")
    folder = parent / f"bench-{name}"
    if folder.exists():
        raise BenchError("the folder exists already", where=str(folder), fix="choose another name or remove it")
    words = {
        "kind": kind,
        "name": name,
        "title": name,
        "module": f"bench_{name.replace('-', '_')}",
        "package": f"bench-{name}",
        "cls": "".join(part.capitalize() for part in name.split("-")),
        **more,
    }
    templates = {
        "{module}.py": f"{kind}.py.txt",
        "pyproject.toml": "pyproject.toml.txt",
        "tests/test_{module}.py": f"{kind}_test.py.txt",
    }
    files = []
    for target, template in templates.items():
        file = folder / target.format(**words)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_template(template).read_text().format(**words))
        files.append(file)
    return files
