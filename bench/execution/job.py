"""The part of a job that tells a method's process of the environment it runs in."""

from __future__ import annotations

import importlib.util

from bench.environments.declaration import Environment
from bench.method import Method
from bench.plan.source_digest import source_files
from bench.problem import Json

#: What of the harness can be imported in an environment; runs on Python 3.8, numpy, scipy and pandas.
EXCHANGE = (
    "bench",
    "bench.exchange.alignment",
    "bench.blocks",
    "bench.errors",
    "bench.exchange.files",
    "bench.exchange.expression",
    "bench.exchange.expression_order",
    "bench.exchange.gate",
    "bench.exchange.outputs",
    "bench.system",
    "bench.locate",
    "bench.method",
    "bench.normalise",
    "bench.problem",
    "bench.sandbox.hints",
    "bench.sandbox.imported",
    "bench.sandbox.progress",
    "bench.sandbox.worker",
    "bench.exchange.expression_scale",
    "bench.seeds",
)


def environment_of_job(environment: Environment, method: type[Method]) -> dict[str, Json]:
    """Describe the environment of a job's method as plain data."""
    modules: dict[str, Json] = {}
    for name, file in source_files(method).items():
        modules[name] = str(file)
    for name in EXCHANGE:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        modules[name] = spec.origin
    for name in list(modules):  # packages around them are empty: what their __init__ imports is not there
        while name := name.rpartition(".")[0]:
            modules.setdefault(name, "")
    return {
        "python": str(environment.python),
        "modules": modules,
    }
