"""``bench new``: a package with one method, its entry point and its test."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from bench.errors import BenchError
from bench.task import Task

#: File in the new package -> template.
_FILES = {
    "{module}.py": "method.py.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "tests/test_{module}.py": "test.py.txt",
}


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
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise BenchError(f"{name!r} is not a usable name", where="NAME", fix="use lower-case letters, digits and -")
    folder = parent / f"bench-{name}"
    if folder.exists():
        raise BenchError("the folder exists already", where=str(folder), fix="choose another name or remove it")
    body = resources.files("bench.cli").joinpath("templates", f"{task.outputs[0].kind}.py.txt")
    if not body.is_file():
        kind = task.outputs[0].kind
        raise BenchError(f"there is no template for a {kind}", where=task.name, fix="see docs/add-a-method.md")
    words = {
        "name": name,
        "task": task.name,
        "body": body.read_text().rstrip(),
        "title": name,
        "module": f"bench_{name.replace('-', '_')}",
        "package": f"bench-{name}",
        "cls": "".join(part.capitalize() for part in name.split("-")),
    }
    files = []
    for target, template in _FILES.items():
        file = folder / target.format(**words)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = resources.files("bench.cli").joinpath("templates", template).read_text()
        file.write_text(text.format(**words))
        files.append(file)
    return files
