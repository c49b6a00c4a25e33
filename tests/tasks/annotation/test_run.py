"""The task through the command line: a file in, a run folder out, every number recomputed from what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from command_line import bench
from scipy import sparse
from sklearn.metrics import f1_score

from bench.data.library import from_path
from bench.errors import DataError


def _bench(*args: str | Path) -> str:
    done = bench(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_file_of_ones_own_is_run_and_rescored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 240
    obs = pd.DataFrame(
        {
            "donor": [f"p{i % 4}" for i in range(n)],
            "cell_type": np.array(["Exc", "Inh", "Ast"])[rng.integers(3, size=n)],
            "split": [("train", "test")[i % 2] for i in range(n)],
        },
        index=[f"c{i}" for i in range(n)],
    )
    file, out = tmp_path / "own.h5ad", tmp_path / "run"
    AnnData(sparse.csr_matrix(rng.poisson(1.0, (n, 30)) + 1.0), obs=obs).write_h5ad(file)
    request = ["--task", "annotation", "--tracks", "celltype", "--methods", "controls", "--no-report", "--jobs", "1"]
    _bench("run", *request, "--datasets", file, "--out", out)
    rows = pd.read_parquet(out / "results.parquet")
    (solution,) = (out / "problems").glob("*/solution.parquet")
    truth = pd.read_parquet(solution).set_index("cell")
    assert set(truth.donor) == {"p1", "p3"}  # the file's own split
    trials = rows[rows.unit == "pooled"].groupby("trial")
    assert trials.ngroups == 3
    for trial, scores in trials:
        folder = out / "trials" / str(trial)
        prediction = pd.read_parquet(folder / "prediction.parquet").set_index("cell")
        assert list(prediction) == ["label", "probability"]
        y, p = truth.label.loc[prediction.index], prediction.label
        expected = f1_score(y, p, labels=sorted(set(y)), average="macro", zero_division=0)
        assert scores.set_index("metric").value["f1_macro"] == pytest.approx(expected)
        assert list(pd.read_parquet(folder / "probabilities.parquet")) == ["cell", "Ast", "Exc", "Inh"]
    assert not list((out / "problems").glob("*/table_map.parquet"))  # no report, no map
    _bench("rescore", out)
    pd.testing.assert_frame_equal(rows, pd.read_parquet(out / "results.parquet"))


@pytest.fixture
def odd(tmp_path: Path) -> AnnData:
    """Three levels under names of their own in six patients, with every oddity that labels may have."""
    rng = np.random.default_rng(3)
    n, fine = 360, np.array(["L2a", "L2b", "L6a", "Pv", "Ast1", "Ast2"])
    kind = np.arange(n) % 6
    obs = pd.DataFrame(
        {
            "patient": [f"p{i // 60}" for i in range(n)],
            "class": np.array(["Neuron", "Neuron", "Neuron", "Neuron", "Glia", "Glia"])[kind],
            "type": np.array(["L2", "L2", "L6", "Pv", "Ast", "Ast"])[kind],
            "cluster": fine[kind],
            "arm": np.where(np.arange(n) < 180, "AD", "CN"),
            "role": np.where(np.arange(n) < 120, "test", "train"),
        },
        index=[f"c{i}" for i in range(n)],
    ).astype(object)
    place = {name: obs.columns.get_loc(name) for name in obs}
    obs.iloc[0:60:7, place["class"]] += " "
    obs.iloc[[9, 190], place["cluster"]] = "(none)"
    obs.iloc[192:216:6, place["cluster"]] = "l2A"
    obs.iloc[243, place["cluster"]] = "PvOnce"
    obs.iloc[301:331:6, place["cluster"]] = "L2bOnePatient"
    obs.iloc[4, place["cluster"]] = "AstUnseen"
    counts = rng.poisson(1.0 + 4.0 * (np.arange(40) % 6 == kind[:, None]))
    counts[120:, :6] = 0
    return AnnData(sparse.csr_matrix(counts.astype(np.int32)), obs=obs)


@pytest.mark.slow
def test_odd_labels_are_told_on_the_command_line(odd: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    odd.write_h5ad(tmp_path / "odd.h5ad")
    keys = {"donor": "patient", "label": "class", "subtype": "type", "subcluster": "cluster"}
    keys |= {"condition": "arm", "split": "role"}
    options = [word for key, column in keys.items() for word in (f"--{key}-key", column)]
    _bench("data", "add", tmp_path / "odd.h5ad", "--name", "odd", *options)
    out = tmp_path / "run"
    request = ["--task", "annotation", "--methods", "scibet,logistic_regression", "--datasets", "odd", "--no-report"]
    said = _bench("run", *request, "--out", out, "--jobs", "1")
    everywhere = "odd/celltype, odd/subtype, odd/subcluster"
    for warning in (
        "odd/subcluster: labels that may be one class, kept apart: 'L2a' / 'l2A'",
        "odd/subcluster: classes with one training cell: PvOnce",
        "odd/subcluster: classes whose training cells come from one donor only: L2bOnePatient",
        "without any training cell, so nobody can name them: AstUnseen (1)",
        f"{everywhere}: all tested donors are of one condition, AD (of AD, CN)",
        f"{everywhere}: 6 genes are detected in tested cells only (15.0% of theirs)",
    ):
        assert said.count(warning) == 1, said
    rows = pd.read_parquet(out / "results.parquet")
    scores = rows[(rows.unit == "pooled") & (rows.metric == "f1_macro")].set_index(["track", "method"]).value
    assert (scores.xs("truth", level="method") > 0.8).all()
    assert scores["celltype", "logistic_regression"] > scores["celltype", "majority"]
    notes = json.loads(next((out / "trials").glob("*/trial.json")).read_text())["problem_notes"]
    assert any("white space around the cell_type of 9 cells was removed" in note for note in notes)


@pytest.mark.parametrize(
    ("column", "rows", "value", "told"),
    [
        ("type", [3, 8], None, "2 of 360 cells have no value (NaN or empty)"),
        ("class", [3], "Glia", "subtype 'Pv' occurs under 2 values of cell_type: label levels must nest"),
    ],
)
def test_what_cannot_be_a_label_is_refused_when_the_file_is_read(
    odd: AnnData, tmp_path: Path, column: str, rows: list[int], value: object, told: str
) -> None:
    odd.obs.iloc[rows, odd.obs.columns.get_loc(column)] = value
    odd.write_h5ad(tmp_path / "odd.h5ad")
    columns = {"cell_type": "class", "subtype": "type"}
    with pytest.raises(DataError) as refused:
        from_path(tmp_path / "odd.h5ad", columns=columns).load()
    assert told in refused.value.what
    assert refused.value.fix
