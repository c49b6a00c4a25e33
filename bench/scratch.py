"""A run's scratch folder in the system's temporary folder, and the removal of those that killed runs left there."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "scmamba-bench-"
_LOCK = "lock"


class Scratch:
    """A folder that only this process owns, for as long as it lives.

    The owner holds a lock on a file inside. A process id would not do: the temporary folder may be shared with
    containers and other hosts, where the same id means nothing.

    Attributes
    ----------
    folder
        The folder.
    """

    def __init__(self) -> None:
        _remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(self.folder / f".{_LOCK}", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Under its own name only once it is locked: nobody finds it free in between.
        (self.folder / f".{_LOCK}").rename(self.folder / _LOCK)

    def remove(self) -> None:
        """Remove the folder; safe to call twice."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # another user's, or gone just now
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(handle)
