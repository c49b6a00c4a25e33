"""Files that are whole or not there, locks, processes, time: what is asked of the operating system.

Read by methods' processes too, which may run an older Python: nothing here but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from bench.errors import close_to, did_you_mean

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def no_space(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, is that a disk is full or a quota used up."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def path_hint(path: Path) -> str:
    """Return what helps with a path that is not there: names like it in its folder, or the folder that is missing."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    try:
        close = close_to(missing.name, [entry.name for entry in missing.parent.iterdir()])
    except OSError:
        close = []
    if close:
        meant = [(missing.parent / name, missing.parent / name / path.relative_to(missing)) for name in close]
        return did_you_mean(str(whole if whole.exists() else part) for part, whole in meant)
    return f"check the path: there is no {missing}" if missing != path else "check the path"


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write a file or a folder to; at the end it takes the place of ``target`` in one step.

    Whatever goes wrong meanwhile, ``target`` is as it was and nothing is left beside it.
    """
    aside = target.with_name(f".{target.stem[:100]}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield aside
        if aside.is_dir():
            _replace_folder(aside, target)
        else:
            aside.replace(target)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)


def _replace_folder(aside: Path, folder: Path) -> None:
    """Rename ``aside`` to ``folder``; of two concurrent writers one wins whole."""
    while True:
        try:
            aside.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            old = folder.with_name(f".old-{folder.name[:100]}-{secrets.token_hex(4)}")
            with contextlib.suppress(FileNotFoundError):
                folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        else:
            return


def write_atomic(file: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    with replacing(file) as aside:
        aside.write_bytes(content)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` hold what ``source`` does, a file or a folder.

    By links where the file system can: kept files are replaced, never written into.
    """
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    else:
        _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def try_lock(file: IO[str] | int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, for this process alone or with others; False if another holds it."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file ``path`` alone; ``waiting`` is called once if another process holds it now."""
    with path.open("w") as file:
        with contextlib.suppress(OSError):  # some network file systems know no locks: then as before, without
            if not try_lock(file):
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_digest(path: Path) -> str:
    """sha256 over a file, or over the names and bytes of all files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\x1f{file_digest(file)}".encode())
    return digest.hexdigest()


def cache_dir() -> Path:
    """Folder of what can be made again; ``BENCH_CACHE`` overrides the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("scmamba-bench")).absolute()


def clean_env() -> dict[str, str]:
    """Our environment variables without those that would lead another Python to our own packages."""
    own_names = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in own_names}


def prctl(option: int, value: int) -> None:
    """Set a property of this process (Linux; nothing elsewhere)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def now() -> str:
    """The time, UTC, to the second, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
