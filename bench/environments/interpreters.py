"""Python interpreters of other versions that this machine already has, found by uv: on PATH, of pyenv, of uv."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from uv import find_uv_bin

from bench.system import clean_env


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs, and its full version."""

    path: Path
    version: str


@cache
def find_python(version: str) -> Interpreter | None:
    """An interpreter of ``version`` (``3.8``), or None; nothing is downloaded."""
    path = _ask_uv(version)
    return Interpreter(Path(path), _ask_uv(version, "--show-version")) if path else None


def _ask_uv(*request: str) -> str:
    """Return what ``uv python find`` prints; empty if there is no such interpreter."""
    command = [find_uv_bin(), "python", "find", "--system", "--no-project", "--no-config", "--no-python-downloads"]
    env = clean_env() | {"PATH": os.pathsep.join(map(str, _folders(request[0])))}
    done = subprocess.run([*command, *request], capture_output=True, text=True, check=False, env=env)
    return done.stdout.strip() if done.returncode == 0 else ""


def _folders(version: str) -> list[Path]:
    """Our own interpreter's, those of PATH, and those of pyenv, which uv does not know, the newest first."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    newest_first = sorted(pyenv.glob(f"versions/{version}.*/bin"), key=_patch, reverse=True)
    on_path = [Path(folder) for folder in os.get_exec_path()]
    own = Path(getattr(sys, "_base_executable", sys.executable)).parent
    return [own, *(folder for folder in on_path if folder.name != "shims"), *newest_first]


def _patch(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())
