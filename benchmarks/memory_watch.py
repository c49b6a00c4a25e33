"""Peak memory of a process's descendants, with and without the pages of files that they have mapped."""

from __future__ import annotations

import threading
from typing import Any

import psutil

_EVERY_S = 0.1


class MemoryWatch:
    """Look at all descendants of this process ten times a second while the context is open.

    Attributes
    ----------
    resident
        Peak of their resident memory in bytes: what a trial's ``rss_peak_mb`` and its memory limit go by.
    own
        Peak without pages of mapped files, which the system takes back when it needs the memory: a result that is
        written by blocks to a mapped file is in ``resident`` alone.
    """

    def __init__(self) -> None:
        self.resident = self.own = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        me = psutil.Process()
        while not self._ended.wait(_EVERY_S):
            resident = own = 0
            for process in me.children(recursive=True):
                try:
                    memory = process.memory_info()
                except psutil.Error:
                    continue  # it has ended meanwhile
                resident += memory.rss
                own += memory.rss - memory.shared
            self.resident, self.own = max(self.resident, resident), max(self.own, own)
