"""The replicates that a comparison of two runs is made of are those behind the intervals of one."""

import numpy as np
import pytest

from bench.exchange.gate import admit
from bench.plan.registry import Registry
from bench.stats import percentile_interval
from bench.testing import toy_problem

#: Metrics that need more than a run folder keeps of a problem.
NOT_TOLD = {"annotation": {"log_loss", "brier", "ece"}}


@pytest.mark.parametrize(
    ("task", "track"),
    [("doublet", "simulated"), ("annotation", "celltype"), ("imputation", "nonzero"), ("imputation", "dropout")],
)
def test_replicates_give_the_intervals_of_the_score(task, track):
    problem, of_task = toy_problem(task, track), Registry().task(task)
    control = next(c for c in of_task.controls if c.role == "random")
    returned = control.predict(problem, np.random.default_rng(3))
    answer = admit(returned, problem.inputs, of_task.outputs)
    draws = of_task.resampled(problem.solution, problem.truth, answer)
    found = dict(zip(draws.columns, percentile_interval(draws.to_numpy()), strict=True))
    scores = [s for s in of_task.score(problem, answer).scores if s.unit == "pooled" and s.ci_low is not None]
    told = [s for s in scores if s.metric not in NOT_TOLD.get(task, set())]
    assert len(told) > 2
    for score in told:
        assert found[score.metric] == pytest.approx((score.ci_low, score.ci_high), rel=1e-9), score.metric


def test_a_task_that_resamples_nothing_says_so():
    assert Registry().task("integration").resampled(None, {}, {}) is None
