"""What odd genes, groups and covariates end in (docs/deg.md, "Odd input")."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from bench.errors import DataError, NotApplicableError
from bench.tasks.deg.by_cell_type import deg_by_type, log_normalised
from bench.tasks.deg.find_markers import find_markers
from bench.tasks.deg.mast.two_groups import group_sums, two_group_lrt
from bench.tasks.deg.mast.zlm import zlm

N = 40
CASE = np.arange(2 * N) < N
GENES = ["nowhere", "everywhere", "case_only", "separating", "one_value", "one_cell", "usual"]


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    level = rng.gamma(4, 0.3, 2 * N) + 0.1
    some = rng.random(2 * N) < 0.5
    genes = {
        "nowhere": np.zeros(2 * N),
        "everywhere": level,
        "case_only": np.where(CASE & some, level, 0),
        "separating": np.where(CASE, level, 0),
        "one_value": np.where(some, 1.0, 0),
        "one_cell": np.where(np.arange(2 * N) == 3, 1.0, 0),
        "usual": np.where(some, level, 0),
    }
    return sparse.csr_matrix(np.stack([genes[name] for name in GENES], axis=1))


def outcomes(X):
    sums = group_sums(X, sparse.csr_matrix(np.stack([CASE, ~CASE])))
    found = two_group_lrt(sums, [0], [1], prior=(0.3, 5.0))
    return pd.DataFrame({name: values[0] for name, values in found.items() if values.shape == (1, len(GENES))}, GENES)


def test_each_kind_of_gene_has_its_tests(X):
    found = outcomes(X)
    assert found[["df_discrete", "df_continuous"]].astype(int).to_dict("index") == {
        "nowhere": {"df_discrete": 0, "df_continuous": 0},
        "everywhere": {"df_discrete": 1, "df_continuous": 1},
        "case_only": {"df_discrete": 1, "df_continuous": 0},
        "separating": {"df_discrete": 1, "df_continuous": 0},
        "one_value": {"df_discrete": 1, "df_continuous": 1},
        "one_cell": {"df_discrete": 1, "df_continuous": 0},
        "usual": {"df_discrete": 1, "df_continuous": 1},
    }
    assert np.isfinite(found[["p", "chi2"]]).all(axis=None)
    assert found.loc["nowhere", "p"] == 1
    assert abs(found.loc["everywhere", "chi2_discrete"]) < 1e-3
    assert found.loc["separating", "p"] < 1e-15
    assert found.loc["one_value", "chi2_continuous"] == 0
    assert found.loc[["nowhere", "case_only", "separating", "one_cell"], "logFC"].isna().all()
    assert np.isfinite(found.loc["separating", ["coef_discrete", "se_discrete"]]).all()


def test_both_forms_of_the_model_agree_on_them(X):
    found = outcomes(X)
    fit = zlm(X, pd.DataFrame({"case": CASE.astype(float)}), "~ case", prior=(0.3, 5.0)).lrt("case")
    for name, values in fit.items():
        np.testing.assert_allclose(values, found[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_a_table_has_no_gap_where_such_genes_are_tested(X):
    table = find_markers(X, GENES, np.flatnonzero(CASE), np.flatnonzero(~CASE), min_pct=0, logfc_threshold=0)
    assert set(table["gene"]) == set(GENES)
    assert np.isfinite(table.drop(columns="gene")).all(axis=None)
    assert table["gene"].iloc[0] == "separating"


def test_no_gene_that_passes_the_filters_is_an_empty_table(X):
    table = find_markers(X, GENES, np.flatnonzero(CASE), np.flatnonzero(~CASE), min_pct=1.0, logfc_threshold=50)
    assert len(table) == 0
    assert list(table) == ["gene", "p_val", "avg_log2FC", "pct_1", "pct_2", "p_val_adj"]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_groups_below_three_cells_are_refused(X, n):
    with pytest.raises(NotApplicableError, match=f"{n} control cells, Seurat tests no fewer than 3"):
        find_markers(X, GENES, np.arange(N), np.arange(N, N + n))


def test_equal_cells_have_a_defined_test():
    X = sparse.csr_matrix(np.tile([0.0, 1.0, 2.0], (2 * N, 1)))
    table = find_markers(X, list("abc"), np.arange(N), np.arange(N, 2 * N), min_pct=0, logfc_threshold=0)
    np.testing.assert_allclose(table["p_val"], 1, atol=2e-2)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_values_that_are_no_expression_are_refused(value):
    with pytest.raises(DataError, match="negative or not finite"):
        log_normalised(np.array([[1.0, value]]))


def test_donors_nested_in_batches_leave_the_batch_out_and_say_so(X):
    rng = np.random.default_rng(1)
    counts = sparse.csr_matrix(rng.poisson(3, (2 * N, 12)))
    donor = np.tile(["d1", "d2", "d3", "d4"], N // 2)
    obs = {"arm": np.where(CASE, "a", "b"), "donor": donor, "batch": np.where(np.isin(donor, ["d1", "d2"]), "x", "y")}
    adata = AnnData(counts, obs=pd.DataFrame(obs, index=[f"c{i}" for i in range(2 * N)]))
    options = {"group": "arm", "case": "a", "control": "b", "min_pct": 0.0, "logfc_threshold": 0.0}
    (both,) = deg_by_type(adata, log_normalised(counts), covariates=["donor", "batch"], **options)
    (donors,) = deg_by_type(adata, log_normalised(counts), covariates=["donor"], **options)
    assert both.message == "not estimable beside the others, left out: batch"
    assert donors.message == ""
    pd.testing.assert_frame_equal(both.table, donors.table)


def test_names_of_groups_and_types_do_not_matter():
    """Nor does their order in the alphabet, by which R would take the first for the reference."""
    rng = np.random.default_rng(2)
    counts = sparse.csr_matrix(rng.poisson(np.where(CASE, 3, 2)[:, None], (2 * N, 12)))
    kind = np.tile(["x", "y"], N)
    tables = []
    for case, control, types in (("a", "b", {"x": "x", "y": "y"}), ("~z + 1", "A", {"x": "2", "y": "1 (y)"})):
        obs = pd.DataFrame({"arm": np.where(CASE, case, control), "type": [types[k] for k in kind]}).astype("category")
        adata = AnnData(counts, obs=obs.set_index(pd.Index([f"c{i}" for i in range(2 * N)])))
        options = {"case": case, "control": control, "by": "type", "covariates": ["cngeneson"], "min_pct": 0.0}
        found = deg_by_type(adata, log_normalised(counts), group="arm", logfc_threshold=0.0, **options)
        by_type = {tested.cell_type: tested.table.drop(columns="cell_type") for tested in found}
        tables.append([by_type[types[k]] for k in "xy"])
    for first, second in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(first, second)
