"""Every check refuses what it should, says where and what to do, and lets good data pass."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.data import checks
from bench.errors import DataError


def _csr(values):
    return sparse.csr_matrix(np.asarray(values, dtype=float))


@pytest.fixture
def raw():
    rng = np.random.default_rng(1)
    return _csr(rng.poisson(1.0, (30, 40)) + 1)


def _normalised(raw, total=1e4):
    return _csr(raw.toarray() / raw.toarray().sum(axis=1, keepdims=True) * total)


def _refused(check, *args, **kwargs):
    with pytest.raises(DataError) as error:
        check(*args, **kwargs)
    assert error.value.where
    assert error.value.fix
    return error.value


def test_good_counts_pass(raw):
    checks.check_counts(raw, "f")
    checks.check_finite(raw, "f")
    checks.check_counts(raw.astype(np.int64), "f")
    checks.check_finite(raw.astype(np.int64), "f")
    checks.check_counts(_csr(np.zeros((3, 2))), "f")


def test_negative_values():
    assert "negative" in _refused(checks.check_counts, _csr([[1, -2.5]]), "file.h5ad").what


def test_log1p_of_normalised(raw):
    error = _refused(checks.check_counts, _csr(np.log1p(_normalised(raw).toarray())), "f")
    assert "log-transformed" in error.what
    assert "--layer" in error.fix


def test_log1p_of_raw_counts(raw):
    assert "log-transformed" in _refused(checks.check_counts, _csr(np.log1p(raw.toarray())), "f").what


def test_log1p_of_normalised_after_genes_were_dropped(raw):
    few = np.log1p(_normalised(raw).toarray())[:, :20]
    assert "log-transformed" in _refused(checks.check_counts, _csr(few), "f").what


def test_normalised(raw):
    error = _refused(checks.check_counts, _normalised(raw), "f")
    assert "normalised" in error.what
    assert "1e+04" in error.what


def test_other_fractions(raw):
    noisy = raw.toarray() + np.random.default_rng(0).uniform(0, 0.9, raw.shape)
    error = _refused(checks.check_counts, _csr(noisy * 20), "f")
    assert "not integer counts" in error.what
    assert "rounded" in error.fix


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad):
    error = _refused(checks.check_finite, _csr([[1, 2], [0, bad]]), "f")
    assert "NaN or infinite" in error.what
    assert "row 1" in error.what


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty(shape):
    assert "empty" in _refused(checks.check_not_empty, shape, "f").what


@pytest.mark.parametrize("kind", ["cell", "gene"])
def test_duplicate_names(kind):
    error = _refused(checks.check_unique, pd.Index(["a", "b", "a"]), kind, "f")
    assert error.what == f"{kind} names occur more than once (1 name, such as a)"
    checks.check_unique(pd.Index(["a", "b"]), kind, "f")


@pytest.mark.parametrize("missing", [np.nan, None, "", " "])
def test_missing_labels(missing):
    error = _refused(checks.check_labels, pd.Series(["x", missing, "y"], name="cell_type", dtype=object), "f")
    assert "1 of 3 cells" in error.what
    assert "cell_type" in error.where
    checks.check_labels(pd.Series(["x", "y"], name="cell_type"), "f")


def test_missing_labels_of_a_category():
    _refused(checks.check_labels, pd.Series(pd.Categorical(["x", None]), name="donor"), "f")


def test_levels_that_do_not_nest():
    obs = pd.DataFrame({"cell_type": ["a", "b", "b"], "subtype": ["x", "x", "y"], "subcluster": ["1", "2", "3"]})
    error = _refused(checks.check_nested, obs, "f")
    assert "'x'" in error.what
    checks.check_nested(obs.drop(columns="cell_type"), "f")
    checks.check_nested(obs[["cell_type"]], "f")
    checks.check_nested(obs.replace({"cell_type": {"a": " b "}}), "f")
    for none in ("(none)", "Unassigned", ""):
        checks.check_nested(obs.replace({"subtype": {"x": none}}), "f")


def test_cells_without_counts():
    X = _csr([[1, 0], [0, 0], [0, 0]])
    error = _refused(checks.check_no_empty_cells, X, pd.Index(["c1", "c2", "c3"]), "f")
    assert "2 cells" in error.what
    assert "c2" in error.what
    assert "filter_cells" in error.fix


@pytest.mark.parametrize("convert", [np.asarray, np.asmatrix, sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array])
def test_any_matrix_becomes_a_csr_matrix(convert):
    values = np.array([[0, 2, 1], [3, 0, 0]])
    converted = checks.as_csr(convert(values), "f")
    assert isinstance(converted, sparse.csr_matrix)
    assert converted.nnz == 3
    np.testing.assert_array_equal(converted.toarray(), values)


def test_conversion_sorts_sums_and_leaves_the_original_alone():
    X = sparse.csr_matrix((np.array([1.0, 2.0, 0.0, 5.0]), np.array([2, 0, 1, 2]), np.array([0, 4])), shape=(1, 3))
    before = X.data.copy()
    converted = checks.as_csr(X, "f")
    np.testing.assert_array_equal(converted.toarray(), [[2, 0, 6]])
    assert converted.has_sorted_indices
    assert converted.nnz == 2
    np.testing.assert_array_equal(X.data, before)


def test_text_is_no_matrix():
    assert "type" in _refused(checks.as_csr, np.array([["a", "b"]]), "f").what


@pytest.mark.parametrize(
    "values",
    [
        [True, False],
        ["True", "False"],
        ["TRUE", " false"],
        [1, 0],
        [1.0, 0.0],
        ["1", "0"],
        ["Doublet", "Singlet"],
        pd.Categorical([True, False]),
        pd.array([True, False], dtype="boolean"),
    ],
)
def test_booleans_in_disguise(values):
    column = checks.as_boolean(pd.Series(values, name="is_doublet"), "f")
    assert column.dtype == bool
    assert column.tolist() == [True, False]


def test_not_boolean():
    error = _refused(checks.as_boolean, pd.Series(["yes", "perhaps"], name="is_doublet"), "f")
    assert "'perhaps'" in error.what
    assert "is_doublet" in error.where


@pytest.mark.parametrize("dtype", [object, "boolean", "category"])
def test_gaps_in_a_column_of_true_and_false_are_counted_and_may_be_where_a_cell_is_left_out(dtype):
    values = pd.Series([True, None, False, None], name="is_doublet").astype(dtype)
    error = _refused(checks.as_boolean, values, "f", np.zeros(4, dtype=bool))
    assert error.what == "2 of 4 cells are neither true nor false (missing: 2)"
    assert "--exclude-key" in error.fix
    assert "unassigned" not in error.fix
    found = checks.as_boolean(values, "f", np.array([False, True, False, True]))
    assert found.dtype == bool
    assert found.tolist() == [True, False, False, False]


def test_words_for_neither_true_nor_false_are_counted_with_the_gaps():
    values = pd.Series(["Doublet", "unassigned", "Singlet", None, "unassigned"], name="call")
    error = _refused(checks.as_boolean, values, "f", np.zeros(5, dtype=bool))
    assert error.what == "3 of 5 cells are neither true nor false ('unassigned': 2, missing: 1)"
    assert "--exclude-key" not in _refused(checks.as_boolean, values, "f").fix  # the column that leaves cells out


def test_no_common_name_is_advised_for_cells_of_unknown_donors():
    labels = pd.Series(["x", None], dtype=object)
    assert "unassigned" in _refused(checks.check_labels, labels, "f", "cell_type").fix
    assert "unassigned" not in _refused(checks.check_labels, labels, "f", "donor").fix


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("index", [1000, -1])
def test_indices_outside_of_the_matrix(form, index):
    damaged = form(np.ones((4, 3)))
    damaged.indices[5] = index
    with pytest.raises(DataError, match="damaged"):
        checks.as_csr(damaged, "here")
