"""Errors that say what went wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

#: How a trial ends.
Status = Literal["ok", "timeout", "oom", "crash", "invalid_output", "not_applicable", "unavailable"]


def close_to(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Names that may have been meant by ``name``: spelt alike, whatever their case."""
    folded = {other.casefold(): other for other in known}
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=n, cutoff=0.6)]


def did_you_mean(close: Iterable[str]) -> str:
    """``did you mean 'a' or 'b'?``."""
    return f"did you mean {' or '.join(map(repr, close))}?"


class BenchError(Exception):
    """An error meant for the user: shown without a traceback by the command line.

    Parameters
    ----------
    what
        What is wrong, in one sentence.
    where
        The file, column, method or option it was found in.
    fix
        What the user can do about it.

    Attributes
    ----------
    status
        How a trial ends in which this is raised: by a method, a control or a task.
    """

    status: Status = "crash"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class UnknownNameError(BenchError):
    """A task, track, method, dataset, preset or parameter that nobody registered."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, where: str = "", close: Iterable[str] = ()
    ) -> None:
        self.name = name
        known = sorted(known)
        close = [*close_to(name, known), *close]
        hint = did_you_mean(close) if close else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}", where=where, fix=hint)


class DataError(BenchError):
    """A dataset that fails a semantic check."""


class InvalidOutputError(BenchError):
    """A prediction that does not have the shape, index, type or range its task asks for."""

    status = "invalid_output"


class UnavailableError(BenchError):
    """A method whose package, R library or environment is missing on this machine."""

    status = "unavailable"


class NotApplicableError(BenchError):
    """A method that cannot answer this problem by design (for example: needs training donors, there are none)."""

    status = "not_applicable"


def status_of(error: BaseException) -> Status:
    """Return how a trial ends in which ``error`` is raised; whatever no error of ours says is a crash."""
    return error.status if isinstance(error, BenchError) else "crash"
