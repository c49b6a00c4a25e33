"""Predictions with a matrix: checked, kept in a file of its own, read back the same."""

import numpy as np
import pandas as pd
import pytest
from toy_problem import INPUTS

from bench.errors import InvalidOutputError
from bench.exchange import prediction as predictions
from bench.exchange.files import permutation, read_prediction, write_prediction
from bench.exchange.outputs import validated
from bench.problem import Inputs, Problem
from bench.task import Output

OUTPUTS = (
    Output("label", "label", "a label"),
    Output("chances", "matrix", "of each class", required=False, low=0, high=1, columns="classes"),
)
INFO = {"classes": ["a", "b", "c"]}


def test_rows_return_to_the_order_of_the_dataset(tmp_path):
    order = permutation(40, "p")
    rows = np.column_stack([np.arange(40), np.arange(40) * 2.0])
    write_prediction({"chances": rows[order]}, tmp_path)
    np.testing.assert_array_equal(read_prediction(tmp_path, "p", 40)["chances"], rows)


@pytest.mark.parametrize(
    ("chances", "told"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\), expected \(2, 3\)"),
        (np.zeros(2), r"shape \(2,\)"),
        ([[0, 0, 1], [0, np.nan, 1]], "1 of 6 values are NaN"),
        ([[0, 0, 1], [0, 2, 1]], "allowed from 0 to 1"),
    ],
)
def test_bad_matrices_are_refused(chances, told):
    with pytest.raises(InvalidOutputError, match=told):
        validated({"label": ["a", "b"], "chances": chances}, OUTPUTS, 2, INFO)


@pytest.mark.parametrize("with_matrix", [True, False])
def test_a_matrix_is_kept_with_a_column_a_class_and_read_back_the_same(tmp_path, with_matrix):
    chances = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    prediction = {"label": np.repeat("a", 40)} | ({"chances": chances} if with_matrix else {})
    arrays = validated(prediction, OUTPUTS, 40, INFO)
    problem = Problem(Inputs(INPUTS.cells, info=INFO), pd.DataFrame(index=INPUTS.cells.obs.index))
    predictions.save(arrays, OUTPUTS, problem, tmp_path / "kept")
    assert (tmp_path / "kept" / "chances.parquet").exists() == with_matrix
    back = predictions.load(tmp_path / "kept", OUTPUTS, problem)
    assert set(back) == set(prediction)
    assert list(back["label"]) == ["a"] * 40
    if with_matrix:
        np.testing.assert_array_equal(back["chances"], arrays["chances"])
        table = pd.read_parquet(tmp_path / "kept" / "chances.parquet")
        assert list(table.columns) == ["cell", "a", "b", "c"]
        assert list(table["cell"]) == list(INPUTS.cells.obs.index)
