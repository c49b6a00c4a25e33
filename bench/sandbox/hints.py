"""The names to choose from, added to an error about a column, a fact or a field of the inputs that is not there.

Runs on Python 3.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from types import FrameType

import pandas as pd

from bench.problem import Cells, Inputs

#: Names told of a long list.
_MOST = 20


def hint(error: BaseException) -> str:
    """A clause to follow the message of ``error``; empty if there is nothing to add."""
    if not isinstance(error, (KeyError, AttributeError)):
        return ""
    owner = getattr(error, "obj", None)  # of an AttributeError since Python 3.10
    if isinstance(owner, (Inputs, Cells)):
        return f"; {type(owner).__name__} has: {_listed(f.name for f in fields(owner))}"
    for frame in _frames(error):
        table, inputs = frame.f_locals.get("self"), frame.f_locals.get("inputs")
        if isinstance(table, pd.DataFrame):
            return f"; the columns of this table: {_listed(table.columns)}"
        if not str(frame.f_globals.get("__name__")).startswith("pandas"):
            # Whoever asked. An entry of inputs.info, as far as can be told: a dict leaves no frame of its own.
            if isinstance(inputs, Inputs) and isinstance(error, KeyError):
                return f"; inputs.info has: {_listed(inputs.info)}"
            return ""
    return ""


def _frames(error: BaseException) -> list[FrameType]:
    """Frames in which it was raised, the innermost first."""
    frames: list[FrameType] = []
    step = error.__traceback__
    while step is not None:
        frames.insert(0, step.tb_frame)
        step = step.tb_next
    return frames


def _listed(names: Iterable[object]) -> str:
    texts = [str(name) for name in names]
    more = f" and {len(texts) - _MOST} more" if len(texts) > _MOST else ""
    return (", ".join(texts[:_MOST]) or "none") + more
