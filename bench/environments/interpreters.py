"""Python interpreters of other versions that this machine already has: on PATH, of pyenv, of uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.system import clean_env

#: Asks an interpreter for its version, if it can make environments: Debian's may come without ensurepip.
_PROBE = "import sys, {}; print('.'.join(map(str, sys.version_info[:3])))"


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs, and its full version."""

    path: Path
    version: str


@cache
def find_python(version: str) -> Interpreter | None:
    """An interpreter of ``version`` (``3.8``), or None."""
    probe = _PROBE.format("venv" if shutil.which("uv") else "ensurepip")
    for path in _candidates(version):
        try:
            done = subprocess.run(
                [path, "-I", "-c", probe], capture_output=True, text=True, timeout=60, check=False, env=clean_env()
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        its_version = done.stdout.strip()
        if done.returncode == 0 and its_version.startswith(f"{version}."):
            return Interpreter(path, its_version)
    return None


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    own = getattr(sys, "_base_executable", None)
    if own and version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        yield Path(own)
    for folder in os.get_exec_path():
        if Path(folder).name != "shims" and (path := Path(folder) / name).exists():  # pyenv's shims are tried below
            yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    newest_first = sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"), key=_patch, reverse=True)
    yield from newest_first
    if uv := shutil.which("uv"):
        command = [uv, "python", "find", "--no-python-downloads", "--no-project", version]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_env())
        if done.returncode == 0:
            yield Path(done.stdout.strip())


def _patch(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.parts[-3].split(".") if part.isdigit())
