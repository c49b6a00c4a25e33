"""From the fork server's process into a method's own environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bench.system import clean_env


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
