"""The task through the command line: a file in, a run folder out, every number recomputed from what is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import f1_score


def _bench(*args: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "bench.cli", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
    _bench("rescore", out)
    pd.testing.assert_frame_equal(rows, pd.read_parquet(out / "results.parquet"))
