"""Progress of a method: its process writes a note, the live table and the account of a stopped trial read it.

Runs on Python 3.8.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

_NAME = "progress.json"
#: Longest message kept, and what a note with it takes in JSON at most (12 bytes a character).
_MESSAGE, _NOTE_BYTES = 300, 4096


class Progress(NamedTuple):
    """Progress that a method reported last."""

    fraction: float = 0.0
    message: str = ""
    phase: str = ""


class ProgressNote:
    """Writes the note of a trial's folder, in place: that takes microseconds, so the last word is never left out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._note: dict[str, Any] = {}

    def progress(self, fraction: float, message: str) -> None:
        """The method is so far."""
        self._write(fraction=float(fraction), message=str(message)[:_MESSAGE])

    def phase(self, name: str) -> None:
        """A phase begins, or none is told of any more (empty)."""
        self._write(phase=name)

    def _write(self, **news: Any) -> None:
        self._note.update(news)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, json.dumps(self._note).encode().ljust(_NOTE_BYTES))
        finally:
            os.close(file)


def read_progress(folder: Path) -> Progress:
    """The note of a trial's folder; nothing told if there is none, or it is being written."""
    try:
        note = json.loads((folder / _NAME).read_bytes())
        fraction = float(note.get("fraction", 0.0))
        share = min(max(fraction, 0.0), 1.0) if math.isfinite(fraction) else 0.0
        return Progress(share, *(_text(note.get(name, "")) for name in ("message", "phase")))
    except (OSError, ValueError, TypeError, AttributeError):  # the method's own folder: anything may be there
        return Progress()


def _text(value: object) -> str:
    """Without lone surrogates (of an undecodable file name, say), which could not be written down later."""
    return str(value).encode("utf-8", "replace").decode()
