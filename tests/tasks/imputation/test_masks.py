from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from bench.tasks.imputation import masks
from bench.tasks.imputation.masks import N_GROUPS, groups, only, truth, visible_totals
from bench.tasks.imputation.thin import KEPT, more_lost, thin, with_rows


@pytest.fixture
def X() -> sparse.csr_matrix:
    rng = np.random.default_rng(1)
    dense = rng.poisson(0.8, (40, 53)) * rng.integers(1, 9, (40, 53))
    dense[3] = 0
    return sparse.csr_matrix(dense.astype(np.int32))


def test_groups_are_every_fifth_detected_gene_of_a_cell(X: sparse.csr_matrix) -> None:
    group = groups(X)
    for i in range(X.shape[0]):
        mine, detected = group[X.indptr[i] : X.indptr[i + 1]], np.flatnonzero(X[i].toarray())
        for k in range(N_GROUPS):
            np.testing.assert_array_equal(X[i].indices[mine == k], detected[k::N_GROUPS])


def test_truth_is_on_the_scale_of_what_is_left(X: sparse.csr_matrix) -> None:
    """Each value recomputed alone: the cell without its hidden group, and the entry on that library size."""
    dense, seen, whole = X.toarray().astype(float), truth(X, full_library=False), truth(X, full_library=True)
    for i in range(X.shape[0]):
        detected = np.flatnonzero(dense[i])
        for k in range(N_GROUPS):
            hidden = detected[k::N_GROUPS]
            left = np.delete(dense[i], hidden).sum()
            assert visible_totals(X)[i, k] == left
            np.testing.assert_allclose(seen[i, hidden].toarray()[0], np.log1p(dense[i, hidden] / left * 1e4), rtol=1e-6)
            everything = np.log1p(dense[i, hidden] / dense[i].sum() * 1e4)
            np.testing.assert_allclose(whole[i, hidden].toarray()[0], everything, rtol=1e-6)
    assert seen.nnz == whole.nnz == X.nnz


def test_chosen_entries_and_the_others_make_the_whole(X: sparse.csr_matrix) -> None:
    hidden = groups(X) == 2
    a, b = only(X, hidden), only(X, ~hidden)
    assert (a + b != X).nnz == 0
    assert a.nnz + b.nnz == X.nnz
    assert a.multiply(b).nnz == 0


@pytest.mark.parametrize("size", [1, 7, 40])
def test_blocks_of_entries_change_nothing(X: sparse.csr_matrix, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.random.default_rng(3).random(X.nnz) < 0.4

    def found() -> list[np.ndarray]:
        truths = [truth(X, full_library=full).data for full in (False, True)]
        return [groups(X), only(X, chosen).indptr, *truths]

    whole = found()
    monkeypatch.setattr(masks, "_BLOCK", size)
    for a, b in zip(found(), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.concatenate([cell for *_, cell in masks.blocks(X)]), X.tocoo().row)


def test_thinning_keeps_molecules_one_by_one() -> None:
    """Counts of one molecule, of many, and the spread between entries: Binomial(count, share)."""
    n, count = 4000, 37
    X = sparse.csr_matrix(np.full((n, 3), count, dtype=np.int32))
    left = thin(X, np.arange(n), seed=5).toarray()
    for column in left.T:
        observed = np.bincount(column, minlength=count + 1)
        expected = stats.binom.pmf(np.arange(count + 1), count, KEPT) * n
        large = expected >= 5
        tail = [observed[~large].sum()], [expected[~large].sum()]
        p = stats.chisquare(np.append(observed[large], tail[0]), np.append(expected[large], tail[1])).pvalue
        assert p > 1e-4
    assert abs(np.corrcoef(left.T)[np.triu_indices(3, 1)]).max() < 0.06  # genes of a cell are independent
    single = thin(sparse.csr_matrix(np.ones((n, 3), dtype=np.int32)), np.arange(n), seed=5)
    assert single.nnz == pytest.approx(3 * n * KEPT, rel=0.05)


def test_thinning_depends_on_the_seed_and_the_cell_not_on_who_else_is_there(X: sparse.csr_matrix) -> None:
    rows = np.array([7, 2, 30])
    all_of_them = thin(X, np.arange(40), seed=1)
    assert (thin(X, rows, seed=1) != all_of_them[rows]).nnz == 0
    assert (thin(X, rows, seed=2) != all_of_them[rows]).nnz > 0


def test_blocks_of_molecules_change_nothing(X: sparse.csr_matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = thin(X, np.arange(40), seed=1)
    monkeypatch.setattr("bench.tasks.imputation.thin._BLOCK", 7)
    assert (thin(X, np.arange(40), seed=1) != whole).nnz == 0


def test_further_lost_molecules_leave_what_thinning_keeps(X: sparse.csr_matrix) -> None:
    rows = np.arange(0, 40, 2)
    other = more_lost(X, rows, 1, np.random.default_rng(0))
    before, after = thin(X, np.arange(40), seed=1), thin(other, np.arange(40), seed=1)
    assert before.nnz == after.nnz
    assert (before != after).nnz == 0
    grown = (other - X).tocoo()
    assert grown.nnz > 100
    assert grown.data.min() > 0
    assert set(grown.row) <= set(rows)
    assert np.asarray(X[grown.row, grown.col]).min() == 0  # also genes that had no molecule
    assert other.has_sorted_indices


def test_rows_are_put_in_place(X: sparse.csr_matrix) -> None:
    mixed = with_rows(X, np.array([5, 1]), X[[9, 8]]).toarray()
    expected = X.toarray()
    expected[[5, 1]] = expected[[9, 8]]
    np.testing.assert_array_equal(mixed, expected)
