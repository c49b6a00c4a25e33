"""R packages as they lie on disk, found and read without starting R."""

from __future__ import annotations

import email
import glob
import os
import shutil
from email.message import Message
from functools import cache
from pathlib import Path

#: Where Debian keeps packages; what R brings itself lies beside its programs.
_SYSTEM = ("/usr/local/lib/R/site-library", "/usr/lib/R/site-library", "/usr/lib/R/library")
#: Where R installs a user's packages unless ``R_LIBS_USER`` says otherwise: by platform and version of R.
_USER = "~/R/%p-library/%v"
_NEEDS = ("Depends", "Imports", "LinkingTo")


def version(name: str) -> str:
    """Version of an installed package (``base``: of R itself), or an empty string."""
    described = _description(name, _libraries())
    return str(described["Version"]) if described else ""


@cache
def versions(*names: str) -> dict[str, str]:
    """Versions of packages and of all that they need, those that come with R left out; ``R`` is R itself."""
    libraries, version_of, todo = _libraries(), {"R": version("base")}, list(names)
    while todo:
        name = todo.pop()
        described = None if name in version_of else _description(name, libraries)
        if described and described["Priority"] != "base":
            version_of[name] = str(described["Version"])
            needs = ",".join(str(described.get(kind, "")) for kind in _NEEDS)
            todo += [part.partition("(")[0].strip() for part in needs.split(",")]
    return dict(sorted(version_of.items()))


def _libraries() -> list[str]:
    """Folders that R searches, in its order: the environment's, the user's, the system's."""
    system = list(_SYSTEM)
    if program := shutil.which("R"):
        root = Path(program).parent.parent
        system += [str(root / lib / "R" / "library") for lib in ("lib", "lib64")]
    base = _description("base", system)
    minor = ".".join(str(base["Version"]).split(".")[:2]) if base else "*"
    own = (os.environ.get("R_LIBS", ""), os.environ.get("R_LIBS_USER") or _USER, os.environ.get("R_LIBS_SITE", ""))
    named = [path for paths in own for path in paths.split(os.pathsep)]
    patterns = [glob.escape(os.path.expanduser(p)).replace("%p", "*").replace("%v", minor) for p in named]
    return [folder for pattern in patterns for folder in glob.glob(pattern)] + system


def _description(name: str, libraries: list[str]) -> Message | None:
    for library in libraries:
        file = Path(library, name, "DESCRIPTION")
        if name and file.is_file():
            return email.message_from_string(file.read_text(encoding="utf-8", errors="replace"))
    return None
