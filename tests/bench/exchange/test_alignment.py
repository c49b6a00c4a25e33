"""What a method returned becomes arrays in the order of the cells: by name where there are names, else as it stands."""

from decimal import Decimal

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from toy_problem import INPUTS

from bench.errors import InvalidOutputError
from bench.exchange.alignment import aligned
from bench.exchange.gate import admit
from bench.exchange.outputs import what_to_return
from bench.method import Context
from bench.problem import Inputs, Output
from bench.sandbox.worker import run_method

OUTPUTS = (
    Output("score", "float", "a score", required=False),
    Output("call", "bool", "a call", required=False),
    Output("label", "label", "a label", required=False),
    Output("chances", "matrix", "of each class", required=False, low=0, high=1, columns="classes"),
    Output("expression", "expression", "logs", required=False),
)
INFO = {"classes": ["ast", "mic", "oli"]}
INSIDE = Inputs(INPUTS.cells, info=INFO)
CELLS, GENES = INPUTS.cells.obs.index, INPUTS.cells.var.index
N = len(CELLS)
RNG = np.random.default_rng(0)
ORDER = RNG.permutation(N)
VALUES = {
    "score": RNG.random(N),
    "call": RNG.random(N) < 0.5,
    "label": np.array([f"type {i % 3}" for i in range(N)]),
    "chances": RNG.dirichlet(np.ones(3), N),
    "expression": RNG.random((N, len(GENES))),
}


def answer(name, values):
    return admit({name: values}, INSIDE, OUTPUTS)[name]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("order", ["sorted", "shuffled", "same"])
def test_named_values_are_put_into_the_order_of_the_cells(name, order):
    rows = {"sorted": np.argsort(CELLS.to_numpy().astype(str))[::-1], "shuffled": ORDER, "same": np.arange(N)}[order]
    values = VALUES[name]
    if values.ndim == 1:
        named = pd.Series(values, index=CELLS)
    else:
        columns = GENES if name == "expression" else pd.Index(INFO["classes"])
        named = pd.DataFrame(values, index=CELLS, columns=columns).iloc[:, ::-1]
    found = answer(name, named.iloc[rows])
    assert found.dtype.kind == values.dtype.kind
    np.testing.assert_array_equal(found, values)


def test_each_output_may_have_an_order_of_its_own():
    score = pd.Series(VALUES["score"], index=CELLS).sort_values()
    call = pd.Series(VALUES["call"], index=CELLS).iloc[::-1]
    found = admit({"score": score, "call": call, "label": VALUES["label"]}, INSIDE, OUTPUTS)
    for name in ("score", "call", "label"):
        np.testing.assert_array_equal(found[name], VALUES[name])


def test_answers_donor_by_donor_are_aligned_and_put_together():
    class PerDonor:
        per_donor = True

        def run(self, inputs, ctx):
            score = pd.Series(VALUES["score"], index=CELLS).loc[inputs.cells.obs.index].sort_values()
            chances = pd.DataFrame(VALUES["chances"], CELLS, INFO["classes"]).loc[score.index, ["oli", "ast", "mic"]]
            return {"score": score, "chances": chances}

    found = run_method(PerDonor(), INSIDE, Context(seed=0), OUTPUTS)
    for name in ("score", "chances"):
        np.testing.assert_array_equal(found[name], VALUES[name])


@pytest.mark.parametrize("kind", ["string", "category", object])
def test_strings_of_any_kind_are_aligned(kind):
    named = pd.Series(VALUES["label"], index=pd.Index(CELLS, dtype="category")).astype(kind)
    np.testing.assert_array_equal(answer("label", named.iloc[ORDER]), VALUES["label"])


@pytest.mark.parametrize(
    "index",
    [pd.RangeIndex(N), pd.Index(np.arange(N)), pd.Index(np.arange(N).astype(float))],
    ids=["range", "int", "float"],
)
def test_a_default_index_is_no_name(index):
    np.testing.assert_array_equal(answer("score", pd.Series(VALUES["score"], index=index)), VALUES["score"])
    table = pd.DataFrame(VALUES["chances"], index=index)
    np.testing.assert_array_equal(answer("chances", table), VALUES["chances"])
    named_rows = pd.DataFrame(VALUES["chances"], index=CELLS).iloc[ORDER]
    np.testing.assert_array_equal(answer("chances", named_rows), VALUES["chances"])
    named_columns = pd.DataFrame(VALUES["chances"], columns=INFO["classes"])[["oli", "ast", "mic"]]
    np.testing.assert_array_equal(answer("chances", named_columns), VALUES["chances"])


def test_rows_that_are_made_when_they_are_read_are_not_read_at_once():
    class Made:
        shape = VALUES["expression"].shape

        def __getitem__(self, rows):
            assert rows == slice(1), "all are read"
            return VALUES["expression"][rows]

    made = Made()
    assert answer("expression", made) is made


def test_what_turns_into_pandas_is_aligned_too():
    class Labelled:  # as xarray's DataArray, which is not installed here
        def to_pandas(self):
            return pd.Series(VALUES["score"], index=CELLS).iloc[ORDER]

    np.testing.assert_array_equal(answer("score", Labelled()), VALUES["score"])


def series(index):
    return pd.Series(VALUES["score"][: len(index)], index=index)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (series(CELLS[:-3]), "3 of 40 cells are missing, such as 'c37', 'c38', 'c39'"),
        (series([*CELLS[:-1], CELLS[0]]), "1 cells occur more than once, such as 'c0'; 1 of 40 cells are missing"),
        (series([f"{c}-1" for c in CELLS]), "40 names are no cell of the inputs, such as 'c0-1', 'c1-1', 'c2-1'"),
        (series(pd.RangeIndex(N)).iloc[ORDER], "40 names are no cell of the inputs"),
        (series(pd.RangeIndex(1, N + 1)), "40 names are no cell of the inputs, such as 1, 2, 3"),
        (series([*CELLS[:-1], np.nan]), "1 names are no cell of the inputs, such as nan"),
        (series(pd.MultiIndex.from_arrays([["a"] * N, CELLS])), "names of 2 levels"),
        (series(pd.RangeIndex(N - 1)), r"shape (39,), expected (40,)"),
        (pd.DataFrame({"score": VALUES["score"]}, index=CELLS), "return the column itself"),
        (VALUES["score"][:, None], "return the column itself"),
        (sparse.csr_matrix(VALUES["score"]).todense().T, "return the column itself"),
        (sparse.csr_matrix(VALUES["score"][:, None]), "return the column itself"),
        (VALUES["score"][:-1], r"shape (39,), expected (40,)"),
        (None, "None is no array of one entry per cell"),
        (0.5, "float is no array"),
        ((x for x in VALUES["score"]), "generator is no array"),
        (dict(zip(CELLS, VALUES["score"], strict=True)), "dict is no array"),
        ([[1.0], [1.0, 2.0]], "list cannot be made an array"),
        (np.ma.masked_less(VALUES["score"], 0.5), "values are missing"),
        (pd.Series([0.5] * 39 + [None], dtype=object), "1 values are missing"),
    ],
)
def test_an_answer_that_cannot_be_placed_is_refused_with_the_reason(values, told):
    with pytest.raises(InvalidOutputError) as refused:
        answer("score", values)
    assert told in str(refused.value)
    assert "output 'score' (a score)" in refused.value.where
    assert refused.value.fix


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("chances", pd.DataFrame(VALUES["chances"], columns=["ast", "mic", "end"]), "'oli'"),
        ("chances", pd.DataFrame(VALUES["chances"], columns=["ast", "mic", "mic"]), "1 columns occur more than once"),
        ("chances", VALUES["chances"][:, :2], "a column for each of inputs.info['classes']"),
        ("expression", pd.DataFrame(VALUES["expression"], CELLS, GENES).iloc[:, 1:], "1 of 15 genes are missing"),
        ("expression", pd.DataFrame(VALUES["expression"], CELLS, GENES).iloc[1:], "1 of 40 cells are missing"),
        ("chances", VALUES["chances"].T, "values.T"),
        ("expression", ad.AnnData(VALUES["expression"]), "adata.to_df()"),
        ("label", np.array(["a"] * 39 + [None], dtype=object), "1 values are missing"),
        ("label", pd.Series(["a"] * 39 + [None], dtype="string"), "1 values are missing"),
        ("label", pd.Categorical(["a"] * 39 + [None]), "1 values are missing"),
    ],
)
def test_tables_and_labels_are_refused_with_the_reason(name, values, told):
    with pytest.raises(InvalidOutputError) as refused:
        answer(name, values)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("score", np.arange(40.0).astype(object), "f"),
        ("score", [Decimal(1)] * 40, "f"),
        ("score", pd.array(range(40), dtype="Int64"), "i"),
        ("score", list(range(40)), "i"),
        ("call", np.array([True, False] * 20, dtype=object), "b"),
        ("call", pd.array([True, False] * 20, dtype="boolean"), "b"),
        ("label", list("ab") * 20, "U"),
        ("label", np.array(["astrocyte", "T"] * 20, dtype=object), "U"),
        ("label", pd.Categorical(["astrocyte", "T"] * 20), "U"),
        ("chances", pd.DataFrame(VALUES["chances"]).astype("Float64"), "f"),
        ("chances", sparse.csr_matrix(VALUES["chances"]), "f"),
        ("expression", pd.DataFrame(VALUES["expression"]).astype("Float64"), "f"),
    ],
)
def test_whatever_holds_them_arrays_hold_no_objects(name, values, kind):
    [output] = [output for output in OUTPUTS if output.name == name]
    assert aligned(values, INSIDE, output).dtype.kind == kind


@pytest.mark.parametrize("prediction", [None, [1, 2], (1,), np.zeros(40), pd.DataFrame({"score": VALUES["score"]})])
def test_what_is_no_dict_is_told_what_the_task_asks_for(prediction):
    outputs = (Output("label", "label", "a label"), *OUTPUTS[3:4], Output("call", "bool", "a call", required=False))
    with pytest.raises(InvalidOutputError, match="run\\(\\) returned") as refused:
        admit(prediction, INSIDE, outputs)
    assert refused.value.fix == what_to_return(outputs)
    assert what_to_return(outputs) == (
        'return a dict {"label": a string per cell} and, if the method has it, "chances": a row per cell and a column '
        "for each of inputs.info['classes'], \"call\": True or False per cell"
    )


def test_unknown_and_missing_outputs_are_named():
    outputs = (Output("score", "float", "a score"), Output("call", "bool", "a call", required=False))
    with pytest.raises(InvalidOutputError, match="did you mean 'score'"):
        admit({"scores": VALUES["score"]}, INSIDE, outputs)
    with pytest.raises(InvalidOutputError, match="'score' is missing"):
        admit({"call": VALUES["call"]}, INSIDE, outputs)
