"""Environments that methods bring: declared in a TOML file beside the method, kept in the user's cache.

The file lists variants, best first; the first whose interpreter is on this machine is used::

    [[variant]]
    python = "3.8"
    requirements = ["numpy==1.19.5", ...]    # all of them, as `pip freeze` writes them; or "./a-wheel-beside-it.whl"
"""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import re
import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from bench.environments.interpreters import Interpreter, find_python
from bench.errors import BenchError, UnavailableError, UnknownNameError
from bench.method import Method
from bench.system import cache_dir

#: File of an environment that is whole: when it was built, and of what. Who uses the environment holds a lock on it.
FACTS = "environment.json"


@dataclass(frozen=True)
class Variant:
    """One way to make an environment.

    Parameters
    ----------
    python
        Version of the interpreter, such as ``3.8``.
    requirements
        Every distribution to install, pinned, or a file beside the TOML (``./name.whl``). Nothing else is installed.
    """

    python: str
    requirements: tuple[str, ...]

    @property
    def local(self) -> list[str]:
        """Files beside the TOML that are part of it."""
        return [name for name in self.requirements if name.startswith("./")]


@dataclass(frozen=True)
class Environment:
    """The variant that this machine can have.

    Parameters
    ----------
    method
        Name of the method it was asked for.
    declared
        The TOML file.
    digest
        sha256 over the variant, the files it names, the version of Python, and the platform.
    """

    method: str
    declared: Path
    variant: Variant
    interpreter: Interpreter
    digest: str

    @property
    def name(self) -> str:
        """Short digest: the name of its folder, and what rows of results say."""
        return self.digest[:16]

    @property
    def folder(self) -> Path:
        """Folder of the environment, once it is built."""
        return environments_dir() / self.name

    @property
    def python(self) -> Path:
        """Its interpreter, once it is built."""
        return self.folder / "bin" / "python"

    @property
    def is_built(self) -> bool:
        """Return whether it is there, whole, and the interpreter it was made from still is."""
        return (self.folder / FACTS).exists() and self.python.exists()

    @property
    def summary(self) -> str:
        """Content of the environment in a few words."""
        return f"Python {self.interpreter.version}, {len(self.variant.requirements)} packages"

    @property
    def lock(self) -> list[str]:
        """The exact content, a line each."""
        return [f"python=={self.interpreter.version}", *self.variant.requirements]

    def version(self, distribution: str) -> str:
        """Version of a distribution of the lock, or an empty string."""
        normalised = distribution.lower().replace("_", "-")
        for line in self.variant.requirements:
            name, _, version = line.partition("==")
            if name.strip().lower().replace("_", "-") == normalised:
                return version.strip()
        return ""


def environments_dir() -> Path:
    """Folder of all environments."""
    return cache_dir() / "environments"


def declared_file(method: type[Method]) -> Path | None:
    """The TOML that a method names: beside the class that names it, which a subclass elsewhere inherits."""
    if not method.environment:
        return None
    namer = next(cls for cls in method.__mro__ if "environment" in vars(cls))
    return Path(inspect.getfile(namer)).resolve().parent / method.environment


def environment_of(method: type[Method]) -> Environment | None:
    """The environment of a method on this machine; None if it declares none.

    Raises
    ------
    UnavailableError
        If no variant's interpreter is here.
    BenchError
        If the file is missing or not as it must be.
    """
    file = declared_file(method)
    if file is None:
        return None
    variants = read_variants(file)
    for variant in variants:
        if interpreter := find_python(variant.python):
            return Environment(method.name, file, variant, interpreter, _digest(file, variant, interpreter))
    versions = " or ".join(variant.python for variant in variants)
    raise UnavailableError(f"no Python {versions} on PATH, in pyenv or in uv (uv python install {variants[0].python})")


def read_variants(file: Path) -> list[Variant]:
    """The variants that a TOML file lists.

    Raises
    ------
    BenchError
        If it cannot be read or lists something that could not be built the same way twice.
    """
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise BenchError(
            "there is no such environment file", where=str(file), fix="put it beside the method's file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"not a TOML file: {error}", where=str(file), fix="repair it") from error
    entries = content.get("variant", [])
    if not entries or not isinstance(entries, list):
        raise BenchError("no variant is listed", where=str(file), fix="write [[variant]] and what it holds below it")
    return [_variant(entry, file) for entry in entries]


def _variant(entry: dict[str, Any], file: Path) -> Variant:
    keys = list(Variant.__dataclass_fields__)
    for key, value in entry.items():
        if key not in keys:
            raise UnknownNameError("key of a variant", key, keys, where=str(file))
        if key == "python" and not (isinstance(value, str) and re.fullmatch(r"3\.\d+", value)):
            raise BenchError(f"python = {value!r} is not a version", where=str(file), fix='write python = "3.8"')
        if key != "python" and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise BenchError(f"{key} is not a list of strings", where=str(file), fix=f'write {key} = ["..."]')
    if not (entry.get("python") and entry.get("requirements")):
        raise BenchError(
            "a variant lacks its Python or its packages", where=str(file), fix="give python and requirements"
        )
    variant = Variant(entry["python"], tuple(entry["requirements"]))
    for line in variant.requirements:
        if not line.startswith("./") and not _is_pinned(line):
            raise BenchError(
                f"{line!r} is not pinned",
                where=str(file),
                fix="write name==version for every package, as `pip freeze` does in an environment that works",
            )
    for name in variant.local:
        if not (file.parent / name).is_file():
            raise BenchError(f"there is no file {name}", where=str(file), fix="put it beside this file")
    return variant


def _is_pinned(line: str) -> bool:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return False
    pins = [pin for pin in requirement.specifier if pin.operator == "==" and not pin.version.endswith("*")]
    return requirement.url is not None or len(pins) == 1


def _digest(file: Path, variant: Variant, interpreter: Interpreter) -> str:
    content: list[Any] = [asdict(variant), interpreter.version, sys.platform, platform.machine()]
    content += [hashlib.sha256((file.parent / name).read_bytes()).hexdigest() for name in variant.local]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
