"""Properties every imputer of this room must have, on cells of few kinds with counts hidden."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.errors import NotApplicableError
from bench.method import Context, Method
from bench.methods._shared.imputer import Imputer
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs

#: Package each module needs beyond the core's, and parameters that keep the tests short.
MODULES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "alra": (None, {}),
    "magic": ("magic", {}),
    "knn_smoothing": (None, {}),
    "dca_torch": ("torch", {"epochs": 40}),
    "scvi": ("scvi", {"max_epochs": 20}),
    "scmamba": ("lightning", {"epochs": 20, "lr": 1e-2, "options": {"batch_size": 16}}),
    "schyena": ("lightning", {"epochs": 20, "lr": 1e-2, "options": {"batch_size": 16}}),
}
SLOW = {"scvi", "scmamba", "schyena"}
N_GENES = 120


def simulate(n: int, rng: np.random.Generator, name: str = "c", donor: str = "d0") -> tuple[Cells, np.ndarray]:
    """Cells of three kinds, and the share of its counts that each expects of every gene."""
    gene = np.random.default_rng(99)
    share = gene.lognormal(0, 1, N_GENES) * np.exp(gene.normal(0, 1.2, (3, N_GENES)))
    share /= share.sum(axis=1, keepdims=True)
    mine = share[np.arange(n) % 3]
    counts = rng.poisson(mine * rng.lognormal(np.log(400), 0.3, (n, 1))).astype(np.float32)
    obs = pd.DataFrame({"donor": donor}, index=[f"{name}{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(N_GENES)])
    return Cells(csr_matrix(counts), obs, var), mine


def hide(cells: Cells, k: int, of: int = 5) -> tuple[Cells, csr_matrix]:
    """The cells without every fifth count from the ``k``-th, and which these are."""
    mine = np.arange(cells.X.nnz) % of == k
    kept, query = cells.X.copy(), cells.X.astype(bool)
    kept.data[mine] = 0
    query.data[~mine] = False
    kept.eliminate_zeros()
    query.eliminate_zeros()
    return Cells(kept, cells.obs, cells.var), query


@pytest.fixture
def context(tmp_path):
    return partial(context_in, tmp_path)


def context_in(place: Path, seed: int = 0, **settings: Any) -> Context:
    """A context whose scratch lies in ``place``."""
    return Context(seed=seed, scratch=Path(tempfile.mkdtemp(dir=place)), **settings)


def method_of(name: str) -> Any:
    """The one method of a module that imputes."""
    module = importlib.import_module(f"bench.methods.{name}")
    (found,) = (
        c
        for c in vars(module).values()
        if inspect.isclass(c)
        and issubclass(c, Method)
        and not inspect.isabstract(c)
        and "imputation" in c.tasks
        and c.__module__ == module.__name__
    )
    return found


@pytest.fixture(scope="module", params=[pytest.param(m, marks=pytest.mark.slow if m in SLOW else ()) for m in MODULES])
def make(request):
    package, parameters = MODULES[request.param]
    if package:
        pytest.importorskip(package)
    return lambda: method_of(request.param)(**parameters)


def answer(method: Method, inputs: Inputs, ctx: Context) -> np.ndarray:
    """Run, and check what is asked of any answer."""
    before = inputs.cells.X.copy()
    values = method.run(inputs, ctx)["expression"]
    assert values.shape == inputs.cells.X.shape
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert (inputs.cells.X != before).nnz == 0, "inputs were changed"
    return np.asarray(values)


def test_hidden_counts_are_told_better_than_by_the_mean_of_the_gene(make, context):
    cells, share = simulate(150, np.random.default_rng(1))
    train, _ = simulate(150, np.random.default_rng(2), "t", "d1")
    kept, query = hide(cells, 0)
    told = answer(make(), Inputs(kept, train, query=query), context())
    where = query.nonzero()
    truth = np.log1p(share * 1e4)
    mean = np.asarray(log1p_cp10k(kept.X).mean(axis=0)).ravel()
    error = np.square(told[where] - truth[where]).mean()
    assert error < 0.6 * np.square(mean[where[1]] - truth[where]).mean()


def two_rounds() -> list[Inputs]:
    """Two masking rounds of the same cells."""
    cells, _ = simulate(60, np.random.default_rng(3))
    return [Inputs(kept, query=query) for kept, query in (hide(cells, k) for k in range(2))]


def answers_to_two_rounds(method: Method, ctx: Context) -> list[np.ndarray]:
    """Answers of one object to both rounds, one after the other."""
    found = []
    for ctx.round, shown_inputs in enumerate(two_rounds()):
        found.append(answer(method, shown_inputs, ctx))
    return found


@pytest.fixture(scope="module")
def of_two_rounds(make, tmp_path_factory):
    """Answers with seed 1 to two rounds."""
    return answers_to_two_rounds(make(), context_in(tmp_path_factory.mktemp("rounds"), 1, n_rounds=2))


def test_the_seed_decides_and_rounds_differ(make, context, of_two_rounds):
    for a, b in zip(of_two_rounds, answers_to_two_rounds(make(), context(1, n_rounds=2)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(*of_two_rounds)


def test_what_one_round_showed_is_not_used_in_another(make, context, of_two_rounds):
    """The answer of a round is the same whether or not another round was asked before it on the same object."""
    np.testing.assert_array_equal(of_two_rounds[1], answer(make(), two_rounds()[1], context(1)))


def test_cells_and_genes_without_counts_are_zero_and_told(make, context):
    cells, _ = simulate(60, np.random.default_rng(4))
    holes = cells.X.toarray()
    holes[5] = 0
    holes[:, [0, 7, N_GENES - 1]] = 0
    ctx = context()
    told = answer(make(), Inputs(Cells(csr_matrix(holes), cells.obs, cells.var)), ctx)
    assert not told[5].any()
    assert not told[:, [0, 7, N_GENES - 1]].any()
    assert told[4].any()
    assert any("1 cells without counts" in note for note in ctx.notes)
    assert any("3 genes without counts" in note for note in ctx.notes)


def test_a_cell_sums_to_about_ten_thousand(make, context):
    """A little more where counts are kept and zeros filled in, a little less where square roots are averaged."""
    cells, _ = simulate(60, np.random.default_rng(5))
    method = make()
    totals = np.expm1(answer(method, Inputs(cells), context())).sum(axis=1)
    assert np.all((totals > 5e3) & (totals < (2e4 if method.name == "alra" else 1.4e4)))


@pytest.mark.parametrize("n", [1, 3, 12])
def test_few_cells_are_answered_or_declined_with_a_reason(make, n, context):
    cells, _ = simulate(n, np.random.default_rng(6))
    try:
        declined = ""
        answer(make(), Inputs(cells), context())
    except NotApplicableError as error:
        declined = str(error)
    assert "cells" in (declined or "cells")


def test_cells_that_are_all_alike(make, context):
    cells, _ = simulate(40, np.random.default_rng(7))
    answer(make(), Inputs(cells.take(np.zeros(40, dtype=np.intp))), context())


def test_a_gene_that_training_cells_never_had_is_told(context):
    pytest.importorskip("scvi")
    from bench.methods.scvi import Scvi

    cells, _ = simulate(40, np.random.default_rng(8))
    train, _ = simulate(60, np.random.default_rng(9), "t")
    X = train.X.toarray()
    X[:, 3] = 0
    ctx = context()
    told = answer(Scvi(max_epochs=2), Inputs(cells, Cells(csr_matrix(X), train.obs, train.var)), ctx)
    assert not told[:, 3].any()
    assert any("1 genes have counts in the cells and none in those learned from" in note for note in ctx.notes)


@pytest.mark.slow
def test_a_sequence_model_leaves_a_gene_that_it_never_met_as_it_was_shown(context):
    pytest.importorskip("lightning")
    from bench.methods.schyena import ScHyena

    cells, _ = simulate(40, np.random.default_rng(8))
    train, _ = simulate(60, np.random.default_rng(9), "t")
    X = train.X.toarray()
    X[:, 3] = 0
    ctx = context()
    told = answer(ScHyena(epochs=1), Inputs(cells, Cells(csr_matrix(X), train.obs, train.var)), ctx)
    np.testing.assert_allclose(told[:, 3], log1p_cp10k(cells.X).toarray()[:, 3], rtol=1e-5)
    assert any(note.startswith("1 genes without counts in the cells learned from") for note in ctx.notes)


def test_magic_gives_the_numbers_of_the_package_in_blocks(context, monkeypatch):
    magic = pytest.importorskip("magic")
    from bench.methods import magic as ours

    cells, _ = simulate(150, np.random.default_rng(10))
    X = cells.X[:, np.asarray(cells.X.sum(axis=0)).ravel() > 0]
    roots = X.multiply(1e4 / X.sum(axis=1)).tocsr().sqrt()
    theirs = magic.MAGIC(random_state=3, verbose=0).fit_transform(roots)
    monkeypatch.setattr("bench.blocks.BLOCK_VALUES", 150 * 17)
    var = pd.DataFrame(index=[str(i) for i in range(X.shape[1])])
    told = answer(ours.Magic(), Inputs(Cells(X, cells.obs, var)), context(3))
    np.testing.assert_allclose(told, np.log1p(theirs**2), atol=1e-5)


def test_the_order_of_the_cells_hardly_matters_to_magic(context):
    pytest.importorskip("magic")
    from bench.methods.magic import Magic

    cells, _ = simulate(90, np.random.default_rng(11))
    order = np.random.default_rng(0).permutation(90)
    told = answer(Magic(), Inputs(cells), context())
    np.testing.assert_allclose(answer(Magic(), Inputs(cells.take(order)), context()), told[order], atol=0.05)


def components_as_published(smooth: np.ndarray, d: int) -> np.ndarray:
    """Step 2 of kNN-smoothing (Wagner, Yan and Yanai 2018, algorithm 1) written down: normal, Freeman-Tukey, PCA."""
    total = smooth.sum(axis=1)
    normal = smooth / total[:, None] * np.median(total)
    stable = np.sqrt(normal) + np.sqrt(normal + 1)
    u, sv, _ = np.linalg.svd(stable - stable.mean(axis=0), full_matrices=False)
    return (u * sv)[:, :d]


@pytest.mark.parametrize("k", [5, 16])
def test_smoothing_is_the_published_algorithm(k, context):
    """Each step sums the cells nearest in the data that the step before has smoothed; ties may fall either way.

    Without dithering, which exists to break them: cells with the same neighbours are the same after a step.
    """
    from bench.methods.knn_smoothing import KnnSmoothing

    cells, _ = simulate(120, np.random.default_rng(16))
    X, smooth = cells.X.toarray().astype(np.float64), cells.X.toarray().astype(np.float64)
    for step in range(1, int(np.ceil(np.log2(k))) + 1):
        size = min(2**step, k)
        scores = components_as_published(smooth, 2)
        distance = np.sqrt(((scores[:, None] - scores[None]) ** 2).sum(axis=2))
        chosen = KnnSmoothing(size, n_components=2, dither=0.0).fit(cells, context())
        assert np.all(np.diff(chosen.indptr) == size)
        found = np.take_along_axis(distance, chosen.indices.reshape(120, size), axis=1)
        np.testing.assert_allclose(np.sort(found), np.sort(distance)[:, :size], atol=1e-3 * distance.mean())
        smooth = np.stack([X[near].sum(axis=0) for near in chosen.indices.reshape(120, size)])
    told = answer(KnnSmoothing(k, n_components=2, dither=0.0), Inputs(cells), context())
    np.testing.assert_allclose(told, np.log1p(smooth / smooth.sum(axis=1, keepdims=True) * 1e4), atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "knn_smoothing",
        "dca_torch",
        pytest.param("scmamba", marks=pytest.mark.slow),
        pytest.param("schyena", marks=pytest.mark.slow),
    ],
)
def test_permuted_cells_have_permuted_answers(name, context):
    """What is learned given (dca-torch and the sequence models draw batches from the cells), without noise.

    Smoothing in one step: further ones meet ties, which the order of the cells breaks where dithering does not.
    """
    package, parameters = MODULES[name]
    if package:
        pytest.importorskip(package)
    exact = {"k": 2, "n_components": 2, "dither": 0.0} if name == "knn_smoothing" else parameters
    method = method_of(name)(**exact)
    cells, _ = simulate(90, np.random.default_rng(11))
    train, _ = simulate(90, np.random.default_rng(12), "t", "d1")
    order = np.random.default_rng(0).permutation(90)
    if name == "dca_torch":
        filled = Cells(cells.X[:, np.asarray(cells.X.sum(axis=0)).ravel() > 0], cells.obs, cells.var)
        ctx = context()
        model = method.fit(filled, ctx)
        told, mixed = (
            np.concatenate([values for *_, values in method.blocks(model, X, ctx)]) for X in (filled.X, filled.X[order])
        )
    else:
        inputs = (Inputs(c, None if name == "knn_smoothing" else train) for c in (cells, cells.take(order)))
        told, mixed = (answer(method, looked, context()) for looked in inputs)
    np.testing.assert_allclose(mixed, told[order], atol=1e-4)


def test_smoothing_sums_counts_of_the_most_alike(context):
    from bench.methods.knn_smoothing import KnnSmoothing

    cells, _ = simulate(90, np.random.default_rng(12))
    model = KnnSmoothing(k=8, dither=0.0).fit(cells, context())
    assert np.all(np.diff(model.indptr) == 8)
    kind = np.arange(90) % 3
    assert np.mean(kind[model.indices] == np.repeat(kind, 8)) > 0.95
    assert isinstance(KnnSmoothing(), Imputer)
    assert np.all(model.diagonal() == 1)


@pytest.mark.slow
def test_a_sequence_model_keeps_counts_and_masks_each_zero_once(context):
    pytest.importorskip("lightning")
    from bench.methods._shared.sequence_imputer import _zero_groups
    from bench.methods.schyena import ScHyena

    cells, _ = simulate(40, np.random.default_rng(13))
    order = np.random.default_rng(1).permutation(N_GENES)
    shuffled = Cells(cells.X[:, order], cells.obs, cells.var.iloc[order])
    zero = cells.X.toarray() == 0
    groups = list(_zero_groups(zero))
    np.testing.assert_array_equal(np.sum(groups, axis=0), zero)
    assert np.flatnonzero(groups[3][0])[0] == np.flatnonzero(zero[0])[3]
    told = answer(ScHyena(epochs=2), Inputs(cells), context())
    np.testing.assert_allclose(told[~zero], log1p_cp10k(cells.X).toarray()[~zero], rtol=1e-5)
    assert (told[zero] > 0).mean() > 0.5
    np.testing.assert_allclose(answer(ScHyena(epochs=2), Inputs(shuffled), context()), told[:, order], atol=1e-4)


@pytest.mark.slow
def test_a_sequence_model_answers_the_query_only_and_is_fitted_once(context):
    pytest.importorskip("lightning")
    from bench.methods.schyena import ScHyena

    cells, _ = simulate(40, np.random.default_rng(14))
    train, _ = simulate(60, np.random.default_rng(15), "t", "d1")
    kept, query = hide(cells, 0)
    method, ctx = ScHyena(epochs=1), context(n_rounds=2)
    first = answer(method, Inputs(kept, train, query=query), ctx)
    shown = ~query.toarray()
    np.testing.assert_allclose(first[shown], log1p_cp10k(kept.X).toarray()[shown], rtol=1e-5)
    tuned = method._tuned
    ctx.round = 1
    answer(method, Inputs(kept, train, query=query), ctx)
    assert method._tuned is tuned
