from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bench.methods._ports import scibet


@pytest.fixture(scope="module")
def r(parity):
    with np.load(parity / "scibet" / "r_scibet.npz") as stored:
        return dict(stored)


@pytest.fixture(params=sorted(scibet.SCALES))
def case(request, r):
    """Our sums over the training cells, the test cells, and what R says, on one expression scale."""
    X = csr_matrix(r["counts"].astype(np.float32))
    classes, codes = np.unique(r["celltype"][r["train"]], return_inverse=True)
    scale = request.param
    return SimpleNamespace(
        scale=scale,
        classes=classes,
        reference=scibet.summarise(X[r["train"]], codes, len(classes), scale=scale),
        test=X[~r["train"]],
        r={name.removeprefix(f"{scale}_"): values for name, values in r.items() if name.startswith(f"{scale}_")},
    )


def labels(case, genes):
    model = scibet.learn(case.reference, genes, scale=case.scale)
    return case.classes[scibet.probabilities(model, case.test).argmax(axis=1)]


def test_entropy_test_equals_r(case):
    np.testing.assert_allclose(scibet.entropy_test(case.reference), case.r["etest"], rtol=1e-9, atol=1e-14)


def test_genes_equal_r_in_order(case):
    np.testing.assert_array_equal(scibet.select_genes(case.reference, 300), case.r["selected_k300"])
    np.testing.assert_array_equal(scibet.select_genes(case.reference, 10_000), case.r["rank_all"])
    with_markers = scibet.select_genes(case.reference, 300, per_class=20)
    np.testing.assert_array_equal(with_markers, case.r["selected_a20"])


def test_model_and_probabilities_equal_r(case):
    model = scibet.learn(case.reference, case.r["selected_k300"], scale=case.scale)
    np.testing.assert_allclose(model.log_p, case.r["model"], rtol=1e-9)
    np.testing.assert_allclose(scibet.probabilities(model, case.test), case.r["prob"], rtol=1e-9)


@pytest.mark.parametrize(("k", "per_class", "name"), [(300, 0, "k300"), (1000, 0, "k1000"), (300, 20, "a20")])
def test_labels_equal_r(case, k, per_class, name):
    genes = scibet.select_genes(case.reference, k, per_class=per_class)
    np.testing.assert_array_equal(labels(case, genes), case.r[f"labels_{name}"])


def test_labels_equal_r_where_the_test_cells_lack_genes(r):
    counts, train = r["counts"].astype(np.float64), r["train"]
    scaled = counts / counts.sum(axis=1, keepdims=True) * 1e4  # R's user scales before genes go missing
    scaled[~train, :200] = 0
    classes, codes = np.unique(r["celltype"][train], return_inverse=True)
    reference = scibet.summarise(csr_matrix(scaled[train]), codes, len(classes), scale="counts")
    model = scibet.learn(reference, scibet.select_genes(reference, 300), scale="counts")
    best = scibet.probabilities(model, csr_matrix(scaled[~train])).argmax(axis=1)
    np.testing.assert_array_equal(classes[best], r["cp10k_labels_k300_without_first_200"])


def test_blocks_and_storage_do_not_change_the_sums(case, r, monkeypatch):
    X = csr_matrix(r["counts"][r["train"]].astype(np.float32))
    codes = np.unique(r["celltype"][r["train"]], return_inverse=True)[1]
    split = csr_matrix((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * 2), shape=X.shape)
    monkeypatch.setattr(scibet, "ROWS", 7)
    again = scibet.summarise(split, codes, len(case.classes), scale=case.scale)
    np.testing.assert_allclose(again.linear, case.reference.linear, rtol=1e-12)
    np.testing.assert_allclose(again.logged, case.reference.logged, rtol=1e-12)
    assert split.nnz == 2 * X.nnz, "the input was changed"
