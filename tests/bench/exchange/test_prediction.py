"""Predictions with a matrix: checked, kept in a file of its own, read back the same."""

import numpy as np
import pandas as pd
import pytest
from toy_problem import INPUTS

from bench.errors import InvalidOutputError
from bench.exchange import prediction as predictions
from bench.exchange.gate import admit, check
from bench.problem import Inputs, Problem
from bench.task import Output
from bench.tasks.integration import IntegrationTask

OUTPUTS = (
    Output("label", "label", "a label"),
    Output("chances", "matrix", "of each class", required=False, low=0, high=1, columns="classes"),
)
INFO = {"classes": ["a", "b", "c"]}


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
        check({"label": ["a", "b"], "chances": chances}, Inputs(INPUTS.take([0, 1]).cells, info=INFO), OUTPUTS)


@pytest.mark.parametrize("with_matrix", [True, False])
def test_a_matrix_is_kept_with_a_column_a_class_and_read_back_the_same(tmp_path, with_matrix):
    chances = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    prediction = {"label": np.repeat("a", 40)} | ({"chances": chances} if with_matrix else {})
    problem = Problem(Inputs(INPUTS.cells, info=INFO), pd.DataFrame(index=INPUTS.cells.obs.index))
    arrays = predictions.save(admit(prediction, problem.inputs, OUTPUTS), OUTPUTS, problem, tmp_path / "kept")
    assert (tmp_path / "kept" / "chances.parquet").exists() == with_matrix
    back = predictions.load(tmp_path / "kept", OUTPUTS, problem.solution.index)
    assert set(back) == set(prediction)
    assert list(back["label"]) == ["a"] * 40
    if with_matrix:
        np.testing.assert_array_equal(back["chances"], arrays["chances"])
        np.testing.assert_array_equal(back["chances"], chances.astype(np.float32))
        checked = check(back, problem.inputs, OUTPUTS)["chances"]
        assert checked.dtype == back["chances"].dtype == np.float32  # a reused prediction is scored as the first was
        table = pd.read_parquet(tmp_path / "kept" / "chances.parquet")
        assert list(table.columns) == ["cell", "a", "b", "c"]
        assert list(table["cell"]) == list(INPUTS.cells.obs.index)


def test_an_embedding_is_kept_with_numbered_columns_and_read_back_the_same(tmp_path):
    outputs = (
        Output("expression", "expression", "logs"),
        Output("embedding", "matrix", "coordinates", required=False, instead_of="expression"),
    )
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    problem = Problem(INPUTS, pd.DataFrame(index=INPUTS.cells.obs.index))
    predictions.save(admit({"embedding": points}, INPUTS, outputs), outputs, problem, tmp_path / "kept")
    back = predictions.load(tmp_path / "kept", outputs, problem.solution.index)
    assert list(back) == ["embedding"]
    np.testing.assert_array_equal(back["embedding"], points)
    with pytest.raises(InvalidOutputError, match="from -1e\\+09 to 1e\\+09"):
        admit({"embedding": points * 1e12}, INPUTS, IntegrationTask.outputs)  # distances would overflow
    kept = pd.read_parquet(tmp_path / "kept" / "embedding.parquet")
    assert list(kept.columns) == ["cell", "dimension_1", "dimension_2", "dimension_3"]
    (tmp_path / "kept" / "embedding.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="no file of output 'expression'"):
        predictions.load(tmp_path / "kept", outputs, problem.solution.index)
