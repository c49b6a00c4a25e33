from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from bench.dataset import Dataset, DatasetCard
from bench.errors import NotApplicableError
from bench.task import Seeds
from bench.tasks.doublet import DoubletTask, invivo
from bench.tasks.doublet.invivo import label_clusters, leiden_clusters, scrublet_scores


def _planted(n: int = 700, n_genes: int = 400, seed: int = 0) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Three cell types in two donors and a cluster of doublets of the first two."""
    rng = np.random.default_rng(seed)
    profile = rng.gamma(0.4, 1.0, size=(3, n_genes))
    kind = rng.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=n)
    rates = np.vstack([profile, profile[0] + profile[1]])[kind]
    donor = np.where(np.arange(n) % 2, "a", "b").astype(object)
    return sparse.csr_matrix(rng.poisson(rates).astype(np.int32)), donor, kind == 3


@pytest.fixture(scope="module")
def planted() -> Dataset:
    X, donor, doublet = _planted()
    obs = pd.DataFrame({"donor": donor, "is_doublet": doublet}, index=[f"c{i}" for i in range(len(donor))])
    card = DatasetCard("planted", "", "f" * 64, frozenset(obs.columns), "generative", *X.shape, 2)
    return Dataset(card, AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(X.shape[1])])))


@pytest.mark.slow
def test_a_planted_doublet_cluster_is_found_whole(planted: Dataset) -> None:
    problem = DoubletTask().make_problem(planted, "invivo", Seeds())
    truth = planted.adata.obs.is_doublet[problem.solution.index]
    labels = problem.solution.is_doublet
    assert (labels & truth).sum() / truth.sum() > 0.9
    assert (labels & truth).sum() / labels.sum() > 0.9
    assert any("labels made by the harness" in note and "no Harmony" in note for note in map(str, problem.notes))
    assert any("against the dataset's generative truth" in note for note in map(str, problem.notes))
    again = DoubletTask().make_problem(planted, "invivo", Seeds())
    assert again.solution.equals(problem.solution)
    train = problem.inputs.train
    assert train is not None
    assert train.obs.is_doublet.any()
    scrambled = DoubletTask().scramble(planted, "invivo", Seeds(), np.random.default_rng(0))
    assert scrambled is not None
    blind = DoubletTask().make_problem(scrambled, "invivo", Seeds())
    assert 0.3 < (blind.solution.is_doublet != labels).mean() < 0.7
    pd.testing.assert_frame_equal(blind.inputs.cells.obs, problem.inputs.cells.obs)
    assert blind.inputs.train is not None
    pd.testing.assert_frame_equal(blind.inputs.train.obs, train.obs)
    assert (blind.inputs.cells.X != problem.inputs.cells.X).nnz == 0


def test_labels_are_whole_clusters() -> None:
    X, donor, _ = _planted(300, 120)
    labels = label_clusters(X, donor, seed=0)
    for cluster, mean in labels.mean_score.items():
        assert set(labels.is_doublet[labels.cluster == cluster]) == {mean > 0.1}


@pytest.mark.parametrize(
    ("score", "reason"),
    [(0.04, r"no cluster's mean Scrublet score exceeds 0\.1 \(highest: 0\.040\)"), (0.5, "every cluster's mean")],
)
def test_labels_of_one_class_only_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, score: float, reason: str
) -> None:
    X, donor, _ = _planted(120, 60)
    monkeypatch.setattr(invivo, "scrublet_scores", lambda X, donor, seed: np.full(len(donor), score))
    with pytest.raises(NotApplicableError, match=reason):
        label_clusters(X, donor, seed=0)


def test_too_few_cells_are_refused() -> None:
    X = sparse.csr_matrix(np.ones((30, 10), dtype=np.int32))
    with pytest.raises(NotApplicableError, match="too few"):
        label_clusters(X, np.array(["a"] * 30, dtype=object), seed=0)


def test_small_donors_and_empty_cells_have_no_score() -> None:
    X, donor, _ = _planted(500, 200)
    donor[:20] = "small"
    X = sparse.vstack([X, sparse.csr_matrix((2, 200), dtype=X.dtype)], format="csr")
    donor = np.append(donor, ["a", "a"])
    scores = scrublet_scores(X[:500], donor[:500], seed=0)
    assert np.isnan(scores[:20]).all()
    assert not np.isnan(scores[20:]).any()
    labels = label_clusters(X, donor, seed=0)
    assert not labels.is_doublet[-2:].any()
    assert any("2 cells with fewer than 3 genes" in note for note in map(str, labels.notes))
    assert any("20 cells have no Scrublet score" in note for note in map(str, labels.notes))


def test_donors_too_small_to_score_are_refused() -> None:
    X, _, _ = _planted(90, 60)
    donor = np.repeat(["a", "b", "c"], 30).astype(object)
    with pytest.raises(NotApplicableError, match="no donor has 50 cells"):
        label_clusters(X, donor, seed=0)


def test_clusters_are_deterministic_under_their_seed() -> None:
    X, _, _ = _planted(250, 90)
    np.testing.assert_array_equal(leiden_clusters(X, 3), leiden_clusters(X, 3))


@pytest.mark.slow
def test_libraries_and_datasets_beyond_the_size_where_scanpy_turns_approximate() -> None:
    X, donor, doublet = _planted(8300, 60)
    donor[:] = "one"
    labels = label_clusters(X, donor, seed=0)
    assert (labels.is_doublet & doublet).sum() / labels.is_doublet.sum() > 0.5
