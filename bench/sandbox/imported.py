"""Imports and numerical libraries of a process, so that every row can be traced to them.

Runs on Python 3.8.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from importlib.metadata import Distribution
from typing import Any, NamedTuple

#: R's own packages have its version and are left out.
_R_SESSION = """
local({
  of <- vapply(loadedNamespaces(), function(p) as.character(getNamespaceVersion(p)), "")
  R <- paste(R.version$major, R.version$minor, sep = ".")
  c(R = R, of[of != R], BLAS = basename(extSoftVersion()[["BLAS"]]))
})
"""


class Installed(NamedTuple):
    """A distribution and what is needed of it."""

    name: str
    version: str
    distribution: Distribution


def installed() -> dict[str, list[Installed]]:
    """Every distribution on the search path, by the top-level modules that it brings."""
    by_module: dict[str, list[Installed]] = {}
    for distribution in importlib.metadata.distributions():
        # Only the head is read: `distribution.metadata` parses the whole README each time.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        head = dict(re.findall(r"^(Name|Version): *(.*?)\s*$", text.partition("\n\n")[0], re.M))
        if len(head) < 2:
            continue
        entry = Installed(re.sub(r"[-_.]+", "-", head["Name"]).lower(), head["Version"], distribution)
        for module in _modules(entry):
            by_module.setdefault(module, []).append(entry)
    return by_module


def _modules(entry: Installed) -> set[str]:
    """Top-level modules of a distribution; that of its own name if it tells none, as some installed in place do."""
    listed = (entry.distribution.read_text("top_level.txt") or "").split()
    if not listed:
        paths = re.findall(r"^([^/,]+)(?=[/,])", entry.distribution.read_text("RECORD") or "", re.M)
        listed = [path.partition(".")[0] for path in paths if not path.endswith((".dist-info", ".pth"))]
    return {name for name in listed if name.isidentifier()} or {entry.name.replace("-", "_")}


def versions(index: dict[str, list[Installed]]) -> dict[str, str]:
    """Name and version of every distribution of which this process has imported a module."""
    version_of: dict[str, str] = {}
    for module, entries in index.items():
        if module not in sys.modules:
            continue
        parts = _parts(module) if len(entries) > 1 else []
        for entry in entries:
            if not parts or _brings(entry, parts):
                version_of[entry.name] = entry.version
    return version_of


def _parts(module: str) -> list[str]:
    """Imported parts of a module that several distributions share (a namespace), as paths."""
    if getattr(sys.modules[module], "__file__", None):
        return []
    start = module + "."
    return [name.replace(".", "/") for name in list(sys.modules) if name.startswith(start) and name.count(".") == 1]


def _brings(entry: Installed, parts: list[str]) -> bool:
    record = entry.distribution.read_text("RECORD") or ""
    return any(f"\n{part}{end}" in f"\n{record}" for part in parts for end in ("/", "."))


def session(index: dict[str, list[Installed]], *, with_r: bool = True) -> dict[str, Any]:
    """Versions, interpreter, BLAS, and whether a GPU was used: a :class:`bench.sandbox.Session` as plain data.

    ``with_r`` is False outside of a method's process: R answers the thread that started it only, and is not ours.
    """
    versions_of = {"python": platform.python_version(), **versions(index)}
    blas = _blas()
    if with_r and "rpy2.robjects" in sys.modules:
        of_r = {str(name): str(value) for name, value in sys.modules["rpy2.robjects"].r(_R_SESSION).items()}
        blas.append(f"R: {of_r.pop('BLAS')}")
        versions_of["R"] = of_r.pop("R")
        versions_of.update({f"R:{name}": version for name, version in of_r.items()})
    compiler = platform.python_compiler()
    return {
        "versions": versions_of,
        "interpreter": f"{platform.python_implementation()} {platform.python_version()} ({compiler})",
        "blas": "; ".join(blas),
        "gpu": _used_gpu(),
    }


def _blas() -> list[str]:
    """Library, version, kernel and threads of each BLAS that is loaded."""
    try:
        import threadpoolctl
    except ImportError:
        return []
    lines = []
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas":
            threads = library["num_threads"]
            words = [library["internal_api"], library["version"], library.get("architecture")]
            lines.append(" ".join(filter(None, words)) + f", {threads} thread{'' if threads == 1 else 's'}")
    return list(dict.fromkeys(lines))


def _used_gpu() -> bool:
    """Return whether PyTorch has held memory of a GPU here; other libraries' use is seen from outside."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized() and torch.cuda.max_memory_allocated() > 0
