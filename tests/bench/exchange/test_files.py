import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from toy_problem import INPUTS

from bench.exchange.files import (
    has_fractions,
    permutation,
    plain_copy,
    read_inputs,
    read_obsm,
    write_inputs,
    write_obsm,
)
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs


def test_inputs_come_back_permuted_under_opaque_names(tmp_path):
    write_inputs(INPUTS, tmp_path, "problem")
    back = read_inputs(tmp_path)
    order = permutation(40, "problem")
    assert not np.array_equal(order, np.arange(40))
    np.testing.assert_array_equal(back.cells.X.toarray(), INPUTS.cells.X.toarray()[order])
    assert list(back.cells.obs["donor"]) == list(INPUTS.cells.obs["donor"].iloc[order])
    assert back.cells.obs.index[0] == "cells_0000000"
    assert not set(back.cells.obs.index) & set(INPUTS.cells.obs.index)
    pd.testing.assert_frame_equal(back.cells.var, INPUTS.cells.var)
    assert isinstance(back.cells.X, sparse.csr_matrix)
    assert back.info == {"fact": 1}
    assert back.train is None


def test_embeddings_come_back_with_their_cells(tmp_path):
    rng = np.random.default_rng(0)
    cells, train = (
        Cells(INPUTS.cells.X, INPUTS.cells.obs, INPUTS.cells.var, {"X_a/b": rng.normal(size=(40, 3)), "file": array})
        for array in (np.arange(40)[:, None], np.arange(40, 80)[:, None])
    )
    inputs = Inputs(cells, train, INPUTS.info)
    write_inputs(inputs, tmp_path / "inputs", "problem")
    write_obsm(inputs, tmp_path / "obsm", "problem")
    plain = read_inputs(tmp_path / "inputs")
    assert not plain.cells.obsm  # whoever shares the inputs is not shown them
    back = read_obsm(plain, tmp_path / "obsm")
    np.testing.assert_array_equal(back.cells.obsm["X_a/b"], cells.obsm["X_a/b"][permutation(40, "problem")])
    np.testing.assert_array_equal(back.cells.obsm["file"][:, 0], permutation(40, "problem"))
    np.testing.assert_array_equal(back.train.obsm["file"][:, 0], 40 + permutation(40, "problem/train"))
    few = back.take(np.array([3, 1])).cells
    np.testing.assert_array_equal(few.obsm["file"], back.cells.obsm["file"][[3, 1]])
    assert read_obsm(plain, tmp_path / "nothing").cells.obsm == {}


def test_the_same_inputs_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_inputs(INPUTS, tmp_path / name, "problem")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def halves():
    """Inputs whose odd counts are halved, and the whole counts next to each entry."""
    X = INPUTS.cells.X.astype(np.float32) / 2
    cells = Cells(X, INPUTS.cells.obs, INPUTS.cells.var)
    return Inputs(cells, cells), np.floor(X.toarray()), np.ceil(X.toarray())


def test_half_counts_are_shown_as_they_are_or_rounded(tmp_path):
    inputs, low, high = halves()
    write_inputs(inputs, tmp_path, "problem")
    order = permutation(40, "problem")
    assert has_fractions(tmp_path)
    as_they_are, whole = (read_inputs(tmp_path, fractions=fractions) for fractions in (True, False))
    np.testing.assert_array_equal(as_they_are.cells.X.toarray(), inputs.cells.X.toarray()[order])
    found, low, high = whole.cells.X.toarray(), low[order], high[order]
    assert whole.cells.X.dtype == np.int32
    assert whole.cells.X.data.min() == 1  # what is rounded down to zero is not stored
    assert ((found == low) | (found == high)).all()
    assert 0.4 < (found == high)[low < high].mean() < 0.6
    assert (whole.train.X.data > 0).all()
    assert whole.train.X.sum() != whole.cells.X.sum()  # other random numbers


def test_rounding_is_alike_in_every_order_and_whole_counts_are_left_alone(tmp_path):
    inputs, _, _ = halves()
    seen = []
    for name in ("a", "b"):
        write_inputs(inputs, tmp_path / name, name)
        back = read_inputs(tmp_path / name, fractions=False).cells.X.toarray()
        seen.append(back[np.argsort(permutation(40, name))])
    np.testing.assert_array_equal(*seen)
    write_inputs(INPUTS, tmp_path / "whole", "a")
    assert not has_fractions(tmp_path / "whole")
    with np.load(tmp_path / "whole" / "cells.npz") as stored:
        assert set(stored.files) == {"data", "indices", "indptr", "shape"}


def test_training_cells_keep_their_labels(tmp_path):
    train = Cells(INPUTS.cells.X, INPUTS.cells.obs.assign(label=np.arange(40)), INPUTS.cells.var)
    write_inputs(Inputs(INPUTS.cells, train), tmp_path, "problem")
    back = read_inputs(tmp_path)
    np.testing.assert_array_equal(back.train.X.toarray(), INPUTS.cells.X.toarray()[back.train.obs["label"].to_numpy()])


def test_log1p_cp10k_is_what_scanpy_computes():
    X = INPUTS.cells.X.copy()
    X[3] = 0  # an all-zero cell stays zero
    X.eliminate_zeros()
    expected = sc.pp.log1p(sc.pp.normalize_total(sc.AnnData(X.copy()), target_sum=1e4, copy=True), copy=True).X
    np.testing.assert_allclose(log1p_cp10k(X).toarray(), expected.toarray(), rtol=1e-6)
    assert log1p_cp10k(X)[3].nnz == 0


def test_a_library_size_that_is_told_is_what_values_are_normalised_by(tmp_path):
    X = sparse.csr_matrix(np.array([[1, 0, 3], [2, 2, 0]], dtype=np.int32))
    obs = pd.DataFrame({"library_size": [10.0, 4.0]}, index=["a", "b"])
    write_inputs(Inputs(Cells(X, obs, pd.DataFrame(index=list("xyz")))), tmp_path, "p")
    shown = read_inputs(tmp_path, "log1p_cp10k").cells
    expected = np.log1p(X.toarray() / obs["library_size"].to_numpy()[:, None] * 1e4)
    np.testing.assert_allclose(shown.X.toarray(), expected[permutation(2, "p")], rtol=1e-6)
    assert (read_inputs(tmp_path).cells.X != X[permutation(2, "p")]).nnz == 0


def test_tables_survive_the_way_into_an_environment_without_parquet(tmp_path):
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical(["a", "b", None]),
            "n": np.array([1, 2, 3]),
            "rate": [0.5, np.nan, 1.0],
            "hot": [True, False, True],
            "label": ["x", None, "ü"],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
        },
        index=["c0", "c1", "c2"],
    )
    var = pd.DataFrame({"symbol": ["s0", "s1"]}, index=["g0", "g1"])
    inputs = Inputs(Cells(sparse.csr_matrix(np.eye(3, 2, dtype=np.float32)), obs, var), info={"fact": 1})
    write_inputs(inputs, tmp_path / "inputs", "p")
    plain_copy(tmp_path / "inputs", tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("*.parquet"))
    before, after = read_inputs(tmp_path / "inputs"), read_inputs(tmp_path / "plain")
    assert (before.cells.X != after.cells.X).nnz == 0
    assert after.info == {"fact": 1}
    pd.testing.assert_frame_equal(before.cells.var, after.cells.var, check_dtype=False)
    for column in ("n", "rate", "hot"):
        pd.testing.assert_series_equal(before.cells.obs[column], after.cells.obs[column])
    for column in ("donor", "label"):
        old, new = ([None if pd.isna(v) else v for v in cells.obs[column]] for cells in (before.cells, after.cells))
        assert old == new
    assert after.cells.obs["nullable"].isna().tolist() == before.cells.obs["nullable"].isna().tolist()
