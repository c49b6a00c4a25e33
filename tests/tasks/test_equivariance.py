"""The order of the cells is no information: shuffling problem and prediction alike leaves the scores.

Left out are confidence intervals (the bootstrap draws cells by their place) and what clusters decide: the Louvain
algorithm visits the cells in their order.
"""

from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.normalise import log1p_cp10k
from bench.plan.registry import Registry
from bench.testing import toy_dataset, toy_problem

TASKS = {name: entry.value for name, entry in Registry().tasks.items()}
#: Task -> tracks that together have a value of every metric.
TRACKS = {
    "annotation": ("subcluster",),
    "deg": ("patients", "subsample", "halves"),
    "doublet": ("experimental", "simulated"),
    "imputation": ("nonzero", "dropout"),
    "integration": ("zero",),
}
CLUSTERS = {"nmi", "ari", "nmi_oracle", "ari_oracle"}
#: Distances between principal components, which a solver finds with float32.
APPROXIMATE = {"ilisi": 1e-4, "cilisi": 1e-4, "clisi": 1e-4, "bras": 1e-4, "kbet_per_label": 1e-2}
#: What computes a metric, and is not among the core's packages.
EXTRAS = {"deg": "pydeseq2", "integration": "scib_metrics"}


@cache
def dataset():
    """Four donors; those that annotation tests have a subcluster that the others lack."""
    whole = toy_dataset(n_donors=4, n_genes=40)
    tested = toy_problem("annotation", dataset=whole).solution.index
    obs = whole.adata.obs.copy()
    obs.loc[tested[:60].intersection(obs.index[obs["subcluster"] == "astrocyte-1"]), "subcluster"] = "astrocyte-3"
    adata = whole.adata.copy()
    adata.obs = obs
    return replace(whole, adata=adata)


@cache
def problem_of(task, track):
    return toy_problem(task, track, dataset=dataset())


def shuffled(problem, rows):
    return replace(
        problem,
        inputs=problem.inputs.take(rows),
        solution=problem.solution.iloc[rows],
        rounds=[inputs.take(rows) for inputs in problem.rounds],
        truth={name: matrix[rows] for name, matrix in problem.truth.items()},
    )


def answer(task, problem, rng):
    """A middling answer with ties."""
    n = len(problem.solution)
    if task == "doublet":
        return {"score": rng.random(n).round(1), "call": rng.random(n) < 0.3}
    if task == "annotation":
        classes = np.array(problem.inputs.info["classes"])
        chances = rng.dirichlet(np.ones(len(classes)), n)
        label = np.where(rng.random(n) < 0.2, "unassigned", classes[chances.argmax(axis=1)])
        sets = (chances > 0.2).astype(np.float32)
        return {"label": label, "probability": chances.max(axis=1), "probabilities": chances, "prediction_set": sets}
    if problem.asked is not None:
        values = problem.asked.astype(np.float32)
        values.data[:] = rng.gamma(1, 1.5, values.nnz).round(1)
        return {"expression": values}
    shown = log1p_cp10k(problem.inputs.cells.X).toarray()
    noise = rng.normal(0, 0.3, shown.shape) + (shown == 0) * rng.gamma(0.3, 1.0, shown.shape)
    return {"expression": np.maximum(shown + noise, 0).round(2).astype(np.float32)}


def scores(task, problem, prediction):
    return {(s.metric, s.unit): s for s in TASKS[task].score(problem, prediction).scores}


def test_every_task_is_here():
    assert set(TRACKS) == set(TASKS)


@pytest.mark.parametrize(
    "task", [pytest.param(t, marks=pytest.mark.slow if t in EXTRAS else ()) for t in sorted(TRACKS)]
)
def test_shuffling_the_cells_leaves_every_score(task):
    if task in EXTRAS:
        pytest.importorskip(EXTRAS[task])
    defined = defaultdict(int)

    @settings(max_examples=2 if task in EXTRAS else 5, derandomize=True, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def check(seed):
        for track in TRACKS[task]:
            problem, rng = problem_of(task, track), np.random.default_rng(seed)
            prediction = answer(task, problem, rng)
            rows = rng.permutation(len(problem.solution))
            before = scores(task, problem, prediction)
            after = scores(task, shuffled(problem, rows), {name: values[rows] for name, values in prediction.items()})
            assert before.keys() == after.keys()
            for (metric, unit), score in before.items():
                other = after[metric, unit]
                assert score.n == other.n
                defined[metric] += np.isfinite(score.value)
                if metric not in CLUSTERS:
                    tolerance = APPROXIMATE.get(metric, 1e-9)
                    expected = pytest.approx(score.value, rel=tolerance, abs=tolerance, nan_ok=True)
                    assert other.value == expected, (track, metric, unit)

    check()
    assert [metric.name for metric in TASKS[task].metrics if not defined[metric.name]] == []
