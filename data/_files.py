"""Files on disk: what is not found out twice (checksums), and writes that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from bench.data._layout import folder_files, is_zarr
from bench.system import cache_dir, file_digest, replacing


def home_dir() -> Path:
    """Folder of the user's own registrations; ``BENCH_HOME`` overrides the user's data folder."""
    return Path(os.environ.get("BENCH_HOME") or platformdirs.user_data_dir("scmamba-bench"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=1, sort_keys=True))


def digest(path: Path) -> str:
    """sha256 of a file, over the three files of a 10x folder, or over all files of a zarr folder and their names.

    Remembered by path, size and time of change.
    """
    if is_zarr(path):
        return _remembered_folder(path)
    if path.is_dir():
        parts = [_remembered(file) for _, file in sorted(folder_files(path).items())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    return _remembered(path)


def state_of(path: Path) -> str:
    """Path, size and time of change of a file: what it holds is the same as long as this is."""
    path = path.resolve()
    stat = path.stat()
    return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _remembered(path: Path) -> str:
    return noted("sha256", path, state_of(path), lambda: file_digest(path))


def _remembered_folder(path: Path) -> str:
    path = path.resolve()
    files = sorted((str(f.relative_to(path)), f) for f in path.rglob("*") if f.is_file())
    stats = [(name, f.stat()) for name, f in files]
    state = hashlib.sha256("\0".join(f"{name}\0{s.st_size}\0{s.st_mtime_ns}" for name, s in stats).encode()).hexdigest()

    def whole() -> str:
        total = hashlib.sha256()
        for name, file in files:
            total.update(f"{name}\0{file_digest(file)}\n".encode())
        return total.hexdigest()

    return noted("sha256", path, f"{path}\0{state}", whole)


def noted(kind: str, path: Path, state: str, compute: Callable[[], str]) -> str:
    """Compute a fact of ``path`` (its ``sha256``, say) once for each state of it."""
    name = hashlib.sha256(state.encode()).hexdigest()[:32]
    note = cache_dir() / kind / f"{name}.json"
    try:
        return str(json.loads(note.read_text())[kind])
    except (OSError, ValueError, KeyError, TypeError):
        value = compute()
        try:
            write_json(note, {"path": str(path), kind: value})
        except OSError:
            pass  # a read-only cache only costs time
        return value
