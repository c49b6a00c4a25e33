"""What is written for a method, and what it writes, comes back: of any type and shape, permuted there and back once."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from bench.exchange import gate, prediction
from bench.exchange.files import permutation, plain_copy, read_inputs, round_folders, write_inputs, write_rounds
from bench.problem import Cells, Inputs, Problem, Rounds
from bench.task import Output

OUTPUTS = (
    Output("score", "float", "a number"),
    Output("call", "bool", "yes or no", required=False),
    Output("label", "label", "a name", required=False),
    Output("chances", "matrix", "of each class", required=False, columns="classes"),
    Output("expression", "expression", "of each gene", required=False),
)
sizes = st.integers(1, 6), st.integers(0, 5)
few_examples = settings(max_examples=20, derandomize=True, deadline=None)


def random_counts(rng, n_cells, n_genes, dtype):
    """Counts, of floats also halves; some cells and genes have none."""
    counts = rng.poisson(0.7, (n_cells, n_genes)).astype(dtype)
    return sparse.csr_matrix(counts / np.array(2, dtype) if counts.dtype.kind == "f" else counts)


def random_cells(rng, n_cells, var, dtype):
    """Cells with a column of every kind."""
    obs = {
        "number": rng.integers(-3, 3, n_cells),
        "rate": rng.choice([0.25, np.nan], n_cells),
        "flag": rng.random(n_cells) < 0.5,
        "text": rng.choice(np.array(["a", "ü", None], dtype=object), n_cells),
        "category": pd.Categorical(rng.choice(["x", "y"], n_cells), ["y", "x"]),
    }
    names = [f"c{i}" for i in range(n_cells)]
    return Cells(random_counts(rng, n_cells, len(var), dtype), pd.DataFrame(obs, index=names), var)


def genes(n):
    return pd.DataFrame({"symbol": [f"s{i}" for i in range(n)]}, index=[f"g{i}" for i in range(n)])


def assert_shown(shown, cells, order):
    """That ``shown`` are the ``cells`` in this order, under other names."""
    assert shown.X.dtype == cells.X.dtype
    np.testing.assert_array_equal(shown.X.toarray(), cells.X.toarray()[order])
    assert not set(shown.obs.index) & set(cells.obs.index)
    pd.testing.assert_frame_equal(shown.obs, cells.obs.iloc[order].set_axis(shown.obs.index))
    pd.testing.assert_frame_equal(shown.var, cells.var)


@few_examples
@given(
    st.integers(0, 99), *sizes, st.integers(0, 4), st.sampled_from(["int32", "int64", "uint16", "float32", "float64"])
)
def test_inputs(seed, n_cells, n_genes, n_train, dtype):
    rng, var, name = np.random.default_rng(seed), genes(n_genes), f"problem {seed}"
    cells, train = random_cells(rng, n_cells, var, dtype), random_cells(rng, n_train, var, dtype)
    query = sparse.csr_matrix(rng.random(cells.X.shape) < 0.4) if seed % 2 else None
    inputs = Inputs(cells, train if n_train else None, {"fact": [1, None, "ü"]}, query)
    with TemporaryDirectory() as folder:
        write_inputs(inputs, Path(folder, "inputs"), name)
        plain_copy(Path(folder, "inputs"), Path(folder, "plain"))
        back, plain = read_inputs(Path(folder, "inputs")), read_inputs(Path(folder, "plain"))
    order = permutation(n_cells, name)
    assert_shown(back.cells, cells, order)
    assert back.info == inputs.info
    assert (back.train is None) == (n_train == 0)
    if back.train is not None:
        assert_shown(back.train, train, permutation(n_train, f"{name}/train"))
    assert (back.query is None) == (query is None)
    if query is not None:
        np.testing.assert_array_equal(back.query.toarray(), query.toarray()[order])
    assert (plain.cells.X != back.cells.X).nnz == 0
    assert list(plain.cells.obs.index) == list(back.cells.obs.index)
    assert plain.cells.obs.shape == back.cells.obs.shape
    assert list(plain.cells.var["symbol"]) == list(var["symbol"])


@few_examples
@given(
    st.integers(0, 99),
    *sizes,
    st.sampled_from(["float16", "float32", "float64", "int8", "int64", "uint32"]),
    st.sampled_from([0, 1, 3]),
)
def test_a_prediction(seed, n_cells, n_genes, dtype, n_rounds):
    """From ``run`` to the run folder and back, of a method that answers what it sees: 0 rounds hide nothing."""
    rng, var, name = np.random.default_rng(seed), genes(n_genes), f"problem {seed}"
    cells, info = random_cells(rng, n_cells, var, "float32"), {"classes": ["a", "b"]}
    group = rng.integers(n_rounds + 1, size=cells.X.shape)  # of the last nothing is asked

    def look(k):
        return Inputs(cells, None, info, sparse.csr_matrix(group == k) if n_rounds else None)

    rounds = Rounds(max(n_rounds, 1), look)
    problem = Problem(rounds[0], pd.DataFrame(index=cells.obs.index), rounds=rounds)
    truth = {
        "score": cells.obs["number"].abs().to_numpy().astype(dtype),
        "call": cells.obs["flag"].to_numpy(),
        "label": cells.obs["category"].astype(str).to_numpy(),
        "chances": rng.random((n_cells, 2)).astype("float32"),
    }
    order = permutation(n_cells, name)
    with TemporaryDirectory() as folder:
        shown, own, kept = (Path(folder, part) for part in ("shown", "own", "kept"))
        own.mkdir()
        write_rounds(rounds, shown, name)
        for k, part in enumerate(round_folders(shown)):
            seen = read_inputs(part)
            answer = {
                "score": seen.cells.obs["number"].abs().to_numpy().astype(dtype),
                "call": seen.cells.obs["flag"].to_numpy(),
                "label": seen.cells.obs["category"].astype(str).to_numpy(),
                "chances": truth["chances"][order],
                "expression": np.log1p(seen.cells.X.toarray()),
            }
            gate.hand_over(gate.admit(answer, seen, OUTPUTS), seen, OUTPUTS, own, k)
        received = gate.receive(own, shown, name, problem.inputs, OUTPUTS)
        saved = prediction.save(received, OUTPUTS, problem, kept)
        for arrays in (received, saved, prediction.load(kept, OUTPUTS, problem.solution.index)):
            assert set(arrays) == {output.name for output in OUTPUTS}
            for output, values in truth.items():
                np.testing.assert_array_equal(arrays[output], values)
            expression = arrays["expression"]
            if n_rounds:
                asked = group < n_rounds
                assert expression.nnz == asked.sum()
                np.testing.assert_array_equal(expression.toarray(), np.log1p(cells.X.toarray()) * asked)
            else:
                np.testing.assert_array_equal(expression[:], np.log1p(cells.X.toarray()))
