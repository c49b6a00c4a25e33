"""Files and folders that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


def no_space(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that a disk is full or a quota used up."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


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
