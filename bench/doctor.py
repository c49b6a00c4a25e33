"""Facts about this machine that decide which methods can run and how fast."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil

import psutil


def machine() -> dict[str, str]:
    """Python, memory, cores, R, GPU and the versions of the core libraries."""
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "R": shutil.which("R") or "not found (optional; scripts/install-r.sh)",
        "GPU": "NVIDIA driver found" if shutil.which("nvidia-smi") else "none found (optional)",
    }
    for name in ("anndata", "scanpy", "numpy", "torch"):
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts
