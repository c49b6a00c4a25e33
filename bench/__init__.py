"""Contracts, grid, trials and store of the single-nucleus RNA-seq benchmark harness.

The five top-level folders are one import package: ``bench`` (this room), ``bench.tasks``,
``bench.methods``, ``bench.data`` and ``bench.reports``. This room names no task, method or dataset.
"""

__version__ = "0.1.0"
