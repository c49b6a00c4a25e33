"""A file is first read by a process that may crash or hang; whoever asks for the file gets a sentence if it does."""

from __future__ import annotations

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
    command = [*_PROBE, str(path.resolve()), str(limit_s)]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
    if code >= 0:  # what Python can tell, the reader proper tells better
        return "read"
    ending = f"does not end within {limit_s:.0f} s" if code == -signal.SIGALRM else "crashes"
    raise DataError(
        f"the file is damaged: reading it {ending}, inside of the HDF5 library ({signal.Signals(-code).name})",
        where=str(path),
        fix="copy or download it again; if it is the original, write it again with the program that made it",
    )
