"""Seurat itself, in R, against its port and the stored numbers; label transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score, adjusted_rand_score

from bench.environments.availability import why_unavailable
from bench.errors import NotApplicableError, UnknownNameError
from bench.method import Context
from bench.methods.seurat import Seurat
from bench.methods.seurat_py import SeuratPy
from bench.methods.seurat_transfer import SeuratTransfer
from bench.problem import Cells, Inputs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.r, pytest.mark.slow]

SIZES = {"n_features": 400, "n_pcs": 15}


@pytest.fixture(scope="module", autouse=True)
def _seurat() -> None:
    if reason := why_unavailable(Seurat):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def b(parity: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Synthetic counts (600 cells of 6 types x 1500 genes), types, and which cells are for training."""
    with np.load(parity / "scibet" / "r_scibet.npz") as stored:
        return stored["counts"].astype(np.float32), stored["celltype"].astype(str), stored["train"]


@pytest.fixture
def given(b) -> Callable[..., Inputs]:
    """Inputs from the synthetic cells, after a change of counts or labels."""

    def build(*, train: object = None, labels: object = None, test: object = None) -> Inputs:
        counts, types, known = b
        labels = types[known] if labels is None else np.asarray(labels, dtype=str)
        var = pd.DataFrame(index=[f"g_{i}" for i in range(counts.shape[1])])

        def cells(name: str, values: np.ndarray, **columns: object) -> Cells:
            index = [f"{name}{i}" for i in range(len(values))]
            return Cells(csr_matrix(values), pd.DataFrame({"donor": "d0", **columns}, index=index), var)

        info = {"classes": sorted(set(labels)), "unassigned": "unassigned", "split": "donor", "validation_donors": []}
        test = counts[~known] if test is None else test
        return Inputs(cells("q", test), cells("t", counts[known] if train is None else train, label=labels), info)

    return build


def valid_transfer(inputs: Inputs, seed: int = 0) -> dict[str, np.ndarray]:
    """Label transfer, with what the annotation task asks of any prediction checked."""
    result = {k: np.asarray(v) for k, v in SeuratTransfer(**SIZES).run(inputs, Context(seed=seed)).items()}
    classes = np.asarray(inputs.info["classes"])
    assert result["probabilities"].shape == (len(inputs.cells.obs), len(classes))
    np.testing.assert_allclose(result["probabilities"].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(classes[result["probabilities"].argmax(axis=1)], result["label"])
    return result


@pytest.mark.parametrize(("version", "file"), [(4, "r_seurat"), (5, "r_seurat5")])
def test_the_wrapper_gives_the_stored_clusters_and_markers(version, file, input_a, parity):
    """Of 4.3.0 and of 5.2.1, whichever is installed here."""
    clusters = np.load(parity / "seurat" / "r_seurat.npz")["clusters_a"].astype(int)
    r = dict(np.load(parity / "seurat" / f"{file}.npz"))
    method, ctx = Seurat(n_features=500, n_pcs=20, version=version), Context(seed=0)
    assert adjusted_rand_score(method.find_clusters(input_a[0], ctx), clusters) > 0.99
    markers = method.find_markers(input_a[0], clusters, int(clusters.max()) + 1, ctx)
    for k, ours in enumerate(markers):
        rows = np.flatnonzero((r["all_cluster"] == k) & (r["all_log2fc"] > 0))
        best = rows[np.argsort(-r["all_log2fc"][rows], kind="stable")][:20]
        np.testing.assert_array_equal(ours, r["all_gene"][best])
    assert ctx.notes[0].startswith(f"markers by the filters and fold changes of Seurat {version}, found by Seurat ")


def test_the_port_finds_the_same_clusters(given):
    X, ctx = given().cells.X, Context(seed=0)
    official, port = Seurat(**SIZES, resolution=1.2, nn_method="rann"), SeuratPy(**SIZES, resolution=1.2)
    # irlba's last component is off by 1e-4, which moves a neighbour or two; on Seurat's own components all agree.
    assert adjusted_rand_score(official.find_clusters(X, ctx), port.find_clusters(X, ctx)) > 0.96
    approximate = Seurat(**SIZES, resolution=1.2).find_clusters(X, ctx)
    assert adjusted_rand_score(approximate, port.find_clusters(X, ctx)) > 0.9


@pytest.mark.parametrize("version", [4, 5])
def test_the_port_finds_the_same_markers_and_labels(version, given):
    inputs, ctx = given(), Context(seed=0)
    options = {**SIZES, "resolution": 1.2, "version": version}
    official, port = Seurat(**options, nn_method="rann"), SeuratPy(**options)
    codes = np.searchsorted(inputs.info["classes"], inputs.train.obs["label"])
    for a, p in zip(*(m.find_markers(inputs.train.X, codes, 6, ctx) for m in (official, port)), strict=True):
        np.testing.assert_array_equal(a, p)
    a, p = (m.run(inputs, ctx) for m in (official, port))
    assert accuracy_score(a["label"], p["label"]) > 0.98
    assert (a["probability"] == 1).all()


def test_small_classes_have_the_ports_markers(given, b):
    """Of few cells and no equal values: R's own rank-sum test would be exact, and other genes below 0.01."""
    counts, types, known = b
    rows = np.concatenate([np.flatnonzero(known & (types == t))[:8] for t in ("T2", "T3")])
    X, codes = csr_matrix(counts[rows] + 1), np.repeat([0, 1], 8)
    found = [m.find_markers(X, codes, 2, Context(seed=0)) for m in (Seurat(n_markers=99), SeuratPy(n_markers=99))]
    for a, p in zip(*found, strict=True):
        assert 0 < len(p) < 99
        np.testing.assert_array_equal(a, p)


def test_seurat_on_odd_inputs(given, b):
    counts, types, known = b
    labels = types[known].astype("U20")
    labels[7] = "single"
    ctx = Context(seed=0)
    odd = np.vstack([counts[~known], np.zeros((1, counts.shape[1]), np.float32)])  # and a cell without counts
    result = Seurat(**SIZES).run(given(labels=labels, test=odd), ctx)
    assert len(result["label"]) == len(odd)
    assert "single" not in result["label"]
    assert any("never given: single" in note for note in ctx.notes)
    one = Seurat().run(given(labels=["only"] * int(known.sum())), ctx)
    assert set(one["label"]) == {"only"}
    few = Seurat(**SIZES).run(given(test=counts[~known][:25]), Context(seed=0))  # fewer cells than components asked
    assert len(few["label"]) == 25
    with pytest.raises(UnknownNameError, match="rann"):
        Seurat(nn_method="ran").run(given(), ctx)
    with pytest.raises(NotApplicableError, match="too few"):
        Seurat().run(given(test=counts[~known][:20]), ctx)
    with pytest.raises(NotApplicableError, match="0 varying genes"):
        Seurat().run(given(test=np.tile(counts[~known][:1], (40, 1))), ctx)
    with pytest.raises(NotApplicableError, match="no class has a marker"):
        Seurat().run(given(train=np.zeros_like(counts[known])), ctx)


def test_label_transfer_finds_the_types(given, b):
    inputs = given()
    first, again, other = (valid_transfer(inputs, seed) for seed in (0, 0, 1))
    assert accuracy_score(b[1][~b[2]], first["label"]) > 0.8
    np.testing.assert_array_equal(first["probabilities"], again["probabilities"])
    assert accuracy_score(first["label"], other["label"]) > 0.95


@pytest.mark.parametrize("k_filter", [50, 0])
def test_label_transfer_gives_the_scores_of_seurat(k_filter, given, parity):
    """As 5.2.1 gave them with its own k.filter (none) and with another one, where 4.3.0 gave the same."""
    inputs = given()
    rng = np.random.default_rng(0)
    learned, asked = rng.permutation(len(inputs.train.obs)), rng.permutation(len(inputs.cells.obs))
    ordered = Inputs(inputs.cells.take(np.argsort(asked)), inputs.train.take(np.argsort(learned)), inputs.info)
    found = SeuratTransfer(**SIZES, k_filter=k_filter).run(ordered, Context(seed=0))
    with np.load(parity / "seurat" / "r_seurat5.npz") as stored:
        expected = stored[f"transfer_b_{k_filter}"]
    np.testing.assert_allclose(found["probabilities"], np.maximum(expected, 1e-12)[np.argsort(asked)], atol=1e-4)


def test_label_transfer_on_odd_inputs(given, b):
    counts, types, known = b
    labels = types[known].astype("U20")
    labels[7] = "Ä b-c/single"
    odd = np.vstack([counts[~known], np.zeros((1, counts.shape[1]), np.float32)])
    assert accuracy_score(types[~known], valid_transfer(given(labels=labels, test=odd))["label"][:-1]) > 0.8
    valid_transfer(given(test=counts[~known][:31]))
    for wrong, reason in (
        ({"labels": ["only"] * int(known.sum())}, "single class"),
        ({"test": counts[~known][:30]}, "too few"),
        ({"train": np.zeros_like(counts[known])}, "0 varying genes"),
        ({"test": np.tile(counts[~known][:1], (40, 1))}, "0 varying genes"),
    ):
        with pytest.raises(NotApplicableError, match=reason):
            SeuratTransfer(**SIZES).run(given(**wrong), Context(seed=0))
