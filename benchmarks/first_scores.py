"""CPU seconds of the whole process tree of ``make demo``'s command until the first scores are on the screen.

Prints each line of the run with the CPU seconds spent by then, and ends the run once a method has a score.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil


def cpu_seconds(root: psutil.Process) -> float:
    """Of a process, its descendants and those of its children that have ended."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("bench")), "run", "--task", "doublet", "--methods", "all"]
        command += ["--allow-failures", "--out", folder]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
            root = psutil.Process(run.pid)
            for line in run.stderr or ():
                print(f"{cpu_seconds(root):7.1f} CPU s  {line}", end="", flush=True)
                if re.match(r"ok\s.*auprc", line) and not re.match(r"ok\s+(truth|random|library_size|n_genes) ", line):
                    break
            root.terminate()


if __name__ == "__main__":
    main()
