"""ALRA against the authors' R code, and by the properties that its paper promises."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from bench.errors import BenchError
from bench.method import Context
from bench.methods.alra import Alra, chosen_rank, zeros_put_back
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs


@pytest.fixture
def counts(input_a):
    return input_a[0]


def imputed(counts, scratch, **parameters):
    cells = Cells(
        counts, pd.DataFrame({"donor": "d"}, range(counts.shape[0])), pd.DataFrame(index=range(counts.shape[1]))
    )
    return np.array(Alra(**parameters).run(Inputs(cells), Context(seed=0, scratch=scratch))["expression"])


def test_values_are_those_of_the_authors_code(counts, parity, tmp_path):
    """Between two seeds 8 % of the R code's own entries differ by more than 0.001; at thresholds by up to 2.4."""
    official = np.load(parity / "alra" / "official.npz")["rank5"]
    ours = imputed(counts, tmp_path, rank=5)[:, : official.shape[1]]
    far = np.abs(ours - official) > 0.01
    assert far.mean() < 0.002
    assert ((ours > 0) == (official > 0)).mean() > 0.999


def test_the_rank_is_chosen_as_by_the_authors_code(counts, parity):
    """Singular values beyond the sixth are noise here, and which of them makes a gap is chance in R, too."""
    seen = set(np.load(parity / "alra" / "official.npz")["ranks"].tolist())
    normalised = log1p_cp10k(counts)
    ours = {chosen_rank(randomized_svd(normalised, 100, n_iter=2, random_state=seed)[1]) for seed in range(3)}
    assert ours <= seen
    assert 6 in ours


def test_the_rule_of_the_rank():
    singular = np.r_[100.0, 80, 60, np.linspace(10, 5, 97)]
    singular[80:] -= np.tile([0, 0.001], 10)
    assert chosen_rank(singular) == 3
    assert chosen_rank(np.linspace(10, 9, 100) + np.tile([0, 0.001], 50)) == 1


def test_what_was_observed_stays_expressed_and_each_gene_keeps_its_mean_and_spread():
    rng = np.random.default_rng(0)
    approximated = rng.normal(1, 1, (400, 6))
    observed = np.where(rng.random((400, 6)) < 0.4, rng.gamma(2, 1, (400, 6)), 0)
    observed[:, 4] = 0
    observed[7, 4] = 2.5
    values = zeros_put_back(approximated, observed, 0.001)
    assert (values[observed > 0] > 0).all()
    threshold = np.abs(np.quantile(approximated, 0.001, axis=0))
    low = (approximated <= threshold) & (observed == 0)
    assert low.any()
    assert (values[low] == 0).all()
    for gene in range(4):
        kept = approximated[:, gene] > threshold[gene]
        literal = approximated[kept, gene]
        seen = observed[observed[:, gene] > 0, gene]
        literal = (literal - literal.mean()) / literal.std(ddof=1) * seen.std(ddof=1) + seen.mean()
        np.testing.assert_allclose(
            values[kept, gene][literal > 0], literal[literal > 0], rtol=1e-5, err_msg="mean and spread are the observed"
        )
    assert values[7, 4] > 0


def test_all_genes_and_cells_come_back(counts, tmp_path):
    few = counts[:60, :200].tolil()
    few[:, 5] = 0
    few[9] = 0
    values = imputed(csr_matrix(few), tmp_path)
    assert values.shape == (60, 200)
    assert not values[:, 5].any()
    assert not values[9].any()
    assert (values[few.toarray() > 0] > 0).all()


def test_a_rank_beyond_the_counts_is_cut_and_one_beyond_the_hundredth_is_not(counts, tmp_path):
    few = Context(seed=0, scratch=tmp_path)
    left, right = Alra(rank=500).fit(Cells(counts[:30], *_tables(30, counts.shape[1])), few)
    assert (left.shape[1], right.shape[0]) == (29, 29)
    assert few.notes == [f"rank 500 is more than 30 cells of {counts.shape[1]:,} genes can have: 29 was taken"]
    asked = Context(seed=0, scratch=tmp_path)
    assert Alra(rank=120).fit(Cells(counts[:200], *_tables(200, counts.shape[1])), asked)[0].shape == (200, 120)
    assert asked.notes == []


def _tables(n_cells, n_genes):
    return pd.DataFrame({"donor": "d"}, range(n_cells)), pd.DataFrame(index=range(n_genes))


@pytest.mark.filterwarnings("error")
def test_few_singular_values_are_one_rank():
    assert [chosen_rank(np.arange(n, 0.0, -1)) for n in (1, 2, 3, 4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(("parameter", "value"), [("rank", -1), ("rank", 2.5), ("quantile", 1.5), ("quantile", -0.1)])
def test_values_without_a_meaning_are_refused(parameter, value):
    with pytest.raises(BenchError, match=f"{parameter} is {value}"):
        Alra(**{parameter: value})
