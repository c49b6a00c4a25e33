"""The conformance suite as one assertion."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.dataset import Dataset
from bench.develop.conformance import Check, conformance
from bench.errors import BenchError
from bench.method import Method, params_of
from bench.plan.registry import Entry, Registry, describe
from bench.testing.toy import toy_dataset
from bench.words import count


def check_method(method: type[Method] | Method, *, task: str | None = None, dataset: Dataset | None = None) -> None:
    """Run the conformance suite of ``bench check`` on a method.

    The method runs in processes of its own, as in a benchmark. Of an installed package these import its module; of any
    other class they load the file that defines it by itself, as ``--plugin`` does.

    Parameters
    ----------
    method
        A class, checked with its default parameters, or an object of it, checked with its own: each must be kept in
        an attribute of its name.
    task
        Check on this task only. Default: all that the method answers and that are installed.
    dataset
        Data to check on. Default: :func:`bench.testing.toy_dataset`.

    Raises
    ------
    AssertionError
        If a check fails: says which, what was found, and what mends it.
    BenchError
        If there is nothing to check: the class is incomplete or no process of its own can find it, it does not answer
        ``task``, or the dataset serves none of its tracks.
    """
    __tracebackhide__ = True
    cls, params = (method, {}) if isinstance(method, type) else (type(method), params_of(method))
    registry = Registry()
    entry = _entry(cls, registry)
    done = list(conformance(entry, registry.tasks, lambda: dataset or toy_dataset(), task=task, params=params))
    failed = [_report_lines(name, check) for name, check in done if check.status == "fail"]
    if failed:
        message = f"{entry.name} fails {len(failed)} of {count(len(done), 'check')} of the conformance suite"
        raise AssertionError("\n".join([message, f"  where: {entry.origin}", *failed]))


def _entry(cls: type[Method], registry: Registry) -> Entry[type[Method]]:
    """Locator by which processes of their own find the class."""
    entry = describe(cls)
    registered = registry.methods.get(entry.name)
    if registered is not None and registered.value is cls:
        return registered
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None or cls.__qualname__ != cls.__name__:
        raise BenchError(
            f"no other process can find {cls.__qualname__}, which no module has by its name",
            where=f"module {cls.__module__}",
            fix="define the method at the top level of a Python file",
        )
    return Entry(entry.name, cls, {"file": str(Path(file).resolve()), "class": cls.__name__})


def _report_lines(task: str, check: Check) -> str:
    lines = [f"{task}, {check.name}", *check.detail.splitlines()]
    lines += [f"  fix:   {check.fix}"] if check.fix else []
    return "\n    ".join(lines)
