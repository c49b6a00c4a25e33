"""Values that a method refuses are refused before a trial is planned, not by every trial."""

import pytest

from bench.errors import BenchError
from bench.plan.grid import RunRequest, make_plan
from bench.plan.registry import Registry

REFUSED = {
    "callers": ("doublet", "vote", {"callers": "cxds,solo"}, "no callers that can vote"),
    "scale": ("annotation", "scibet", {"scale": "cp1k"}, "unknown expression scale 'cp1k'"),
    "rank": ("imputation", "alra", {"rank": -1}, "rank is -1"),
    "type": ("imputation", "alra", {"quantile": "low"}, "alra cannot take these values: TypeError"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_the_method_refuses_is_no_trial(case):
    task, method, params, message = REFUSED[case]
    with pytest.raises(BenchError, match=message) as error:
        make_plan(Registry(), RunRequest(task, [], [method], ["cohort"], params={method: params}))
    assert error.value.fix
