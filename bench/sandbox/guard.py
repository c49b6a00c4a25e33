"""The files a method's process may open where the system can guard them: installed software, inputs, its own folder.

So no method reads the truth by accident, be it in the run folder, in the dataset's file or in another trial's scratch.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.sandbox import landlock

#: Folders of the operating system; private data of users and of the machine's services lie elsewhere.
_SYSTEM = "/bin /etc /gnu /lib /lib32 /lib64 /libx32 /nix /opt /proc /sbin /sys /usr".split()
#: Beside a folder of programs, what they need.
_OF_PROGRAMS = ("etc", "lib", "lib32", "lib64", "libexec", "share")
#: Folders of installed packages; compiled code is cached in them (Python's, numba's).
_PACKAGES = ("site-packages", "dist-packages")
_MODULES = tuple(importlib.machinery.all_suffixes())
#: Variables that list folders of software and of models; ``BENCH_READ`` is ours, for whatever else methods read.
_NAMING_FOLDERS = "BENCH_READ LD_LIBRARY_PATH R_HOME R_LIBS R_LIBS_USER R_LIBS_SITE HF_HUB_CACHE TORCH_HOME".split()


@dataclass
class Software:
    """Paths for :func:`bench.sandbox.landlock.restrict`."""

    read: list[str] = field(default_factory=list)
    write: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)


def installed() -> Software:
    """The software that this process, and programs it starts, can run."""
    prefixes = [os.path.realpath(p) for p in {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}]
    software = Software([*_SYSTEM, *prefixes])
    for folder in filter(os.path.isabs, os.get_exec_path()):
        software.read += [folder, *(os.path.join(os.path.dirname(folder), name) for name in _OF_PROGRAMS)]
    for name in _NAMING_FOLDERS:
        software.read += [path.partition("%")[0] for path in os.environ.get(name, "").split(os.pathsep)]
    for path in map(os.path.realpath, sys.path):
        if os.path.basename(path) in _PACKAGES:
            software.write.append(path)
        elif os.path.isfile(path):
            software.read.append(path)
        elif not any(_is_below(path, prefix) for prefix in prefixes):
            software.listed.append(path)  # or Python finds no module in it
            software.read += _importable(path)
    software.read += [path for root in _editable() for path in _importable(root)]
    return Software(_topmost(software.read), _topmost(software.write), _topmost(software.listed))


def name() -> str:
    """Name of the guard this system has; empty: none."""
    version = landlock.version()
    return f"Landlock {version}" if version else ""


def _topmost(paths: Iterable[str]) -> list[str]:
    """Keep what is there of ``paths``, by its real name and without what lies below another."""
    real = sorted({os.path.realpath(path) for path in paths if os.path.isabs(path) and os.path.exists(path)})
    return [path for path in real if not any(_is_below(path, other) for other in real if other != path)]


def confine(job: dict[str, Any], software: Software) -> None:
    """Hold this process to ``software`` and to what the job names, where the system has a guard.

    Parameters
    ----------
    job
        :class:`bench.sandbox.Job` as plain data; ``files`` and ``hidden`` leave it, so that the method is not told.
    """
    files, hidden = job.pop("files"), [os.path.realpath(path) for path in job.pop("hidden")]
    if not name():
        return
    own = [*_source(job["locator"]), *_of_environment(job["environment"])]
    read = [*software.read, *map(os.path.realpath, [job["inputs"], *own, *_with_targets(files)])]
    writable = [job["folder"], "/dev", *filter(None, [os.environ.get("XDG_CACHE_HOME")])]
    write = [*software.write, *map(os.path.realpath, writable)]
    landlock.restrict(
        [part for path in read for part in _without(path, hidden)],
        [part for path in write for part in _without(path, hidden)],
        software.listed,
    )


def _without(path: str, hidden: Sequence[str]) -> Iterator[str]:
    """``path``, or where something hidden lies below it, all that lies beside that."""
    below = [place for place in hidden if place != path and _is_below(place, path)]
    if not below:
        yield path
        return
    for _, part, is_folder in _entries(path):
        if part in below:
            continue
        if not os.path.islink(part):
            yield from _without(part, below) if is_folder else (part,)
        elif not any(_is_below(os.path.realpath(part), p) or _is_below(p, os.path.realpath(part)) for p in hidden):
            yield part


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _importable(folder: str) -> Iterator[str]:
    for name, path, is_folder in _entries(folder):
        if name.endswith((*_MODULES, ".dist-info", ".egg-info")) or (is_folder and _has_modules(path)):
            yield path


def _has_modules(folder: str) -> bool:
    """Return whether a folder is a package: modules lie in it, or (of a namespace) in a folder of it."""
    inner = [folder, *(path for _, path, is_folder in _entries(folder) if is_folder)]
    return any(name.endswith(_MODULES) for place in inner for name, _, _ in _entries(place))


def _entries(folder: str) -> list[tuple[str, str, bool]]:
    """Name, path and whether it is a folder, of what lies in ``folder``."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.path, entry.is_dir()) for entry in entries]
    except OSError:
        return []


def _editable() -> Iterator[str]:
    """Source folders of the distributions that were installed in place."""
    for distribution in importlib.metadata.distributions():
        origin = distribution.read_text("direct_url.json")
        if origin and (about := json.loads(origin)).get("dir_info", {}).get("editable"):
            root = unquote(urlsplit(about["url"]).path)
            yield from (root, os.path.join(root, "src"))


def _source(locator: dict[str, Any]) -> Iterator[str]:
    """The method's own code: a plugin's file and the folder of its name, or the package."""
    if "file" in locator:
        file = Path(locator["file"])
        yield from (str(file), str(file.with_suffix("")))
    elif spec := importlib.util.find_spec(locator["module"].partition(".")[0]):
        yield from spec.submodule_search_locations or filter(None, [spec.origin])


def _with_targets(files: Sequence[str]) -> Iterator[str]:
    """Files and folders, and what symbolic links in them point to."""
    for path in files:
        yield path
        yield from (str(link.resolve()) for link in Path(path).rglob("*") if link.is_symlink())


def _of_environment(environment: dict[str, Any] | None) -> Iterator[str]:
    """Of a method's own environment: its folder, the interpreter it was made from, the modules handed over."""
    if environment is None:
        return
    yield from filter(None, environment["modules"].values())
    own = Path(environment["python"])
    yield from (str(own.parent.parent), str(own.resolve().parent.parent))
