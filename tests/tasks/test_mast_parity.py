"""The two-group hurdle model and FindMarkers against MAST 1.32.0 and Seurat 4.3.0 (``parity/README.md``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from bench.tasks._find_markers import find_markers
from bench.tasks._mast import group_sums, two_group_lrt

COLUMNS = {
    "chi2": "lrt.condition_hurdle_lambda",
    "chi2_discrete": "lrt.condition_disc_lambda",
    "chi2_continuous": "lrt.condition_cont_lambda",
    "df": "lrt.condition_hurdle_df",
    "df_discrete": "lrt.condition_disc_df",
    "df_continuous": "lrt.condition_cont_df",
    "intercept_discrete": "coefD_Intercept",
    "intercept_continuous": "coefC_Intercept",
    "coef_discrete": "coefD_conditionstim",
    "coef_continuous": "coefC_conditionstim",
    "se_discrete": "seD_conditionstim",
    "se_continuous": "seC_conditionstim",
    "logFC": "logFC_conditionstim",
    "var_logFC": "varLogFC_conditionstim",
    "logFC_low": "logFC.ci.lo_conditionstim",
    "logFC_high": "logFC.ci.hi_conditionstim",
}


@pytest.fixture(scope="module")
def r() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "parity" / "r_mast.npz") as stored:
        return dict(stored)


def logged(r, scale, log):
    counts = sparse.csr_matrix(
        (r["counts_data"].astype(float), r["counts_indices"].astype(np.int32), r["counts_indptr"])
    )
    counts = sparse.diags(scale / np.asarray(counts.sum(1)).ravel()) @ counts
    counts.data = log(1 + counts.data)
    return counts.tocsr()


def indicator(r):
    return sparse.csr_matrix(np.array([r["condition"] == "stim", r["condition"] == "ctrl"], dtype=float))


@pytest.mark.parametrize("fit", ["zlm_cond", "zlm_cond_noebayes"])
def test_every_number_of_the_fit_given_the_prior(r, fit):
    sums = group_sums(logged(r, 1e6, np.log2), indicator(r))
    ours = two_group_lrt(sums, [0], [1], ebayes=fit == "zlm_cond", prior=tuple(r["prior"]))
    for name, column in COLUMNS.items():
        np.testing.assert_allclose(
            ours[name][0, r["zlm_genes"]], r[f"{fit}/{column}"], rtol=1e-6, atol=1e-6, err_msg=name
        )
    np.testing.assert_allclose(np.log10(ours["p"][0]), np.log10(r[f"{fit}/p"]), atol=1e-6)


def test_the_prior_is_that_of_all_tested_genes(r):
    ours = two_group_lrt(group_sums(logged(r, 1e6, np.log2), indicator(r)), [0], [1])
    np.testing.assert_allclose([ours["prior_variance"][0], ours["prior_df"][0]], r["prior"], rtol=1e-3)
    np.testing.assert_allclose(np.log10(ours["p"][0]), np.log10(r["zlm_cond/p"]), atol=1e-3)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("table", "filters"), [("default", {}), ("nofilter", {"min_pct": 0, "logfc_threshold": 0})])
def test_find_markers(r, table, filters, dense):
    X = logged(r, 1e4, np.log)
    genes = np.arange(X.shape[1])
    case, control = np.flatnonzero(r["condition"] == "stim"), np.flatnonzero(r["condition"] == "ctrl")
    ours = find_markers(X.toarray() if dense else X, genes, case, control, **filters)
    theirs = {column: r[f"MAST_{table}/{column}"] for column in ("gene", "p_val", "avg_log2FC", "pct.1", "pct.2")}
    assert (ours["gene"] == theirs["gene"]).all()
    np.testing.assert_allclose(np.log10(ours["p_val"]), np.log10(theirs["p_val"]), atol=1e-3)
    np.testing.assert_allclose(ours["avg_log2FC"], theirs["avg_log2FC"], rtol=1e-8, atol=1e-11)
    np.testing.assert_array_equal(ours[["pct_1", "pct_2"]].to_numpy().T, [theirs["pct.1"], theirs["pct.2"]])
    np.testing.assert_allclose(ours["p_val_adj"], np.minimum(1, ours["p_val"] * 1500), rtol=1e-12)
