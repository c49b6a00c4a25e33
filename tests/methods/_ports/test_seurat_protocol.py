"""The rules by which clusters are named, apart from any clustering."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.errors import NotApplicableError, UnknownNameError
from bench.method import Context
from bench.methods._ports import seurat_clusters, seurat_markers, seurat_protocol
from bench.methods.seurat_py import SeuratPy
from bench.problem import Cells, Inputs

GENES = ["MBP", "CLDN11", "AQP4", "ALDH1L1", *(f"G{i}" for i in range(60))]


@pytest.fixture
def two_types() -> Inputs:
    """Oligodendrocytes and astrocytes that differ in their known markers and in ten other genes each."""
    rng = np.random.default_rng(0)

    def cells(n: int, prefix: str, *, labelled: bool) -> Cells:
        kind = np.arange(n) % 2
        rate = rng.gamma(2, 0.5, 64) * np.ones((n, 1))
        rate[:, [0, 1, *range(10, 20)]] += 6 * (kind == 0)[:, None]
        rate[:, [2, 3, *range(20, 30)]] += 6 * (kind == 1)[:, None]
        obs = pd.DataFrame({"donor": "d"}, index=[f"{prefix}{i}" for i in range(n)])
        if labelled:
            obs["label"] = np.array(["Oligo", "Astrocytes"])[kind]
        X = csr_matrix(rng.poisson(rate).astype(np.float32))
        return Cells(X, obs, pd.DataFrame({"symbol": GENES}, index=[f"ENSG{i}" for i in range(64)]))

    info = {"classes": ["Astrocytes", "Oligo"], "unassigned": "unassigned", "split": "donor", "validation_donors": []}
    return Inputs(cells(60, "q", labelled=False), cells(40, "t", labelled=True), info)


@pytest.mark.parametrize("source", ["train", "brain"])
def test_two_clear_types_are_named_by_either_source(source, two_types):
    label = SeuratPy(markers=source).run(two_types, Context(seed=0))["label"]
    assert label.tolist() == ["Oligo", "Astrocytes"] * 30


def test_a_type_that_training_lacks_is_left_unassigned(two_types):
    rng = np.random.default_rng(1)
    rate = np.ones((30, 64))
    rate[:, 40:60] += 6
    X = csr_matrix(np.vstack([two_types.cells.X.toarray(), rng.poisson(rate)]).astype(np.float32))
    obs = pd.DataFrame({"donor": "d"}, index=[f"q{i}" for i in range(90)])
    given = Inputs(Cells(X, obs, two_types.cells.var), two_types.train, two_types.info)
    label = SeuratPy().run(given, Context(seed=0))["label"]
    assert set(label[60:]) == {"unassigned"}
    assert label[:60].tolist() == ["Oligo", "Astrocytes"] * 30


def test_classes_called_otherwise_have_no_brain_markers(two_types):
    train = two_types.train
    renamed = Cells(train.X, train.obs.replace({"label": {"Oligo": "Oligo_4"}}), train.var)
    ctx = Context(seed=0)
    given = Inputs(two_types.cells, renamed, {**two_types.info, "classes": ["Astrocytes", "Oligo_4"]})
    label = SeuratPy(markers="brain").run(given, ctx)["label"]
    assert label.tolist() == ["unassigned", "Astrocytes"] * 30
    assert "Oligo_4" in ctx.notes[0]
    unknown = Cells(train.X, train.obs.replace({"label": {"Oligo": "x", "Astrocytes": "y"}}), train.var)
    with pytest.raises(NotApplicableError, match="known brain types"):
        SeuratPy(markers="brain").run(Inputs(two_types.cells, unknown, {**two_types.info, "classes": ["x", "y"]}), ctx)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Oligodendrocyte", "MBP"), ("oli", "MBP"), ("OPC", "VCAN"), ("OPCs", "VCAN"), ("Astrocyte", "AQP4"),
        ("oligodendrocyte precursor cells", "VCAN"), ("Excitatory", "SLC17A7"), ("Excitatory neurons", "SLC17A7"),
        ("ExN", "SLC17A7"), ("Inhibitory neuron", "GAD1"), ("Microglia", "CSF1R"), ("Endothelial", "CLDN5"),
        ("Pericyte", "PDGFRB"), ("neuron", None), ("Oligodendrocyte_OPALIN", None),
        ("T cell", None), ("precursor B cell", None), ("1", None),
    ],
)  # fmt: skip
def test_which_classes_are_known_brain_types(name, known):
    names = np.array(["MBP", "VCAN", "AQP4", "SLC17A7", "GAD1", "CSF1R", "CLDN5", "PDGFRB"])
    (columns,) = seurat_protocol.brain_markers([name], names)
    assert names[columns].tolist() == ([known] if known else [])


def test_training_cells_are_drawn_by_class():
    codes = np.repeat([0, 1, 2], [50, 3, 20])
    rows = seurat_protocol.some_of_each(codes, 10, seed=1)
    assert np.bincount(codes[rows]).tolist() == [10, 3, 10]
    assert len(np.unique(rows)) == 23
    assert (np.diff(rows) > 0).all()
    assert (rows != seurat_protocol.some_of_each(codes, 10, seed=2)).any()
    np.testing.assert_array_equal(seurat_protocol.some_of_each(codes, 0, seed=1), np.arange(73))


def test_a_class_without_markers_is_told_and_never_given(two_types):
    obs = two_types.train.obs.copy()
    obs.iloc[0, 1] = obs.iloc[1, 1] = "Rare"
    train = Cells(two_types.train.X, obs, two_types.train.var)
    info = {**two_types.info, "classes": ["Astrocytes", "Oligo", "Rare"]}
    ctx = Context(seed=0)
    label = SeuratPy().run(Inputs(two_types.cells, train, info), ctx)["label"]
    assert label.tolist() == ["Oligo", "Astrocytes"] * 30
    assert ctx.notes == ["1 of 3 classes have no marker gene and are never given: Rare"]


def test_an_unknown_source_of_markers(two_types):
    with pytest.raises(UnknownNameError, match="brain"):
        SeuratPy(markers="brian").run(two_types, Context(seed=0))


def test_an_unknown_version_of_seurat(two_types):
    with pytest.raises(UnknownNameError, match="known: 4, 5"):
        SeuratPy(version=3).run(two_types, Context(seed=0))


def test_scores_are_means_of_scaled_expression():
    rng = np.random.default_rng(0)
    L = rng.random((12, 5))
    L[:, 4] = 1
    clusters = np.arange(12) % 3
    markers = [np.array([0, 2]), np.zeros(0, int), np.array([4, 3])]
    scores = seurat_markers.dot_plot_scores(csr_matrix(L), clusters, markers)
    scaled = (L - L.mean(axis=0)) / np.where(L.std(axis=0) > 0, L.std(axis=0, ddof=1), 1)
    for c in range(3):
        mean = scaled[clusters == c].mean(axis=0)
        np.testing.assert_allclose(scores[c], [mean[[0, 2]].mean(), -np.inf, mean[[3, 4]].mean()], atol=1e-12)
    names = seurat_markers.name_clusters(np.array([[0.1, 0.1], [-1, 0], [-np.inf, 2]]), ["a", "b"], "none")
    assert names.tolist() == ["a", "none", "b"]


def test_singletons_join_the_cluster_they_share_most_with():
    weights = np.zeros((7, 7))
    weights[6, [0, 1, 2]] = 0.2, 0.2, 0.2
    weights[6, [3, 4]] = 0.3, 0.1  # a mean of 0.2, too, but of a cluster of two cells: the larger cluster wins
    labels = np.array([5, 5, 5, 1, 1, 8, 2])
    merged = seurat_clusters.merge_singletons(labels, csr_matrix(weights + weights.T))
    assert merged[6] == merged[0]
    assert merged[5] == merged[0]  # shares with nobody: the largest
    assert len(set(merged)) == 2
    alone = seurat_clusters.merge_singletons(np.arange(4), csr_matrix((4, 4)))
    assert len(set(alone)) == 4
