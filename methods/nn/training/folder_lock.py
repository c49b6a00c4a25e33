"""One training at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.system import try_lock

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_LOCK = ".lock"


@contextmanager
def alone_in(folder: Path, fabric: Fabric) -> Iterator[None]:
    """Keep other trainings out of ``folder``; a killed one leaves it free.

    Raises
    ------
    BenchError
        On every process of ``fabric``, if another training is at work there.
    """
    with ExitStack() as stack:
        free = True
        if fabric.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context((folder / _LOCK).open("w"))
            with suppress(OSError):  # some network file systems know no locks
                free = try_lock(handle)
            if free:
                stack.callback((folder / _LOCK).unlink, missing_ok=True)
        if not fabric.broadcast(free):
            raise BenchError(
                "another training is writing into this folder",
                where=str(folder),
                fix="wait until it ends, or give another --out",
            )
        yield
