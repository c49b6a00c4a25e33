"""Properties every annotation method that learns from training cells must have."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import accuracy_score

from bench.environments.availability import why_unavailable
from bench.errors import NotApplicableError, UnknownNameError
from bench.method import Context, Method
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs

if TYPE_CHECKING:
    from collections.abc import Callable

#: Module and class of each method, and parameters other than its defaults.
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "scibet": ("scibet", "SciBet", {}),
    "scibet-cp10k": ("scibet", "SciBet", {"scale": "cp10k", "k": 300}),
    "knn": ("knn", "Knn", {}),
    "logistic_regression": ("logistic_regression", "LogisticRegression", {}),
    "hvg_pca_logistic": ("hvg_pca_logistic", "HvgPcaLogistic", {"n_genes": 400}),
    "seurat-py": ("seurat_py", "SeuratPy", {"n_features": 400, "n_pcs": 15, "resolution": 1.2}),
    "celltypist": ("celltypist", "CellTypist", {}),
    "singler": ("singler", "SingleR", {}),
    "linear_svm": ("linear_svm", "LinearSvm", {"lost": 0.0}),
    "hierarchical_correlation": ("hierarchical_correlation", "HierarchicalCorrelation", {"n_votes": 20}),
    "celltypist-sparse": ("celltypist", "CellTypist", {"with_mean": False}),
    "celltypist_voting": ("celltypist", "CellTypistVoting", {}),
}


@pytest.fixture(params=[pytest.param(m, marks=pytest.mark.slow if "voting" in m else ()) for m in METHODS])
def method(request) -> Method:
    module, name, parameters = METHODS[request.param]
    cls = getattr(importlib.import_module(f"bench.methods.{module}"), name)
    if reason := why_unavailable(cls):
        pytest.skip(reason)
    return cls(**parameters)


@pytest.fixture(scope="session", autouse=True)
def celltypist_folder(tmp_path_factory) -> None:
    """Keep the package from making a folder in the user's home when it is imported."""
    os.environ.setdefault("CELLTYPIST_FOLDER", str(tmp_path_factory.mktemp("celltypist")))


@pytest.fixture
def celltypist() -> ModuleType:
    """The package, where it can be used."""
    from bench.methods.celltypist import CellTypist

    if reason := why_unavailable(CellTypist):
        pytest.skip(reason)
    return importlib.import_module("celltypist")


@pytest.fixture(scope="module")
def r(parity) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Synthetic counts (600 cells of 6 types x 1500 genes), types, and which cells are for training."""
    with np.load(parity / "scibet" / "r_scibet.npz") as stored:
        return stored["counts"], stored["celltype"].astype(str), stored["train"]


@pytest.fixture
def inputs(r) -> Callable[..., Inputs]:
    """Inputs of a method from the synthetic cells, after a change of counts, labels or test cells."""

    def build(
        method: Method, *, train: object = None, labels: object = None, test: object = None, form: type = csr_matrix
    ) -> Inputs:
        counts, types, known = r
        train = counts[known] if train is None else train
        labels = types[known] if labels is None else np.asarray(labels, dtype=str)
        test = counts[~known] if test is None else test
        var = pd.DataFrame(index=[f"g{i}" for i in range(test.shape[1])])

        def cells(name: str, values: object, **columns: object) -> Cells:
            X = form(np.asarray(values), dtype=np.float32)
            X = log1p_cp10k(X) if method.input_layer == "log1p_cp10k" else X
            index = [f"{name}{i}" for i in range(X.shape[0])]
            return Cells(X, pd.DataFrame({"donor": "d0", **columns}, index=index), var)

        info = {"classes": sorted(set(labels)), "unassigned": "unassigned", "split": "donor", "validation_donors": []}
        return Inputs(cells("q", test), cells("t", train, label=labels), info)

    return build


def checked(method: Method, inputs: Inputs, scratch: object, seed: int = 0) -> dict[str, np.ndarray]:
    """Run, and check what the annotation task asks of any prediction."""
    ctx = Context(seed=seed, scratch=scratch)
    result = {name: np.asarray(values) for name, values in method.run(inputs, ctx).items()}
    n, classes = len(inputs.cells.obs), inputs.info["classes"]
    assert result["label"].shape == result["probability"].shape == (n,)
    assert set(result["label"]) <= {*classes, "unassigned"}
    assert ((result["probability"] >= 0) & (result["probability"] <= 1)).all()
    if "probabilities" in result:
        assert result["probabilities"].shape == (n, len(classes))
        np.testing.assert_allclose(result["probabilities"].sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(classes)[result["probabilities"].argmax(axis=1)], result["label"])
        np.testing.assert_array_equal(result["probabilities"].max(axis=1), result["probability"])
    return result


@pytest.fixture(scope="module")
def plain_of() -> dict[str, dict[str, np.ndarray]]:
    """Answers that a test has asked for already."""
    return {}


@pytest.fixture
def plain(method, inputs, plain_of, request, tmp_path) -> dict[str, np.ndarray]:
    """Answer to the synthetic cells as they are: asked once for all tests, which leave it as it is."""
    name = request.node.callspec.params["method"]
    if name not in plain_of:
        plain_of[name] = checked(method, inputs(method), tmp_path)
    return plain_of[name]


def reason_to_decline(method: Method, inputs: Inputs, scratch: object) -> str | None:
    """None where the method answers (validly), else the reason it gives."""
    try:
        checked(method, inputs, scratch)
    except NotApplicableError as error:
        return str(error)
    return None


def clusters_the_cells(method: Method) -> bool:
    """Seurat needs the 20 nearest neighbours of a cell before it can name anything."""
    return method.name == "seurat-py"


def leaves_unassigned(method: Method) -> bool:
    """By its rule a cluster in which no class's markers are above the average of all cells has no name."""
    return method.name == "seurat-py"


def test_labels_cells_and_leaves_the_inputs_as_they_are(method, inputs, r, plain, tmp_path):
    given = inputs(method)
    before = [given.cells.X.copy(), given.train.X.copy()]
    again = checked(method, given, tmp_path)
    np.testing.assert_array_equal(plain["label"], again["label"])
    np.testing.assert_array_equal(plain["probability"], again["probability"])
    assert accuracy_score(r[1][~r[2]], again["label"]) > 0.5  # the largest class has 0.3
    assert [(a != b.X).nnz for a, b in zip(before, (given.cells, given.train), strict=True)] == [0, 0]
    assert list(given.cells.obs) == ["donor"]
    assert list(given.train.obs) == ["donor", "label"]


def test_the_order_of_the_cells_does_not_matter(method, inputs, r, plain, tmp_path):
    if method.stochastic:
        pytest.skip("its clusters depend on the order of the cells, and it says so")
    counts, types, known = r
    tested, trained = (np.random.default_rng(0).permutation(n) for n in ((~known).sum(), known.sum()))
    shuffled = checked(
        method,
        inputs(method, test=counts[~known][tested], train=counts[known][trained], labels=types[known][trained]),
        tmp_path,
    )
    np.testing.assert_array_equal(shuffled["label"], plain["label"][tested])
    np.testing.assert_allclose(shuffled["probability"], plain["probability"][tested], atol=2e-3)


def test_how_labels_are_called_does_not_matter(method, inputs, r, plain, tmp_path):
    names = dict(zip("T0 T1 T2 T3 T4 T5".split(), ["a b", "a-b", "b", "c/d", "Ä", "é"], strict=True))
    names |= {"unassigned": "unassigned"} if leaves_unassigned(method) else {}
    renamed = checked(method, inputs(method, labels=[names[t] for t in r[1][r[2]]]), tmp_path)
    np.testing.assert_array_equal([names[t] for t in plain["label"]], renamed["label"])


def test_one_class(method, inputs, r, tmp_path):
    given = inputs(method, labels=["only"] * int(r[2].sum()))
    declined = reason_to_decline(method, given, tmp_path)
    if declined is None:
        np.testing.assert_array_equal(checked(method, given, tmp_path)["probability"], 1)
    else:
        assert "single class" in declined


def test_two_classes_and_a_class_of_one_cell(method, inputs, r, tmp_path):
    labels = np.where(r[1][r[2]] == "T0", "T0", "rest")
    given = set(checked(method, inputs(method, labels=labels), tmp_path)["label"])
    assert given - ({"unassigned"} if leaves_unassigned(method) else set()) == {"T0", "rest"}
    labels[:] = "rest"
    labels[7] = "single"
    assert "rest" in checked(method, inputs(method, labels=labels), tmp_path)["label"]


def test_genes_unseen_in_training_or_in_the_cells_do_no_harm(method, inputs, r, tmp_path):
    counts, types, known = r
    train, test = counts[known].copy(), counts[~known].copy()
    train[:, 100:150] = 0
    test[:, 200:250] = 0
    result = checked(method, inputs(method, train=train, test=test), tmp_path)
    assert accuracy_score(types[~known], result["label"]) > 0.5


def test_empty_cells_get_a_label_and_change_no_other(method, inputs, r, plain, tmp_path):
    counts, _, known = r
    empty = np.zeros((1, counts.shape[1]), counts.dtype)
    padded = checked(method, inputs(method, test=np.vstack([counts[~known], empty])), tmp_path)
    assert len(padded["label"]) == (~known).sum() + 1
    if not method.stochastic:
        np.testing.assert_array_equal(padded["label"][:-1], plain["label"])
    labels = np.append(r[1][known], "T0")
    trained = checked(method, inputs(method, train=np.vstack([counts[known], empty]), labels=labels), tmp_path)
    assert accuracy_score(plain["label"], trained["label"]) > 0.9


@pytest.mark.parametrize("n", [1, 3])
def test_few_cells_and_few_training_cells(method, n, inputs, r, tmp_path):
    counts, types, known = r
    few, test = np.flatnonzero(known)[:6], counts[~known]
    if clusters_the_cells(method):
        assert "too few to cluster" in (reason_to_decline(method, inputs(method, test=test[:n]), tmp_path) or "")
        test = test[:25]
    else:
        checked(method, inputs(method, test=test[:n]), tmp_path)
        test = test[:n]
    given = inputs(method, train=counts[few], labels=types[few], test=test)
    if clusters_the_cells(method):  # no class has the three cells that a marker needs
        assert "no class has a marker" in (reason_to_decline(method, given, tmp_path) or "")
    else:
        checked(method, given, tmp_path)


def test_nothing_measured_in_training_is_answered_or_declined_with_a_reason(method, inputs, r, tmp_path):
    given = inputs(method, train=np.zeros_like(r[0][r[2]]))
    assert (reason_to_decline(method, given, tmp_path) or "training cells").endswith(
        ("training cells", "counts", "PCA")
    )


def test_without_training_cells_it_says_so(method, inputs, tmp_path):
    given = inputs(method)
    with pytest.raises(NotApplicableError, match="labelled training cells"):
        method.run(Inputs(given.cells, None, given.info), Context(seed=0, scratch=tmp_path))


def test_no_whole_dataset_is_made_dense(method, inputs, r, tmp_path, monkeypatch):
    if getattr(method, "with_mean", False):
        pytest.skip("the package makes the training cells dense to centre them, and the card says so")
    counts, types, known = r
    n_genes, block = counts.shape[1], 64
    test = np.repeat(counts[~known], 3, axis=0)
    sizes: list[tuple[int, int]] = []
    for form in (csr_matrix, csc_matrix, coo_matrix):  # todense() and numpy's conversions go through it too

        def counted(X, *args, _to_dense=form.toarray, **kwargs):
            if min(X.shape) > len(set(types)):  # sums by class or component may be dense
                sizes.append(X.shape)
            return _to_dense(X, *args, **kwargs)

        monkeypatch.setattr(form, "toarray", counted)
    for module in ("_shared.annotation", "_shared.pca", "_ports.scibet"):
        monkeypatch.setattr(f"bench.methods.{module}.ROWS", block)
    monkeypatch.setattr("bench.methods._ports.seurat_preprocess._ROWS", block)
    checked(method, inputs(method, test=test), tmp_path)
    if method.name == "celltypist_voting":  # it scales variable genes of the tested cells, and its card says so
        clustered = [genes for cells, genes in sizes if cells == len(test)]
        assert len(clustered) == 1
        assert clustered[0] <= 2500
        sizes = [shape for shape in sizes if shape[0] != len(test)]
    assert max((a * b for a, b in sizes), default=0) <= block * n_genes


def test_scibet_does_not_know_other_scales(inputs, tmp_path):
    from bench.methods.scibet import SciBet

    with pytest.raises(UnknownNameError, match="cp10k"):
        SciBet(scale="cp10").run(inputs(SciBet()), Context(seed=0, scratch=tmp_path))


def test_scibet_shrugs_at_a_cell_without_counts(inputs, r, tmp_path):
    from bench.methods.scibet import SciBet

    result = checked(SciBet(), inputs(SciBet(), test=np.zeros((1, 1500))), tmp_path)
    np.testing.assert_allclose(result["probabilities"], 1 / 6)


def test_components_are_those_of_scikit_learn(inputs, r):
    from bench.methods._shared.pca import fit_components, gene_moments, most_variable, project
    from bench.methods.knn import Knn

    X = inputs(Knn()).train.X
    mean, variance = gene_moments(X)
    np.testing.assert_allclose(mean, X.toarray().astype(float).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(variance, X.toarray().astype(float).var(axis=0), atol=1e-12)
    ours = fit_components(X, most_variable(X, 400), n_components=10)
    dense = X.toarray().astype(float)
    genes = np.sort(np.argsort(-dense.var(axis=0), kind="stable")[:400])
    np.testing.assert_array_equal(ours.genes, genes)
    expected = PCA(10, svd_solver="full").fit_transform(dense[:, genes])
    np.testing.assert_allclose(np.abs(project(ours, X)), np.abs(expected), atol=1e-6)


def test_logistic_regression_is_that_of_scikit_learn_on_dense_genes(inputs, tmp_path):
    from bench.methods.logistic_regression import LogisticRegression

    given = inputs(LogisticRegression())
    plain = Reference(max_iter=500).fit(given.train.X.toarray(), given.train.obs["label"])
    ours = checked(LogisticRegression(), given, tmp_path)
    np.testing.assert_allclose(ours["probabilities"], plain.predict_proba(given.cells.X.toarray()), atol=1e-3)


def test_hvg_pca_logistic_is_scanpy_and_scikit_learn_on_the_training_cells(inputs, tmp_path):
    from bench.methods._shared.pca import variable_genes
    from bench.methods.hvg_pca_logistic import HvgPcaLogistic

    given = inputs(HvgPcaLogistic())
    train, labels = given.train.X, given.train.obs["label"]
    cells = anndata.AnnData(train.astype(np.float64))
    scanpy.pp.highly_variable_genes(cells, flavor="seurat", n_top_genes=400)
    genes = np.flatnonzero(cells.var["highly_variable"])
    np.testing.assert_array_equal(variable_genes(train, 400), genes)
    pca = PCA(20, svd_solver="full").fit(train.toarray()[:, genes])
    reference = Reference(max_iter=500).fit(pca.transform(train.toarray()[:, genes]), labels)
    expected = reference.predict_proba(pca.transform(given.cells.X.toarray()[:, genes]))
    ours = checked(HvgPcaLogistic(n_genes=400, n_components=20), given, tmp_path)
    np.testing.assert_allclose(ours["probabilities"], expected, atol=2e-3)


def test_hvg_pca_logistic_learns_nothing_from_tested_cells(inputs, r, tmp_path):
    """A cell's answer is the same whatever other cells are tested with it."""
    from bench.methods.hvg_pca_logistic import HvgPcaLogistic

    method, tested = HvgPcaLogistic(n_genes=400), r[0][~r[2]]
    everyone = checked(method, inputs(method), tmp_path)
    alone = checked(method, inputs(method, test=np.vstack([tested[:5], 50 * tested[5:8]])), tmp_path)
    np.testing.assert_allclose(alone["probabilities"][:5], everyone["probabilities"][:5], atol=1e-9)


def test_few_varying_genes_are_all_taken():
    from bench.methods._shared.pca import variable_genes

    X = csr_matrix(np.array([[0.0, 1, 2, 0], [0, 1, 3, 1], [0, 1, 4, 2]], dtype=np.float32))
    np.testing.assert_array_equal(variable_genes(X, 2000), [2, 3])


def test_logistic_regression_says_where_it_has_not_converged(inputs, tmp_path):
    from bench.methods.logistic_regression import LogisticRegression

    ctx = Context(seed=0, scratch=tmp_path)
    LogisticRegression(max_iter=2).run(inputs(LogisticRegression()), ctx)
    assert ctx.notes == ["the regression had not converged after 2 iterations"]


def test_celltypist_is_not_given_what_it_would_make_dense(inputs, tmp_path):
    from bench.methods.celltypist import CellTypist

    given = inputs(CellTypist())
    given.train.X.indptr = given.train.X.indptr.astype(np.int64)
    assert "2^31" in (reason_to_decline(CellTypist(), given, tmp_path) or "")


@pytest.mark.parametrize(("kind", "with_mean"), [("scaled", False), ("centred", True)])
def test_celltypist_trains_as_with_the_option_that_scikit_learn_dropped(
    celltypist, inputs, parity, tmp_path, kind, with_mean
):
    from bench.methods.celltypist import CellTypist

    with np.load(parity / "celltypist" / "official.npz") as stored:  # of the unmodified package on scikit-learn 1.7.2
        labels, decision = stored[f"{kind}_label"], stored[f"{kind}_decision"]
    ours = checked(CellTypist(with_mean=with_mean), inputs(CellTypist()), tmp_path)
    np.testing.assert_array_equal(ours["label"], labels)
    np.testing.assert_allclose(ours["probability"], 1 / (1 + np.exp(-decision.max(axis=1))), rtol=1e-4)


def _model(celltypist: ModuleType, train: anndata.AnnData) -> Any:
    from bench.methods.celltypist import one_against_the_rest

    with one_against_the_rest():
        return celltypist.train(train, labels="label", check_expression=False)


def test_celltypist_in_blocks_equals_the_package_called_at_once(celltypist, inputs, tmp_path):
    from bench.methods.celltypist import CellTypist

    given = inputs(CellTypist())
    train, test = (anndata.AnnData(c.X.toarray(), c.obs.copy(), c.var.copy()) for c in (given.train, given.cells))
    model = _model(celltypist, train)
    expected = celltypist.annotate(test, model=model)
    ours = checked(CellTypist(), given, tmp_path)
    np.testing.assert_array_equal(ours["label"], expected.predicted_labels["predicted_labels"].astype(str))
    np.testing.assert_allclose(ours["probability"], expected.probability_matrix.max(axis=1), rtol=1e-5)


@pytest.mark.slow
def test_celltypist_votes_as_the_package_does(celltypist, inputs, tmp_path):
    from bench.methods.celltypist import CellTypistVoting

    given = inputs(CellTypistVoting())
    order = np.random.default_rng(5).permutation(len(given.cells.obs))
    train, test = (anndata.AnnData(c.X, c.obs.copy(), c.var.copy()) for c in (given.train, given.cells.take(order)))
    model = _model(celltypist, train)
    voted = celltypist.annotate(test, model=model, majority_voting=True).predicted_labels["majority_voting"]
    ours = checked(CellTypistVoting(), given, tmp_path, seed=5)
    np.testing.assert_array_equal(ours["label"][order], voted.astype(str))


def test_celltypist_tells_that_few_cells_do_not_vote(celltypist, inputs, r, tmp_path):
    from bench.methods.celltypist import CellTypistVoting

    ctx = Context(seed=0, scratch=tmp_path)
    CellTypistVoting().run(inputs(CellTypistVoting(), test=r[0][~r[2]][:50]), ctx)
    assert "no majority vote: 50 cells" in ctx.notes[0]
