"""The two-group hurdle model and FindMarkers against MAST 1.32.0 and Seurat 4.3.0 (``parity/README.md``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.tasks.deg.find_markers import find_markers
from bench.tasks.deg.mast.two_groups import group_sums, two_group_lrt
from bench.tasks.deg.mast.zlm import zlm

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
    with np.load(Path(__file__).parents[2] / "parity" / "r_mast.npz") as stored:
        return dict(stored)


def logged(r, scale, log):
    counts = sparse.csr_matrix(
        (r["counts_data"].astype(float), r["counts_indices"].astype(np.int32), r["counts_indptr"])
    )
    # Divided first, as Seurat does it: which values are tied hangs on their last bit.
    counts.data = log(1 + counts.data / np.repeat(np.asarray(counts.sum(1)).ravel(), np.diff(counts.indptr)) * scale)
    return counts


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


def check(ours, r, fit, columns, genes=slice(None)):
    for name, column in columns.items():
        np.testing.assert_allclose(ours[name][genes], r[f"{fit}/{column}"], rtol=1e-6, atol=1e-6, err_msg=column)


@pytest.mark.parametrize(
    ("fit", "formula", "tested"),
    [
        ("zlm_cond", "~ condition", ("condition",)),
        ("zlm_cond_noebayes", "~ condition", ("condition",)),
        ("zlm_cond_cdr", "~ condition + cngeneson", ("condition", "cngeneson")),
        ("zlm_cond_cdr_batch", "~ condition + cngeneson + batch", ("condition", "batch")),
    ],
)
def test_every_number_of_a_design(r, fit, formula, tested):
    obs = pd.DataFrame({name: r[name] for name in ("condition", "batch", "cngeneson")})
    genes = r["zlm_genes"]
    ours = zlm(logged(r, 1e6, np.log2), obs, formula, ebayes=fit != "zlm_cond_noebayes", prior=tuple(r["prior"]))
    for j, name in enumerate(ours.coefficients):
        theirs = name.replace("[T.", "").replace("]", "")
        for part in "discrete", "continuous":
            coef, vcov = getattr(ours, f"coef_{part}"), getattr(ours, f"vcov_{part}")
            given = {"coef": coef[:, j], "se": np.sqrt(vcov[:, j, j])}
            letter = part[0].upper()
            check(given, r, fit, {"coef": f"coef{letter}_{theirs}", "se": f"se{letter}_{theirs}"}, genes)
        if j and f"{fit}/logFC_{theirs}" in r:
            names = {
                "logFC": "logFC_",
                "var_logFC": "varLogFC_",
                "logFC_low": "logFC.ci.lo_",
                "logFC_high": "logFC.ci.hi_",
            }
            check(ours.log_fold_change(name), r, fit, {k: v + theirs for k, v in names.items()}, genes)
        if f"{fit}/wald.{theirs}_hurdle_p" in r:
            names = [("", "hurdle"), ("_continuous", "cont"), ("_discrete", "disc")]
            wanted = {"chi2": "lambda", "p": "p"}
            columns = {f"{k}{s}": f"wald.{theirs}_{part}_{v}" for s, part in names for k, v in wanted.items()}
            check(ours.wald(name), r, fit, columns, genes)
    check({"dispersion": ours.dispersion}, r, fit, {"dispersion": "dispersion_C"}, genes)
    for term in tested:
        test = ours.lrt(term)
        names = [("", "hurdle"), ("_continuous", "cont"), ("_discrete", "disc")]
        wanted = {"chi2": "lambda", "df": "df", "p": "p"}
        columns = {f"{k}{s}": f"lrt.{term}_{part}_{v}" for s, part in names for k, v in wanted.items()}
        check(test, r, fit, columns, genes)
    np.testing.assert_allclose(np.log10(ours.lrt("condition")["p"]), np.log10(r[f"{fit}/p"]), atol=1e-6)


def test_the_prior_is_that_of_all_tested_genes(r):
    ours = two_group_lrt(group_sums(logged(r, 1e6, np.log2), indicator(r)), [0], [1])
    np.testing.assert_allclose([ours["prior_variance"][0], ours["prior_df"][0]], r["prior"], rtol=1e-3)
    np.testing.assert_allclose(np.log10(ours["p"][0]), np.log10(r["zlm_cond/p"]), atol=1e-3)


TABLES = {
    "MAST_default": {},
    "MAST_nofilter": {"min_pct": 0, "logfc_threshold": 0},
    "MAST_default_latent_cngeneson": {"covariates": "cngeneson"},
    "wilcox_default": {"test": "wilcox"},
    "wilcox_nofilter": {"test": "wilcox", "min_pct": 0, "logfc_threshold": 0},
}


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_find_markers(r, table, dense):
    options = dict(TABLES[table])
    if "covariates" in options:
        options["covariates"] = pd.DataFrame({"cngeneson": r["cngeneson"]})
    X = logged(r, 1e4, np.log)
    genes = np.arange(X.shape[1])
    case, control = np.flatnonzero(r["condition"] == "stim"), np.flatnonzero(r["condition"] == "ctrl")
    ours = find_markers(X.toarray() if dense else X, genes, case, control, **options)
    theirs = {column: r[f"{table}/{column}"] for column in ("gene", "p_val", "avg_log2FC", "pct.1", "pct.2")}
    tolerance = 1e-6 if "wilcox" in table else 1e-3
    assert (ours["gene"] == theirs["gene"]).all()
    np.testing.assert_allclose(np.log10(ours["p_val"]), np.log10(theirs["p_val"]), atol=tolerance)
    np.testing.assert_allclose(ours["avg_log2FC"], theirs["avg_log2FC"], rtol=1e-8, atol=1e-11)
    np.testing.assert_array_equal(ours[["pct_1", "pct_2"]].to_numpy().T, [theirs["pct.1"], theirs["pct.2"]])
    np.testing.assert_allclose(ours["p_val_adj"], np.minimum(1, ours["p_val"] * 1500), rtol=1e-12)
