"""Facts about this machine that decide which methods can run and how fast."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

from bench import r_packages
from bench.availability import R_INSTALL
from bench.sandbox import guard


def memory_mb() -> float:
    """Memory that this process may use: the machine's, or less where a container or a scheduler's job has less."""
    limits: list[int] = [psutil.virtual_memory().total]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            root, name = Path("/sys/fs/cgroup"), "memory.max"
            if controllers:
                root, name = root / controllers, "memory.limit_in_bytes"
            for folder in [Path(group), *Path(group).parents]:
                with suppress(OSError, ValueError):  # no such group here, or "max"
                    limits.append(int((root / folder.relative_to("/") / name).read_text()))
    return min(limits) / 2**20


def machine() -> dict[str, str]:
    """Python, memory, cores, R, GPU and the versions of the core libraries."""
    found = guard.name()
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_mb() / 2**10:.0f} GiB",
        "R": f"{r_packages.version('base')} at {r}"
        if (r := shutil.which("R"))
        else f"not found (optional; {R_INSTALL})",
        "guard": f"{found}: methods cannot open the hidden truth"
        if found
        else "none: this needs Landlock (Linux 5.13)",
        "GPU": "NVIDIA driver found" if shutil.which("nvidia-smi") else "none found (optional)",
    }
    for name in ("anndata", "scanpy", "numpy", "torch"):
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts
