import numpy as np
import pytest

from bench.errors import InvalidOutputError
from bench.exchange.outputs import validated
from bench.task import Output

OUTPUTS = (
    Output("score", "float", "a score", low=0, high=1),
    Output("call", "bool", "a call", required=False),
    Output("label", "label", "a label", required=False),
)


def test_good_outputs_come_back_as_declared():
    arrays = validated({"score": [0, 1], "call": np.array([True, False]), "label": ["a", "b"]}, OUTPUTS, 2)
    assert arrays["score"].dtype == np.float64
    assert list(arrays["label"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("prediction", "told"),
    [
        ({}, "'score' is missing"),
        ({"score": [0.1, np.nan]}, "1 of 2 values are NaN"),
        ({"score": [0.1, np.inf]}, "NaN or infinite"),
        ({"score": [0.1, 2.0]}, "allowed from 0 to 1"),
        ({"score": [0.1]}, "shape"),
        ({"score": [[0.1, 0.2]]}, "shape"),
        ({"score": ["a", "b"]}, "expected numbers"),
        ({"score": [0.1, 0.2], "call": [1, 0]}, "expected bool"),
        ({"scores": [0.1, 0.2]}, "did you mean 'score'"),
    ],
)
def test_bad_outputs_are_refused_with_the_reason(prediction, told):
    with pytest.raises(InvalidOutputError, match=told):
        validated(prediction, OUTPUTS, 2)
