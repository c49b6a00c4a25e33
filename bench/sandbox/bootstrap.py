"""First file of a method's process in an environment of its own: makes the exchange code importable there, no more.

Run by path (``python bootstrap.py JOB.json``) in a Python 3.8 or later that knows nothing of the harness.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec


class Finder:
    """Finds the modules it was given, by name, and none beside them: packages have no folder to look into."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Protocol of ``sys.meta_path``."""
        if name not in self._files:
            return None
        package = any(other.startswith(name + ".") for other in self._files)
        if not self._files[name]:
            return ModuleSpec(name, None, is_package=True)
        spec = importlib.util.spec_from_file_location(name, self._files[name])
        assert spec is not None
        spec.submodule_search_locations = [] if package else None  # given above, [] would become the file's folder
        return spec


def main() -> None:
    """Run the job of the file that is named on the command line."""
    sys.path.pop(0)  # the folder of this file
    sys.dont_write_bytecode = True  # the modules lie in an installation that may be shared, or not ours to write
    with open(sys.argv[1]) as file:
        job = json.load(file)
    sys.meta_path.insert(0, Finder(job["environment"]["modules"]))
    from bench.sandbox import worker

    code = worker.main(job)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as in the fork server: nothing that a library left running may hold the trial up


if __name__ == "__main__":
    main()
