"""Facts about this machine that decide which methods can run and how fast."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from bench.environments import r_packages
from bench.environments.availability import R_INSTALL
from bench.sandbox import guard


@cache
def cpu() -> str:
    """Model of the processor."""
    with suppress(OSError), Path("/proc/cpuinfo").open() as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


#: Asks what methods will ask; by itself, since a process that has used CUDA or loaded PyTorch is no place to plan in.
_GPU = """
try:
    import torch
except ImportError:
    import ctypes
    n = ctypes.c_int()
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        found = not cuda.cuInit(0) and not cuda.cuDeviceGetCount(ctypes.byref(n)) and n.value
    except OSError:
        found = False
    print("" if found else "the NVIDIA driver finds no GPU here")
else:
    able = torch.version.cuda or torch.version.hip
    print("" if torch.cuda.is_available() else f"PyTorch {torch.__version__} " + ("finds no GPU here" if able else
          "is a build for CPUs"))
"""


def why_no_gpu() -> str:
    """Say why methods could not use a GPU on this machine; empty if they could."""
    done = subprocess.run([sys.executable, "-P", "-c", _GPU], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else f"PyTorch cannot be loaded: {done.stderr.strip()[-300:]}"


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
    guard_name = guard.name()
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_mb() / 2**10:.0f} GiB",
        "R": f"{r_packages.version('base')} at {r}"
        if (r := shutil.which("R"))
        else f"not found (optional; {R_INSTALL})",
        "guard": f"{guard_name}: methods cannot open the hidden truth"
        if guard_name
        else "none: this needs Landlock (Linux 5.13)",
        "GPU": "NVIDIA driver found" if shutil.which("nvidia-smi") else "none found (optional)",
    }
    for name in ("anndata", "scanpy", "numpy", "torch"):
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts
