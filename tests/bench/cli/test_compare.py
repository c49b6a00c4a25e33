"""``bench compare`` on two runs of the doublet task: the interval against scikit-learn, exit codes and files."""

import json
import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from command_line import bench
from sklearn.metrics import average_precision_score

from bench.results.store import Store
from bench.seeds import derive_seed
from bench.stats import donor_weights
from bench.testing import toy_dataset


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of cxds, the second with two genes only."""
    folder = tmp_path_factory.mktemp("compare")
    toy_dataset(n_donors=8, cells_per_donor=80).adata.write_h5ad(folder / "toy.h5ad")
    (folder / "other").mkdir()
    base = [
        "run",
        "--task=doublet",
        "--tracks=simulated",
        "--methods=cxds",
        "--datasets=toy.h5ad",
        "--no-report",
        "--seeds=1",
    ]
    for name, more in (("a", []), ("b", ["--set=cxds.ntop=2"])):
        assert bench(*base, *more, f"--out={name}", cwd=folder).returncode == 0
    return folder


def draws(store):
    """AUPRC of cxds over resampled donors, then cells, by scikit-learn."""
    [record] = [r for r in store.records() if r.spec.method == "cxds"]
    solution = store.solution(record.spec.problem)
    answer = pd.read_parquet(store.trial_folder(record.key) / "prediction.parquet").set_index("cell")
    score, truth = answer.loc[solution.index, "score"], solution["is_doublet"]
    rng = np.random.default_rng(derive_seed("doublet/bootstrap", *solution.index.astype(str)))
    weights = np.concatenate(list(donor_weights(solution["donor"].to_numpy(), 500, rng)))
    return np.array([average_precision_score(truth, score, sample_weight=w) for w in weights])


def test_the_paired_interval_is_that_of_the_same_resamples(runs):
    told = json.loads(bench("compare", "a", "b", "--json", cwd=runs).stdout)
    row = next(s for s in told["scores"] if s["method"] == "cxds" and s["metric"] == "auprc")
    difference = draws(Store(runs / "b")) - draws(Store(runs / "a"))
    low, high = np.quantile(difference, [0.025, 0.975])
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high), abs=1e-9)
    assert row["change"] == "worse"
    assert row["donors"] == 2
    controls = [s for s in told["scores"] if s["role"] != "method"]
    assert len(controls) > 3
    assert {s["change"] for s in controls} == {"same"}


def test_worse_fails_where_asked_and_is_written_as_junit_and_csv(runs):
    assert bench("compare", "a", "b", cwd=runs).returncode == 0
    done = bench("compare", "a", "b", "--fail-if-worse", "--junit=ci/j.xml", "--csv=ci/c.csv", cwd=runs)
    assert done.returncode == 1
    assert "1 worse" in done.stdout
    assert "parameter ntop 500 -> 2 of cxds" in done.stdout
    assert ET.parse(runs / "ci/j.xml").getroot().get("failures") == "1"
    table = pd.read_csv(runs / "ci/c.csv")
    assert table.loc[table["headline"] & (table["method"] == "cxds"), "change"].tolist() == ["worse"]


def test_better_and_the_same_do_not_fail(runs):
    assert bench("compare", "b", "a", "--fail-if-worse", cwd=runs).returncode == 0
    shutil.copytree(runs / "a", runs / "again")
    done = bench("compare", "a", "again", "--fail-if-worse", cwd=runs)
    assert done.returncode == 0
    assert "the same in all" in done.stdout


def test_a_run_is_not_compared_with_itself(runs):
    done = bench("compare", "a", "other/../a", "--fail-if-worse", cwd=runs)
    assert done.returncode == 2
    assert "one run folder, named twice" in done.stderr


def test_a_folder_that_is_no_run_is_an_error(runs):
    done = bench("compare", "a", ".", cwd=runs)
    assert done.returncode == 2
    assert "not a run folder" in done.stderr


def test_a_gate_that_could_compare_nothing_does_not_pass(runs):
    toy_dataset(n_donors=8, cells_per_donor=80, seed=1).adata.write_h5ad(runs / "other" / "toy.h5ad")
    base = ["run", "--task=doublet", "--tracks=simulated", "--methods=controls", "--no-report", "--out=c"]
    assert bench(*base, "--datasets=other/toy.h5ad", cwd=runs).returncode == 0
    done = bench("compare", "a", "c", cwd=runs)
    assert done.returncode == 0
    assert "other data under this name" in done.stdout
    done = bench("compare", "a", "c", "--fail-if-worse", cwd=runs)
    assert done.returncode == 2
    assert "no score could be compared" in done.stderr
