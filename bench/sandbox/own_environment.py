"""From the fork server's process into a method's own environment."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.environments.interpreters import clean_env

if TYPE_CHECKING:
    from bench.environments.declaration import Environment
    from bench.method import Method
    from bench.problem import Json

#: What of the harness can be imported in an environment; runs on Python 3.8, numpy, scipy and pandas.
EXCHANGE = (
    "bench",
    "bench.exchange.alignment",
    "bench.errors",
    "bench.exchange.files",
    "bench.exchange.expression",
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
    """What a job must know of the environment of its method, as plain data."""
    from bench.plan.keys import source_files

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
        "python": str(environment.python) if environment.python else None,
        "r_library": str(environment.r_library) if environment.r_library else None,
        "modules": modules,
    }


def enter(job: dict[str, Any]) -> None:
    """Make the job's environment that of this process; replaces the process where it has a Python of its own."""
    environment = job["environment"]
    if environment["r_library"]:
        os.environ["R_LIBS"] = os.pathsep.join(filter(None, [environment["r_library"], os.environ.get("R_LIBS")]))
    if not environment["python"]:
        return
    from bench.exchange.files import plain_copy

    folder = Path(job["folder"])
    plain_copy(Path(job["inputs"]), folder / "plain_inputs")
    (folder / "job.json").write_text(json.dumps({**job, "inputs": str(folder / "plain_inputs")}))
    python = Path(environment["python"])
    variables = {name: value for name, value in clean_env().items() if not name.startswith("XDG_")}
    variables |= {"PATH": os.pathsep.join([str(python.parent), variables.get("PATH", os.defpath)])}
    start = str(Path(__file__).with_name("bootstrap.py"))
    os.execve(python, [str(python), "-s", start, str(folder / "job.json")], variables)
