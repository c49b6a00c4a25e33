"""A method that answers for parts of the cells apart: it sees one part at a time, and its answers are put together."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.errors import InvalidOutputError
from bench.exchange.files import plain_copy, read_inputs, write_inputs
from bench.method import Context
from bench.problem import Cells, Inputs, Output
from bench.sandbox import worker

OUTPUTS = (Output("score", "float", "A number."), Output("expression", "expression", "Values."))


class Centred:
    """Answers with the mean of the cells it sees, and keeps what it was shown."""

    per_donor = False

    def __init__(self):
        self.seen, self.seeds = [], []

    def run(self, inputs, ctx):
        self.seen.append(inputs)
        self.seeds.append(ctx.seed)
        mean = inputs.cells.X.toarray().mean()
        n, genes = inputs.cells.X.shape
        return {"score": np.full(n, mean), "expression": np.full((n, genes), mean, np.float32)}


@pytest.fixture
def inputs():
    obs = pd.DataFrame({"donor": list("aabbb"), "half": list("22112")}, index=[f"c{i}" for i in range(5)])
    X = sparse.csr_matrix(np.arange(1, 6)[:, None] * np.ones((1, 3), np.int32), dtype=np.int32)
    return Inputs(Cells(X, obs, pd.DataFrame(index=list("xyz"))), apart="half")


@pytest.fixture
def ctx(tmp_path):
    return Context(seed=1, threads=1, device="cpu", scratch=tmp_path, log=logging.getLogger("test"))


@pytest.mark.parametrize("in_memory", [True, False])
def test_each_part_is_answered_for_by_itself(inputs, ctx, in_memory, monkeypatch):
    if not in_memory:
        monkeypatch.setattr(worker, "_LARGE", 4)
    method = Centred()
    arrays = worker.run_method(method, inputs, ctx, OUTPUTS)
    assert [list(shown.cells.obs) for shown in method.seen] == [["donor"], ["donor"]]
    assert [list(shown.cells.obs.index) for shown in method.seen] == [
        ["c2", "c3"],
        ["c0", "c1", "c4"],
    ]
    assert len(set(method.seeds)) == 2
    expected = [8 / 3, 8 / 3, 3.5, 3.5, 8 / 3]
    np.testing.assert_allclose(arrays["score"], expected)
    np.testing.assert_allclose(arrays["expression"], np.repeat(np.array(expected)[:, None], 3, axis=1), rtol=1e-6)
    assert isinstance(arrays["expression"], np.memmap) is not in_memory


def test_a_wrong_answer_names_the_part(inputs, ctx):
    class Short(Centred):
        def run(self, inputs, ctx):
            return {"score": np.zeros(1), "expression": np.zeros((1, 3), np.float32)}

    with pytest.raises(InvalidOutputError) as error:
        worker.run_method(Short(), inputs, ctx, OUTPUTS)
    assert "half 1" in str(error.value)


def test_the_column_goes_to_the_method_s_process(inputs, tmp_path):
    write_inputs(inputs, tmp_path / "inputs", "p")
    plain_copy(tmp_path / "inputs", tmp_path / "plain")
    assert read_inputs(tmp_path / "inputs").apart == read_inputs(tmp_path / "plain").apart == "half"
    whole = Inputs(inputs.cells)
    write_inputs(whole, tmp_path / "whole", "p")
    assert read_inputs(tmp_path / "whole").apart == ""
    assert not (tmp_path / "whole" / "apart.txt").exists()


def test_a_column_that_is_not_there_is_refused(inputs):
    with pytest.raises(ValueError, match="by 'third', a column that they lack"):
        Inputs(inputs.cells, apart="third")
