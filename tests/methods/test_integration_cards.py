"""Integration tools: the numbers of the packages called by hand, and what must hold of any embedding."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from bench.errors import NotApplicableError
from bench.method import Context
from bench.methods._shared.pca import variable_genes
from bench.methods.harmony import Harmony
from bench.methods.pca import Pca
from bench.methods.scanorama import Scanorama
from bench.methods.scvi_latent import ScviLatent
from bench.methods.seurat_rpca import SeuratRpca
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs

#: Class, package that it needs, parameters that keep the tests short.
METHODS: dict[str, tuple[Any, str | None, dict[str, Any]]] = {
    "pca": (Pca, None, {"n_components": 10}),
    "harmony": (Harmony, "harmonypy", {"n_components": 10}),
    "scanorama": (Scanorama, "scanorama", {"n_components": 20}),
    "scvi-latent": (ScviLatent, "scvi", {"max_epochs": 100}),
    "seurat-rpca": (SeuratRpca, "rpy2", {"n_pcs": 10}),
}
MARKS = {"scvi-latent": [pytest.mark.slow], "seurat-rpca": [pytest.mark.slow, pytest.mark.r]}
EACH = pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, [])) for name in METHODS])
N_GENES = 150


@cache
def study(sizes: tuple[int, ...] = (90, 90), seed: int = 0) -> tuple[Cells, np.ndarray]:
    """Cells of three kinds in batches, each of which has genes of its own that are up or down; and the kinds."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    kind, batch = np.arange(n) % 3, np.repeat(np.arange(len(sizes)), sizes)
    share = rng.lognormal(0, 1, N_GENES) * np.exp(rng.normal(0, 1.2, (3, N_GENES)))[kind]
    share *= np.exp(rng.normal(0, 0.5, (len(sizes), N_GENES)))[batch]
    counts = rng.poisson(share / share.sum(axis=1, keepdims=True) * rng.lognormal(np.log(600), 0.3, (n, 1)))
    obs = pd.DataFrame({"donor": [f"donor_{k + 1}" for k in batch]}, index=[f"c{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)])
    return Cells(csr_matrix(counts.astype(np.float32)), obs, var), kind


def embedded(name: str, cells: Cells, seed: int = 0, ctx: Context | None = None) -> np.ndarray:
    cls, package, params = METHODS[name]
    if package:
        pytest.importorskip(package)
    answer = cls(**params).run(Inputs(cells), ctx or Context(seed=seed))
    assert set(answer) == {"embedding"}
    assert answer["embedding"].shape[0] == len(cells.obs)
    assert np.isfinite(answer["embedding"]).all()
    return answer["embedding"]


def of_neighbours(X: np.ndarray, groups: np.ndarray) -> float:
    """Share of a cell's 15 nearest that are of its group."""
    nearest = NearestNeighbors(n_neighbors=16).fit(X).kneighbors(X)[1][:, 1:]
    return float((groups[nearest] == groups[:, None]).mean())


def scanpys_components(cells: Cells, n: int) -> np.ndarray:
    adata = AnnData(cells.X.copy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return PCA(n, svd_solver="full").fit_transform(adata.X.toarray())


def assert_same_axes(found: np.ndarray, expected: np.ndarray, atol: float) -> None:
    """Equal up to the sign of each axis."""
    sign = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * sign, atol=atol)


def test_components_are_those_of_scanpy() -> None:
    cells, _ = study()
    assert_same_axes(embedded("pca", cells), scanpys_components(cells, 10), 1e-3)


def test_variable_genes_are_those_of_scanpy() -> None:
    cells, _ = study()
    adata = AnnData(log1p_cp10k(cells.X))
    sc.pp.highly_variable_genes(adata, n_top_genes=40)
    np.testing.assert_array_equal(variable_genes(adata.X, 40), np.flatnonzero(adata.var["highly_variable"]))


def test_harmony_gives_the_numbers_of_the_package() -> None:
    harmonypy = pytest.importorskip("harmonypy")
    cells, _ = study()
    theirs = harmonypy.run_harmony(scanpys_components(cells, 10), cells.obs, "donor", random_state=3, verbose=False)
    assert_same_axes(embedded("harmony", cells, seed=3), theirs.Z_corr, 1e-2)


def test_harmony_is_not_turned_round_where_cells_are_as_many_as_components() -> None:
    pytest.importorskip("harmonypy")
    cells, _ = study((30, 30))
    found = Harmony(n_components=59).run(Inputs(cells), Context(seed=0))["embedding"]
    assert found.shape == (60, 59)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1.0)


def test_scanorama_gives_the_numbers_of_the_package_and_leaves_the_global_seeds() -> None:
    scanorama = pytest.importorskip("scanorama")
    cells, _ = study()
    X, second = log1p_cp10k(cells.X), (cells.obs["donor"] == "donor_2").to_numpy()
    np.random.seed(11)  # noqa: NPY002 - the global state that scanorama sets
    random.seed(11)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    found = embedded("scanorama", cells, seed=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert random.getstate() == before[1]
    parts, _ = scanorama.integrate(
        [X[~second], X[second]], [list(cells.var.index)] * 2, dimred=20, seed=3, verbose=False
    )
    np.testing.assert_allclose(found[~second], parts[0], atol=1e-4)
    np.testing.assert_allclose(found[second], parts[1], atol=1e-4)
    assert random.getstate() != before[1], "scanorama leaves the seeds alone now: the guard can go"


@pytest.mark.slow
def test_scvi_gives_the_numbers_of_the_package() -> None:
    scvi = pytest.importorskip("scvi")
    cells, _ = study()
    found = ScviLatent(max_epochs=5).run(Inputs(cells), Context(seed=3))["embedding"]
    adata = AnnData(cells.X.copy(), cells.obs.copy())
    scvi.settings.seed = 3
    scvi.model.SCVI.setup_anndata(adata, batch_key="donor")
    model = scvi.model.SCVI(adata)
    model.train(max_epochs=5, accelerator="cpu", enable_progress_bar=False, logger=False)
    np.testing.assert_allclose(found, model.get_latent_representation(), atol=1e-4)


@EACH
def test_batches_mix_more_than_in_components_and_kinds_stay_apart(name: str) -> None:
    cells, kind = study()
    donor = cells.obs["donor"].to_numpy()
    found = embedded(name, cells)
    assert of_neighbours(found, kind) > 0.9
    plain = of_neighbours(embedded("pca", cells), donor)
    assert of_neighbours(found, donor) <= plain if name == "pca" else of_neighbours(found, donor) < plain - 0.05


@EACH
def test_the_seed_decides(name: str) -> None:
    cells, _ = study()
    np.testing.assert_allclose(embedded(name, cells, seed=1), embedded(name, cells, seed=1), atol=1e-5)


@EACH
def test_permuted_cells_have_permuted_answers(name: str) -> None:
    """Exactly so of components; else by who is near whom: starts and approximate neighbours hang on the order."""
    cells, kind = study()
    order = np.random.default_rng(0).permutation(len(kind))
    found, mixed = embedded(name, cells), embedded(name, cells.take(order))
    if name == "pca":
        np.testing.assert_allclose(mixed, found[order], atol=1e-4)
    nearest = [NearestNeighbors(n_neighbors=30).fit(X).kneighbors(X)[1] for X in (found[order], mixed)]
    shared = np.mean([len(set(a) & set(b)) / 30 for a, b in zip(*nearest, strict=True)])
    assert shared > 0.5, shared
    assert of_neighbours(mixed, kind[order]) > 0.9


@EACH
def test_the_order_of_the_batches_hardly_matters(name: str) -> None:
    cells, kind = study()
    swapped = cells.obs["donor"].map({"donor_1": "donor_2", "donor_2": "donor_1"})
    found = embedded(name, Cells(cells.X, pd.DataFrame({"donor": swapped}), cells.var))
    assert of_neighbours(found, kind) > 0.9


@EACH
def test_one_batch_is_declined_by_what_only_corrects(name: str) -> None:
    cells, _ = study((120,))
    if METHODS[name][0].needs_batches:
        with pytest.raises(NotApplicableError, match="all cells are of one donor: there is nothing to integrate"):
            embedded(name, cells)
    else:
        embedded(name, cells)


@EACH
def test_a_batch_of_one_cell_is_answered_or_declined_with_its_name(name: str) -> None:
    cells, _ = study((100, 1))
    if METHODS[name][0].fewest_in_batch > 1:
        with pytest.raises(NotApplicableError, match="31 cells of every donor: donor_2 has 1"):
            embedded(name, cells)
    else:
        embedded(name, cells)


@EACH
def test_batches_come_before_donors(name: str) -> None:
    cells, _ = study()
    obs = cells.obs.assign(batch="one")
    if METHODS[name][0].needs_batches:
        with pytest.raises(NotApplicableError, match="of one batch"):
            embedded(name, Cells(cells.X, obs, cells.var))


def test_cells_and_genes_without_counts_take_no_part() -> None:
    cells, _ = study()
    X = cells.X.toarray()
    X[5], X[:, 7] = 0, 0
    ctx, rest = Context(seed=0), np.delete(np.arange(len(X)), 5)
    found = embedded("harmony", Cells(csr_matrix(X), cells.obs, cells.var), ctx=ctx)
    without = embedded("harmony", Cells(csr_matrix(X), cells.obs, cells.var).take(rest))
    np.testing.assert_allclose(found[rest], without, atol=1e-5)
    np.testing.assert_allclose(found[5], without.mean(axis=0), atol=1e-5)
    assert ctx.notes == ["1 cells without counts lie at the mean of the others"]


@pytest.mark.slow
@pytest.mark.r
def test_few_cells_in_a_batch_weaken_the_correction_of_seurat_and_are_told() -> None:
    pytest.importorskip("rpy2")
    ctx = Context(seed=0)
    embedded("seurat-rpca", study((90, 40))[0], ctx=ctx)
    (told,) = ctx.notes
    assert 2 <= int(re.fullmatch(r"corrections were weighted over (\d+) anchors, .* no more", told).group(1)) < 40
