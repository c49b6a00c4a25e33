import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bench.errors import BenchError
from bench.methods.nn.expression import log1p_cp10k


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_values_by_hand(dtype):
    counts = csr_matrix(np.array([[1, 0, 3], [0, 2, 0]], dtype=dtype))
    expression = log1p_cp10k(counts)
    assert expression.dtype == np.float32
    np.testing.assert_allclose(expression, np.log([[2501, 1, 7501], [1, 10001, 1]]), rtol=1e-6)


def test_totals_do_not_overflow():
    counts = csr_matrix(np.full((1, 3), 2**30, dtype=np.int32))
    np.testing.assert_allclose(log1p_cp10k(counts), np.log1p(1e4 / 3), rtol=1e-6)


def test_the_counts_stay_as_they_are():
    counts = csr_matrix(np.array([[1.0, 2.0]]))
    log1p_cp10k(counts)
    np.testing.assert_array_equal(counts.toarray(), [[1, 2]])


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([[1, np.nan]], "NaN"),
        ([[1, np.inf]], "NaN or infinite"),
        ([[1, -2]], "negative values .smallest -2"),
        ([[0.69, 1.1]], "already log-transformed"),
        ([[50.3, 1.0]], "already normalised"),
        ([[1, 2], [0, 0]], "1 of 2 cells have no counts.*row 1"),
    ],
)
def test_what_is_no_counts_is_refused(values, what):
    with pytest.raises(BenchError, match=what) as caught:
        log1p_cp10k(csr_matrix(np.array(values, dtype=np.float64)), where="batch 3 of study")
    assert caught.value.where == "batch 3 of study"
    assert caught.value.fix


def test_no_cells():
    assert log1p_cp10k(csr_matrix((0, 4))).shape == (0, 4)
