"""From the fork server's process into a method's own environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bench.system import clean_env


def enter(job: dict[str, Any]) -> None:
    """Go on as the interpreter of the job's environment, in place of this process."""
    from bench.exchange.files import plain_copy

    folder = Path(job["folder"])
    plain_copy(Path(job["inputs"]), folder / "plain_inputs")
    (folder / "job.json").write_text(json.dumps({**job, "inputs": str(folder / "plain_inputs")}))
    python = Path(job["environment"]["python"])
    variables = {name: value for name, value in clean_env().items() if not name.startswith("XDG_")}
    variables |= {"PATH": os.pathsep.join([str(python.parent), variables.get("PATH", os.defpath)])}
    start = str(Path(__file__).with_name("bootstrap.py"))
    os.execve(python, [str(python), "-s", start, str(folder / "job.json")], variables)
