"""A trial's log: kept whole unless it would fill the run folder, its end kept in the record."""

from __future__ import annotations

import contextlib
from pathlib import Path

#: Lines of a trial's log kept in its record, for the report.
TAIL_LINES = 40
#: Longest log that is kept whole, bytes.
KEPT_BYTES = 5_000_000


def shorten(log: Path) -> None:
    """Leave the middle out of a log that would fill the run folder."""
    if not log.exists() or log.stat().st_size <= KEPT_BYTES:
        return
    half = KEPT_BYTES // 2
    with log.open("rb+") as file:
        file.seek(-half, 2)
        end = file.read()
        file.seek(half)
        file.write(b"\n[... left out by bench: the log was too long ...]\n" + end)
        file.truncate()


def append(file: Path, text: str) -> None:
    """Add what the harness itself has to say, if there is room for it."""
    with contextlib.suppress(OSError), file.open("a", encoding="utf-8", errors="replace") as log:
        log.write(text)


def tail(log: Path) -> str:
    """The last lines of a log; empty if there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 64_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])
