import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bench.data._profiles import curated_symbols
from bench.data.cohort import CohortSpec, expectation, simulate
from bench.errors import BenchError


def _bytes(adata):
    X = adata.X
    return b"".join(part.tobytes() for part in (X.data, X.indices, X.indptr)), adata.obs.to_csv(), adata.var.to_csv()


def test_same_seed_same_bytes_whatever_the_threads(cohort, cohort_spec):
    assert _bytes(simulate(cohort_spec, threads=3)) == _bytes(cohort)


def test_another_seed_changes_counts_and_cells():
    one, other = (simulate(CohortSpec(n_cells=60, n_genes=200, n_donors=3, seed=seed)) for seed in (0, 1))
    assert _bytes(one)[0] != _bytes(other)[0]
    assert _bytes(one)[1] != _bytes(other)[1]


def test_sizes_are_exact_and_counts_are_sparse_integers(cohort, cohort_spec):
    assert cohort.shape == (cohort_spec.n_cells, cohort_spec.n_genes)
    assert cohort.X.dtype == np.int32
    assert cohort.X.indices.dtype == np.int32
    assert cohort.X.data.min() >= 1
    assert cohort.X.has_sorted_indices
    assert cohort.obs_names.is_unique
    assert cohort.var_names.is_unique
    assert cohort.var_names.is_monotonic_increasing


def test_all_arms_batches_and_types_are_there(cohort):
    assert set(cohort.obs["condition"]) == {"CN", "AD", "PD"}
    assert cohort.obs["donor"].nunique() == 6
    assert cohort.obs["cell_type"].nunique() == 8
    assert (cohort.obs.groupby("donor", observed=True)["batch"].nunique() == 1).all()
    assert (cohort.obs.groupby("donor", observed=True)["condition"].nunique() == 1).all()


def test_label_levels_nest(cohort):
    labels = cohort.uns["subclusters"]
    assert labels["subcluster"].is_unique
    for coarse, fine in (("cell_type", "subtype"), ("subtype", "subcluster")):
        assert (labels.groupby(fine)[coarse].nunique() == 1).all()
        assert (cohort.obs.groupby(fine, observed=True)[coarse].nunique() == 1).all()


def test_markers_have_real_ids_and_mark_their_type(cohort):
    assert curated_symbols() <= set(cohort.var["symbol"])
    ids = pd.Series(cohort.var_names, index=cohort.var["symbol"])
    assert ids["MBP"] == "ENSG00000197971"
    assert ids["AQP4"] == "ENSG00000171885"
    assert ids["GAD1"] == "ENSG00000128683"
    singlets = cohort[~cohort.obs["is_doublet"].to_numpy()]
    share = singlets.X.multiply(1 / singlets.X.sum(axis=1)).tocsr()
    for symbol, cell_type in (
        ("MBP", "Oligodendrocyte"),
        ("AQP4", "Astrocyte"),
        ("GAD1", "Inhibitory"),
        ("CSF1R", "Microglia"),
    ):
        column = share[:, singlets.var_names.get_loc(ids[symbol])].toarray().ravel()
        means = pd.Series(column).groupby(singlets.obs["cell_type"].to_numpy()).mean()
        assert means.idxmax() == cell_type


def test_doublets_have_parents_and_singlets_do_not(cohort, cohort_spec):
    obs = cohort.obs
    doublet = obs["is_doublet"].to_numpy()
    assert abs(doublet.mean() - cohort_spec.doublet_rate) < 0.05
    for column in ("parent_type_a", "parent_type_b", "parent_subcluster_a", "parent_subcluster_b"):
        assert obs[column].isna().to_numpy().tolist() == (~doublet).tolist()
    parents = obs[doublet]
    larger = (
        parents["parent_type_a"]
        .astype(str)
        .where(parents["size_a"] >= parents["size_b"], parents["parent_type_b"].astype(str))
    )
    assert (parents["cell_type"].astype(str) == larger).all()
    homotypic = (parents["parent_type_a"].astype(str) == parents["parent_type_b"].astype(str)).mean()
    assert 0.05 < homotypic < 0.5


def test_no_nucleus_is_caught_twice_and_parents_share_the_library(cohort):
    obs = cohort.obs
    doublet = obs["is_doublet"].to_numpy()
    assert (obs["nucleus_b"][~doublet] == "").all()
    nuclei = [*obs["nucleus_a"], *obs["nucleus_b"][doublet]]
    assert len(set(nuclei)) == len(nuclei) == cohort.n_obs + doublet.sum()
    for column in ("nucleus_a", "nucleus_b"):
        named = obs[obs[column] != ""]
        assert (named[column].str.split("_").str[0] == named["donor"].astype(str)).all()


def test_a_doublet_is_a_sum_not_a_mean(cohort):
    totals = np.asarray(cohort.X.sum(axis=1)).ravel()
    doublet = cohort.obs["is_doublet"].to_numpy()
    assert 1.5 < totals[doublet].mean() / totals[~doublet].mean() < 2.5


def test_expectation_is_the_mean_of_the_counts():
    """Without soup and loss, counts over expected counts average to one, gene by gene and type by type."""
    adata = simulate(CohortSpec(n_cells=1200, n_genes=300, n_donors=3, ambient=0.0, dropout=0.0, doublet_rate=0.3))
    mean = expectation(adata)
    assert mean.dtype == np.float32
    assert adata.X.sum() / mean.sum() == pytest.approx(1.0, abs=0.02)
    for group in ("cell_type", "is_doublet", "condition"):
        for rows in adata.obs.groupby(group, observed=True).indices.values():
            observed, expected = np.asarray(adata.X[rows].sum(axis=0)).ravel(), mean[rows].sum(axis=0)
            error = np.sqrt(expected + (adata.var["overdispersion"].to_numpy() * (mean[rows] ** 2).sum(axis=0)))
            z = (observed - expected) / error
            assert abs(z.mean()) < 0.3
            assert z.std() == pytest.approx(1.0, abs=0.2)
    some = np.array([5, 2, 700])
    np.testing.assert_array_equal(expectation(adata, some), mean[some])


def test_dropout_loses_counts_and_soup_adds_them():
    base = {"n_cells": 400, "n_genes": 500, "n_donors": 2, "doublet_rate": 0.0}
    plain = simulate(CohortSpec(**base, ambient=0.0, dropout=0.0))
    lossy = simulate(CohortSpec(**base, ambient=0.0, dropout=0.5))
    soupy = simulate(CohortSpec(**base, ambient=0.3, dropout=0.0))
    np.testing.assert_allclose(expectation(plain), expectation(lossy), rtol=1e-6)
    assert lossy.X.nnz < 0.8 * plain.X.nnz
    assert soupy.X.sum() > 1.15 * plain.X.sum()
    assert (plain.obs["soup"] == 0).all()


def test_recorded_disease_genes_differ_and_others_do_not(cohort):
    effects = cohort.uns["disease_effects"]
    assert set(effects["arm"]) == {"AD", "PD"}
    assert set(effects["gene"]) <= set(cohort.var["symbol"])
    assert not effects.duplicated(["arm", "cell_type", "ensembl"]).any()
    assert effects.query("arm == 'AD' and cell_type == 'Microglia' and gene == 'SPP1'")["log2fc"].item() > 1
    adata = simulate(CohortSpec(n_cells=6000, n_genes=600, n_donors=12, arms=("CN", "AD"), doublet_rate=0.0, seed=1))
    chosen = adata[(adata.obs["cell_type"] == "Oligodendrocyte").to_numpy()]
    by_donor = []
    for arm in ("AD", "CN"):
        rows = chosen[(chosen.obs["condition"] == arm).to_numpy()]
        donors = rows.obs.groupby("donor", observed=True).indices.values()
        profiles = np.stack([np.asarray(rows.X[d].sum(axis=0)).ravel() / rows.X[d].sum() for d in donors])
        by_donor.append(np.log2(profiles + 1e-5).mean(axis=0))
    observed = pd.Series(by_donor[0] - by_donor[1], index=adata.var_names)
    truth = adata.uns["disease_effects"].query("cell_type == 'Oligodendrocyte'").set_index("ensembl")["log2fc"]
    assert np.corrcoef(observed[truth.index], truth)[0, 1] > 0.8
    assert observed.drop(truth.index).abs().median() < 0.35


def test_controls_only_have_no_disease():
    assert simulate(CohortSpec(n_cells=30, n_genes=150, n_donors=2, arms=("CN",))).uns["disease_effects"].empty


@pytest.mark.parametrize("n_cells", [1, 3])
def test_tiny_cohorts(n_cells):
    adata = simulate(CohortSpec(n_cells=n_cells, n_genes=50, n_donors=8, doublet_rate=0.5))
    assert adata.shape == (n_cells, 50)
    assert expectation(adata).shape == (n_cells, 50)


def test_more_genes_than_the_table_has_get_synthetic_names():
    adata = simulate(CohortSpec(n_cells=4, n_genes=21_000, n_donors=1))
    invented = adata.var_names.str.startswith("SIM")
    assert invented.sum() == 500
    assert adata.var_names[~invented].str.fullmatch(r"ENSG\d{11}").all()


def test_progress_counts_droplets():
    seen = []
    simulate(CohortSpec(n_cells=50, n_genes=60, n_donors=3), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (50, 50)
    assert seen == sorted(seen)


def test_the_recipe_is_kept(cohort, cohort_spec):
    assert CohortSpec(**json.loads(cohort.uns["cohort"]["spec"]) | {"arms": cohort_spec.arms}) == cohort_spec


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_cells": 0},
        {"doublet_rate": 1.0},
        {"ambient": -0.1},
        {"arms": ("MS",)},
        {"arms": ()},
        {"depth": 0.0},
        {"seed": -1},
    ],
)
def test_impossible_recipes_say_what_is_wrong(wrong):
    with pytest.raises(BenchError, match=next(iter(wrong))) as error:
        CohortSpec(**wrong)
    assert error.value.fix


def test_the_digest_follows_the_recipe():
    assert CohortSpec().digest == CohortSpec().digest
    assert len({CohortSpec().digest, CohortSpec(seed=1).digest, CohortSpec(dropout=0.2).digest}) == 3


def test_the_generator_is_the_one_whose_numbers_the_docs_tell():
    """Any edit of its files draws other splits, seeds and keys: one that is meant changes this, too."""
    assert CohortSpec().digest.startswith("fc2c7ca5d6790bfd")


@pytest.mark.slow
def test_no_dense_block_is_ever_held():
    """5,000 cells x 20,000 genes as a dense int32 block would be 381 MiB; everything stays below half of it."""
    code = (
        "import resource; from bench.data.cohort import CohortSpec, simulate\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "simulate(CohortSpec(n_cells=24, n_genes=20_000, n_donors=24)); before = peak()\n"
        "simulate(CohortSpec(n_cells=5_000, n_genes=20_000, n_donors=24)); print(peak() - before)"
    )
    grown = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert grown < 381 / 2
