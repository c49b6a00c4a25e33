"""What a method or a control returns is checked in one place, twice for methods: as returned, and on the bytes left."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from toy_problem import INPUTS

from bench.blocks import Rows
from bench.errors import InvalidOutputError
from bench.exchange.files import permutation, read_inputs, round_folders, write_inputs, write_rounds
from bench.exchange.gate import admit, check, hand_over, receive
from bench.problem import Inputs
from bench.task import Output

OUTPUTS = (
    Output("score", "float", "a score", low=0, high=1),
    Output("call", "bool", "a call", required=False),
    Output("label", "label", "a label", required=False),
)
TWO = INPUTS.take(np.array([0, 1]))


def test_good_outputs_come_back_as_declared():
    arrays = admit({"score": [0, 1], "call": np.array([True, False]), "label": ["a", "b"]}, TWO, OUTPUTS)
    assert arrays["score"].dtype == np.float64
    assert list(arrays["label"]) == ["a", "b"]


@pytest.mark.parametrize("gate", [admit, check])
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
def test_bad_outputs_are_refused_with_the_reason(gate, prediction, told):
    with pytest.raises(InvalidOutputError, match=told):
        gate(prediction, TWO, OUTPUTS)


#: Every kind of output, with bounds that float32 does not have.
ALL = (
    *OUTPUTS,
    Output("chances", "matrix", "of each class", low=0.1, high=0.7, columns="classes"),
    Output("expression", "expression", "logs"),
)
CLASSES = Inputs(INPUTS.cells, info={"classes": ["a", "b", "c"]})
N, GENES = CLASSES.cells.X.shape


def answer(order, query=None):
    """The answer of a method that sees the cells in this order; each value tells its cell."""
    return {
        "score": order / N,
        "call": order % 2 == 0,
        "label": np.array([f"x{i}" for i in order]),
        "chances": np.column_stack([np.full(N, 0.1), np.full(N, 0.7), 0.1 + 0.6 * order / N]),
        "expression": np.repeat(order[:, None] / N, GENES, axis=1).astype(np.float32),
    }


@pytest.fixture
def left(tmp_path):
    """A folder as a method's process leaves it, and how to receive it."""
    write_inputs(CLASSES, tmp_path / "inputs", "p")
    shown, returned = read_inputs(tmp_path / "inputs"), answer(permutation(N, "p"))
    notes = hand_over(admit(returned, shown, ALL), shown, ALL, tmp_path)
    assert notes == []
    return tmp_path, lambda: receive(tmp_path, tmp_path / "inputs", "p", CLASSES, ALL)


def test_a_prediction_returns_to_the_order_of_the_dataset(left):
    found, expected = left[1](), answer(np.arange(N))
    assert set(found) == set(expected)
    for name in ("score", "call", "label", "chances"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert isinstance(found["expression"], Rows)
    np.testing.assert_array_equal(found["expression"][:], expected["expression"])


def test_answers_to_several_rounds_return_as_one_matrix_in_the_order_of_the_dataset(tmp_path):
    """Every entry that is asked for comes back where it belongs, with the value of its round and cell."""
    X = CLASSES.cells.X
    rounds = []
    for k in range(3):
        pattern = np.arange(X.nnz) % 3 == k
        query = sparse.csr_matrix((pattern, X.indices.copy(), X.indptr.copy()), X.shape)
        query.eliminate_zeros()
        rounds.append(replace(CLASSES, query=query))
    write_rounds(rounds, tmp_path / "inputs", "p")
    expected = np.zeros(X.shape, np.float32)
    for k, part in enumerate(round_folders(tmp_path / "inputs")):
        returned = answer(permutation(N, "p"))
        returned["expression"] = (returned["expression"] + k + 0.5) / 2
        shown = read_inputs(part)
        hand_over(admit(returned, shown, ALL), shown, ALL, tmp_path, k)
        asked = rounds[k].query.toarray()
        expected[asked] = (answer(np.arange(N))["expression"] + k + np.float32(0.5))[asked] / 2
    found = receive(tmp_path, tmp_path / "inputs", "p", CLASSES, ALL)["expression"]
    assert found.nnz == X.nnz
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)


def without(arrays, name):
    return {key: values for key, values in arrays.items() if key != f"output:{name}"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays: arrays | {"output:score": np.zeros(N - 1)}, "shape"),
        (lambda arrays: arrays | {"output:score": np.full(N, np.nan)}, "40 of 40 values are NaN"),
        (lambda arrays: arrays | {"output:chances": np.ones((N, 3))}, "allowed from 0.1 to 0.7"),
        (lambda arrays: arrays | {"output:other": np.zeros(N)}, "unknown output 'other'"),
        (lambda arrays: without(arrays, "score"), "'score' is missing"),
    ],
)
def test_arrays_that_are_changed_after_the_first_check_are_refused_by_the_second(left, change, told):
    folder, get = left
    with np.load(folder / "prediction.npz") as stored:
        arrays = change(dict(stored))
    np.savez(folder / "prediction.npz", **arrays)
    with pytest.raises(InvalidOutputError, match=told):
        get()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.full((N, GENES), np.nan, np.float32), f"{N * GENES} values of 'expression' are NaN"),
        (np.zeros((N, GENES - 1), np.float32), "was changed after it had been checked"),
        (np.zeros((N, GENES)), "was changed after it had been checked"),
    ],
)
def test_expression_that_is_changed_after_the_first_check_is_refused_by_the_second(left, values, told):
    folder, get = left
    np.save(folder / "expression.npy", values)
    with pytest.raises(InvalidOutputError, match=told):
        get()


def test_a_missing_or_damaged_prediction_is_an_invalid_output(left):
    folder, get = left
    (folder / "prediction.npz").write_bytes(b"PK but not a zip")
    with pytest.raises(InvalidOutputError, match="read back"):
        get()
    (folder / "prediction.npz").unlink()
    with pytest.raises(InvalidOutputError, match="read back"):
        get()


EITHER = (
    Output("expression", "expression", "logs"),
    Output("embedding", "matrix", "coordinates", required=False, instead_of="expression"),
)


def test_an_output_may_take_the_place_of_another():
    points = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    admitted = admit({"embedding": points}, CLASSES, EITHER)
    np.testing.assert_array_equal(admitted["embedding"], points)
    named = pd.DataFrame(points, index=CLASSES.cells.obs.index, columns=list("xyz")).iloc[::-1]
    np.testing.assert_array_equal(admit({"embedding": named}, CLASSES, EITHER)["embedding"], points)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, r"'expression' is missing[\s\S]*return a dict \{\"expression\": .*\} or \{\"embedding\": a row per cell"),
        ({"expression": np.zeros((N, GENES)), "embedding": np.zeros((N, 2))}, "'expression' and 'embedding' were both"),
        ({"embedding": np.zeros(N)}, rf"shape \({N},\), expected \({N}, dimensions\)"),
        ({"embedding": np.zeros((N, 0))}, "a column per dimension"),
        ({"embedding": np.zeros((2, N))}, "turn it round"),
        ({"embedding": np.full((N, 2), np.nan)}, "values are NaN"),
    ],
)
def test_an_embedding_that_is_none_is_refused(answer, told):
    with pytest.raises(InvalidOutputError, match=told):
        admit(answer, CLASSES, EITHER)
