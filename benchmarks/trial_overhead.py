"""What a trial costs beyond its method: the fork server against a fresh Python process with the same imports.

Run: python benchmarks/trial_overhead.py [--trials 20]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from bench.exchange.files import write_inputs
from bench.problem import Cells, Inputs, Output
from bench.sandbox import Job, Sandbox

METHOD = """
from bench.method import Method

class Total(Method):
    name, tasks, summary = "total", ("doublet",), "Total counts."

    def run(self, inputs, ctx):
        return {"score": inputs.cells.X.sum(axis=1).A1}
"""
IMPORTS = (
    "import numpy.random, pandas, psutil, pyarrow.parquet, scipy.sparse, bench.exchange.files, bench.sandbox.worker"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    trials = parser.parse_args().trials
    counts = sparse.random(1000, 2500, density=0.2, format="csr", rng=np.random.default_rng(0), dtype=np.float32)
    cells = Cells(
        sparse.csr_matrix(counts),
        pd.DataFrame({"donor": "d"}, index=[f"c{i}" for i in range(1000)]),
        pd.DataFrame(index=[f"g{i}" for i in range(2500)]),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "total.py").write_text(METHOD)
        write_inputs(Inputs(cells), folder / "inputs", "p")
        beyond = _forked(folder, trials)
    fresh = [_seconds([sys.executable, "-c", IMPORTS]) for _ in range(max(3, trials // 4))]
    ours, other = statistics.median(beyond), statistics.median(fresh)
    print(f"fork server, beyond the method's own time: median {ours:.3f} s, worst {max(beyond):.3f} s")
    print(f"fresh process, imports alone:              median {other:.3f} s, worst {max(fresh):.3f} s")
    print(f"ratio fresh / fork server: {other / ours:.1f}")


def _forked(folder: Path, trials: int) -> list[float]:
    """Seconds of each trial minus those its method ran; the first (start of the fork server) left out."""
    beyond = []
    with Sandbox(1) as sandbox:
        for i in range(trials + 1):
            (folder / str(i)).mkdir()
            job = Job(
                folder=str(folder / str(i)),
                inputs=str(folder / "inputs"),
                locator={"file": str(folder / "total.py"), "class": "Total"},
                params={},
                seed=0,
                threads=1,
                device="cpu",
                timeout_s=60,
                memory_mb=None,
                outputs=(Output("score", "float", "a score"),),
            )
            start = time.perf_counter()
            outcome = sandbox.run(job)
            beyond.append(time.perf_counter() - start - (outcome.wall_s or 0.0))
    return beyond[1:]


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
