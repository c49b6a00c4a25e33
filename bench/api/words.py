"""Errors in a Python caller's words: arguments of a function, where the harness names options of the command line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.errors import BenchError

#: Options whose name is not that of the argument.
_OTHERS = {"memory": "memory_mb", "plugin": "plugins", "set": "params", "timeout": "timeout_s"}


@contextmanager
def python_words(function: Callable[..., Any]) -> Iterator[None]:
    """Name arguments of ``function`` in what is raised within: ``split_seeds=3`` in place of ``--split-seeds 3``.

    Commands for a shell, as ``bench data add FILE --layer counts``, stay as they are; options of one that are only
    hinted at (``bench data add --case``) become arguments of :func:`bench.as_dataset`.
    """
    known = {name.replace("_", "-"): name for name in inspect.signature(function).parameters} | _OTHERS

    def argument(option: re.Match[str]) -> str:
        name = known.get(option[1])
        return option[0] if name is None else f"{name}={option[2]}" if option[2] else name

    def said(text: str) -> str:
        text = re.sub(r"bench data add ((?:--[a-z-]+(?:, )?)+)", _of_as_dataset, text)
        parts = re.split(r"(\bbench (?:data|env|run|deg|new)\b.*)", text, maxsplit=1, flags=re.DOTALL)
        return re.sub(r"--([a-z][a-z-]*)(?: (\d+|[A-Z]+\b|/\S+))?", argument, parts[0]) + "".join(parts[1:])

    try:
        yield
    except BenchError as error:
        error.what, error.where, error.fix = map(said, (error.what, error.where, error.fix))
        error.args = (str(error),)
        raise


def _of_as_dataset(hint: re.Match[str]) -> str:
    return f"bench.as_dataset: {hint[1].replace('--', '').replace('-', '_')}"
