"""What chance decides of the integration task's numbers: kept answers scored again with other random starts.

Components and Louvain each start from a seed; the task fixes it. Here the finished trials of a
run folder are scored ``--seeds`` times with others, and each metric's standard deviation and range are printed. The
first start is the task's own: the numbers of ``results.csv``.

    python benchmarks/integration_chance.py RUN --seeds 5
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from bench.exchange import prediction
from bench.plan.registry import Registry
from bench.results.store import Store
from bench.seeds import derive_seed
from bench.task import Seeds
from bench.tasks.integration import clusters, score


def scored(run: Path, start: int) -> pd.DataFrame:
    """``method, metric, value`` of the coarsest labels, from one random start."""
    registry, store, rows = Registry(), Store(run), []
    task, problems = registry.task("integration"), {}
    for path in {path for request in store.requests() for path in request.paths.values()}:
        registry.dataset(path)
    other = (start,) if start else ()
    with (
        mock.patch.object(clusters, "derive_seed", lambda *parts: derive_seed(*parts, *other)),
        mock.patch.object(score, "umap", lambda components: np.zeros((len(components), 2))),
    ):
        for record in store.records():
            spec = record.spec
            if spec.task != task.name or record.status != "ok":
                continue
            if spec.dataset not in problems:
                problems[spec.dataset] = task.make_problem(registry.load(spec.dataset), spec.track, Seeds())
            problem = problems[spec.dataset]
            found = task.score(
                problem, prediction.load(store.trial_folder(record.key), task.outputs, problem.solution.index)
            ).scores
            rows += [(spec.method, s.metric, s.value) for s in found if s.unit == "pooled"]
    return pd.DataFrame(rows, columns=["method", "metric", "value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    values = scored(asked.run, 0)
    for start in range(1, asked.seeds):
        values = pd.concat([values, scored(asked.run, start)])
        spread = values.groupby(["method", "metric"])["value"].agg(["mean", "std", "min", "max"])
        spread["range"] = spread["max"] - spread["min"]
        print(f"\n{start + 1} starts: mean, then standard deviation and range of the method that varies most")
        print(spread["mean"].unstack("metric").round(3).to_string())
        print(spread.groupby("metric")[["std", "range"]].max().round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
