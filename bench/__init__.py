"""A benchmark harness for single-nucleus RNA-seq methods: the same cells, the same rules, the truth hidden.

:func:`run` runs methods on a task, :func:`load` opens a run folder, :func:`as_dataset` says what the columns of your
cells mean, :mod:`bench.metrics` has every metric as a function, and :class:`Method` is what a method is derived from.
They are imported when they are first used: ``import bench`` itself takes no time.

The five top-level folders are one import package: ``bench`` (this room), ``bench.tasks``, ``bench.methods``,
``bench.data`` and ``bench.reports``. This room names no task, method or dataset.

Examples
--------
>>> import bench
>>> run = bench.run("doublet", methods=["scrublet", "cxds"], datasets=["my.h5ad"])  # doctest: +SKIP
>>> run.scores  # doctest: +SKIP
"""

# Runs on Python 3.8, too: methods of an environment of their own import the exchange code from here.
from __future__ import annotations

__version__ = "0.2.0"

#: What is offered here -> the module that it is in. Type checkers and editors read it in ``__init__.pyi``.
_PLACES = {
    "Method": "bench.method",
    "Run": "bench.api.result",
    "as_dataset": "bench.api.dataset",
    "load": "bench.api.result",
    "metrics": "bench.metrics",
    "run": "bench.api.run",
}
__all__ = [*_PLACES]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_PLACES[name])
    return module if module.__name__ == f"bench.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
