"""Landlock: a process gives up opening files, for itself and for all that it starts (Linux 5.13 and later, any user).

What it may still open is listed; names, sizes and times of other files stay visible to who knows their paths.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterable
from functools import cache

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _PR_SET_NO_NEW_PRIVS = 1, 1, 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
#: Rights to files, the only ones that a rule about a file may give.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
#: All rights by the version of the interface that brought them; those to devices' ioctl are never taken away.
_FIRST, _REFER = (1 << 13) - 1, 1 << 13


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Version of the kernel's interface; 0 where there is none, or a container forbids it."""
    if sys.platform != "linux":
        return 0
    number: int = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    return max(0, number)


def restrict(read: Iterable[str], write: Iterable[str], listed: Iterable[str] = ()) -> None:
    """Give up all files of this thread but those named; it must be the only thread of its process.

    Parameters
    ----------
    read
        Files, and folders with all below, that may be read and executed. What is not there is passed over.
    write
        Those that may be changed too.
    listed
        Folders in which, and below which, names may be listed.

    Raises
    ------
    OSError
        If the system refuses.
    """
    number = version()
    every = _FIRST | (_REFER if number >= 2 else 0) | (_TRUNCATE if number >= 3 else 0)
    ruleset = _checked(_libc().syscall(_CREATE_RULESET, ctypes.byref(_Ruleset(every)), ctypes.sizeof(_Ruleset), 0))
    try:
        for paths, rights in ((listed, _READ_DIR), (read, _READ), (write, every)):
            for path in paths:
                _allow(ruleset, path, rights & every)
        _checked(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc().syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _OF_FILES
        if rights:
            rule = _Beneath(rights, handle)
            _checked(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(handle)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)} ({errno.errorcode.get(code)})")
    return result
