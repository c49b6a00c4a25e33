"""A run's scratch folder in the system's temporary folder, and the removal of those that killed runs left there."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from bench.errors import BenchError
from bench.system import no_space, try_lock

_PREFIX = "scmamba-bench-"
_LOCK = "lock"
_FIX = "free some space, or name another folder in the variable TMPDIR"
#: Bytes below which a disk counts as full: what was written last was cut short, or is removed already.
_FULL = 1 << 20


class Scratch:
    """A folder that only this process owns, for as long as it lives.

    The owner holds a lock on a file inside. A process id would not do: the temporary folder may be shared with
    containers and other hosts, where the same id means nothing. What is made inside cannot be guessed and not be
    listed, so that a trial does not come upon another's files beside its own.

    Attributes
    ----------
    folder
        The folder.
    """

    def __init__(self) -> None:
        with _explained():
            _remove_abandoned()
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._hold()

    def _hold(self) -> None:
        self._lock = os.open(self.folder / f".{_LOCK}", os.O_CREAT | os.O_RDWR, 0o600)
        try_lock(self._lock)
        # Under its own name only once it is locked: nobody finds it free in between.
        (self.folder / f".{_LOCK}").rename(self.folder / _LOCK)
        self.folder.chmod(stat.S_IWUSR | stat.S_IXUSR)

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.remove()

    def new(self) -> Path:
        """A new folder inside.

        Raises
        ------
        BenchError
            If there is no room for one.
        """
        with _explained():
            return Path(tempfile.mkdtemp(prefix="", dir=self.folder))

    def free(self) -> int:
        """Bytes that can still be written."""
        return shutil.disk_usage(self.folder).free

    def refuse(self, needed: int, noun: str) -> None:
        """Raise an error if ``noun``, of so many bytes, has no room."""
        free = self.free()
        if needed > free:
            raise BenchError(
                f"{noun} needs about {_size(needed)} of temporary files, and there is room for {_size(free)}",
                where=str(self.folder.parent),
                fix=_FIX,
            )

    def shortage(self, error: BaseException | None = None) -> str:
        """A clause that names this place and its room, if ``error`` or what failed just now is for want of it."""
        free = self.free()
        if free >= _FULL and not no_space(error):
            return ""
        return f"; {self.folder.parent} has room for {_size(free)} of temporary files: {_FIX}"

    def remove(self) -> None:
        """Remove the folder; safe to call twice."""
        remove_tree(self.folder)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        try:
            place = tempfile.gettempdir()
        except FileNotFoundError:
            place = os.environ.get("TMPDIR", "/tmp, /var/tmp, /usr/tmp and the current folder")
        raise BenchError(
            f"temporary files cannot be written: {error.strerror or error}", where=place, fix=_FIX
        ) from error


def _size(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"


def freeze(folder: Path) -> None:
    """Let nobody change a folder's files, nor add any (the system's root excepted)."""
    for place, _, files in os.walk(folder, topdown=False):
        for file in files:
            os.chmod(Path(place, file), stat.S_IRUSR)
        os.chmod(place, stat.S_IRUSR | stat.S_IXUSR)


def remove_tree(folder: Path) -> None:
    """Remove a folder, frozen ones in it too, and keep silent about what cannot be removed."""
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IRWXU)
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(place, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = folder / _LOCK
        try:
            handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # another user's, or gone just now
            continue
        try:
            with contextlib.suppress(OSError):  # no locks here: nobody knows whose it is
                if try_lock(handle):
                    remove_tree(lock.parent)
        finally:
            os.close(handle)
