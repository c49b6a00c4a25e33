"""The paired cohort: two libraries of each donor, whose genes differ by the disease alone."""

import numpy as np
import pandas as pd
import pytest

from bench.data._builtin import CohortSource
from bench.data._paired_spec import PairedSpec
from bench.data.cohort import CohortSpec, expectation
from bench.data.paired_cohort import simulate_paired
from bench.errors import BenchError

_SPEC = PairedSpec(n_cells=1200, n_genes=300, n_donors=4, doublet_rate=0.05, seed=2)


@pytest.fixture(scope="module")
def paired():
    return simulate_paired(_SPEC)


def test_each_donor_has_nuclei_in_both_arms_and_one_batch(paired):
    assert paired.shape == (1200, 300)
    assert paired.obs_names.is_unique
    table = paired.obs.groupby("donor", observed=True)[["condition", "batch", "library"]].nunique()
    assert table.index.tolist() == ["D1", "D2", "D3", "D4"]
    assert table.to_numpy().tolist() == [[2, 1, 2]] * 4


def test_the_same_recipe_gives_the_same_bytes(paired):
    again = simulate_paired(_SPEC, threads=2)
    assert (again.X != paired.X).nnz == 0
    pd.testing.assert_frame_equal(again.obs, paired.obs)


def test_libraries_of_a_donor_share_its_effects_and_no_others(paired):
    effects, names = paired.varm["donor_log2fc"], list(paired.uns["donors"])
    assert names[:3] == ["D1_CN", "D1_AD", "D2_CN"]
    np.testing.assert_array_equal(effects[:, 0], effects[:, 1])
    assert np.abs(effects[:, 0] - effects[:, 2]).max() > 0.1


def test_within_a_donor_the_arms_differ_by_the_truth_that_is_shipped(paired):
    by_library = type(paired)(
        obs=paired.obs.assign(donor=paired.obs["library"]), var=paired.var, varm=dict(paired.varm), uns=paired.uns
    )
    rate = pd.DataFrame(expectation(by_library), index=paired.obs_names, columns=paired.var_names)
    rate = rate.div(paired.obs["size_a"], axis=0)[~paired.obs["is_doublet"]]
    obs = paired.obs.loc[rate.index]
    profile = rate.groupby([obs["donor"], obs["subcluster"], obs["condition"]], observed=True).first()
    truth = paired.uns["disease_effects"]
    assert set(truth["arm"]) == {"AD"}
    donor, subcluster = next((d, k) for d, k, arm in profile.index if arm == "AD" and (d, k, "CN") in profile.index)
    change = np.log2(profile.loc[(donor, subcluster, "AD")] / profile.loc[(donor, subcluster, "CN")])
    cell_type = obs.loc[obs["subcluster"] == subcluster, "cell_type"].iloc[0]
    expected = truth[truth["cell_type"] == cell_type].set_index("ensembl")["log2fc"].reindex(change.index).fillna(0.0)
    # All but a constant, by which a profile that sums to one makes room for what rose.
    np.testing.assert_allclose(change - change[expected == 0].mean(), expected, atol=1e-4)


def test_what_is_registered_has_the_truth_and_the_expected_counts():
    source = CohortSource("small", _SPEC)
    assert "4 donors, each in arms CN/AD" in source.card.summary
    data = source.load()
    assert set(data.adata.uns["disease_effects"]["arm"]) == {"AD"}
    assert data.expected(np.array([0, 1199])).shape == (2, 300)
    assert (data.expected(np.array([0, 1199])).sum(axis=1) > 0).all()


def test_the_digest_tells_paired_from_not_paired():
    same = {"n_cells": 1200, "n_donors": 4, "arms": ("CN", "AD")}
    assert PairedSpec(**same).digest != CohortSpec(**same).digest


def test_three_arms_are_no_pair():
    with pytest.raises(BenchError, match="paired cohort cannot be simulated: arms") as error:
        PairedSpec(arms=("CN", "AD", "PD"))
    assert error.value.fix == "name two of CN, AD, PD"
