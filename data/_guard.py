"""A file is first read by a process that may crash or hang; whoever asks for the file gets a sentence if it does."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from bench.data._files import noted, state_of
from bench.errors import DataError

_PROBE = [sys.executable, "-P", str(Path(__file__).with_name("_probe.py"))]
#: What reading may take: a while, and longer for a large file on a slow disk.
_LIMIT_S, _BYTES_A_SECOND = 30.0, 10e6

_tried: set[str] = set()
#: Programs that wait for the next file.
_idle: list[subprocess.Popen[str]] = []
os.register_at_fork(after_in_child=_idle.clear)


def tried(path: Path) -> None:
    """Read an HDF5 file once in another process, each state of it; other files are left to their readers.

    Raises
    ------
    bench.errors.DataError
        If that ends the process, or does not end itself.
    """
    if path.suffix.lower() not in (".h5ad", ".h5", ".hdf5") or not path.is_file():
        return
    state = state_of(path)
    if state not in _tried:
        noted("read", path, state, lambda: _try(path))
        _tried.add(state)


def _try(path: Path) -> str:
    limit_s = _LIMIT_S + path.stat().st_size / _BYTES_A_SECOND
    code = _code_of_reader(json.dumps([str(path.resolve()), limit_s]))
    if code >= 0:  # what Python can tell, the reader proper tells better
        return "read"
    ending = f"does not end within {limit_s:.0f} s" if code == -signal.SIGALRM else "crashes"
    raise DataError(
        f"the file is damaged: reading it {ending}, inside of the HDF5 library ({signal.Signals(-code).name})",
        where=str(path),
        fix="copy or download it again; if it is the original, write it again with the program that made it",
    )


def _code_of_reader(line: str) -> int:
    """Exit code of a process that reads a file, as :mod:`bench.data._probe` tells it."""
    with contextlib.suppress(IndexError):
        while True:
            code = _answer(_idle.pop(), line)
            if code is not None:  # else the program was killed while it waited
                return code
    probe = subprocess.Popen(
        _PROBE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    code = _answer(probe, line)
    return probe.wait() if code is None else code


def _answer(probe: subprocess.Popen[str], line: str) -> int | None:
    """Answer of a program, which is kept for the next file; None if it has ended."""
    assert probe.stdin is not None
    assert probe.stdout is not None
    try:
        print(line, file=probe.stdin, flush=True)
    except BrokenPipeError:
        return None
    answer = probe.stdout.readline()
    if not answer:
        return None
    _idle.append(probe)
    return int(answer)


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().communicate()
