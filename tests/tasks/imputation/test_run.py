"""The task through the command line: every number recomputed from the files of the run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import command_line
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from bench.dataset import Dataset
from bench.results.store import Store


def bench(*args: str | Path) -> str:
    done = command_line.bench(*args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def problem_of(run: Path, trial: str) -> str:
    record = Store(run).record(trial)
    assert record is not None
    return record.spec.problem


def stored(file: Path) -> tuple[sparse.csr_matrix, list[str]]:
    with np.load(file) as s:
        return sparse.csr_matrix((s["data"], s["indices"], s["indptr"]), shape=s["shape"]), s["cell"].tolist()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, deep_dataset: Callable[..., Dataset]) -> Path:
    folder = tmp_path_factory.mktemp("imputation")
    dataset = deep_dataset({"a": 60, "b": 70, "c": 65})
    dataset.adata.write_h5ad(folder / "own.h5ad")
    request = ["--task", "imputation", "--methods", "controls", "--no-report", "--jobs", "1"]
    tracks = ["--tracks", "nonzero,dropout"]
    bench("run", *request, *tracks, "--datasets", folder / "own.h5ad", "--out", folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_hidden_counts_recomputed_from_the_run_folder(run: Path) -> None:
    rows = pd.read_parquet(run / "results.parquet")
    rows = rows[rows.track == "nonzero"]
    assert set(rows.status) == {"ok"}
    assert rows.trial.nunique() == 6
    for trial, scores in rows.groupby("trial"):
        problem = problem_of(run, str(trial))
        truth, cells = stored(run / "problems" / problem / "truth_expression.npz")
        answer, same = stored(run / "trials" / str(trial) / "expression.npz")
        assert cells == same
        by_unit = scores.set_index(["unit", "metric"])["value"]
        group = np.concatenate([np.arange(n) % 5 for n in np.diff(truth.indptr)])
        for k in range(5):
            t, y = truth.data[group == k].astype(float), answer.data[group == k].astype(float)
            assert by_unit[f"group:{k + 1}", "mse"] == pytest.approx(np.mean((t - y) ** 2))
            if np.ptp(y) > 0:
                assert by_unit[f"group:{k + 1}", "pearson"] == pytest.approx(stats.pearsonr(t, y).statistic)
        table = pd.read_parquet(run / "trials" / str(trial) / "scored_groups.parquet")
        assert table["n"].sum() == truth.nnz


@pytest.mark.slow
def test_whole_cells_recomputed_from_the_run_folder(run: Path) -> None:
    import zarr

    rows = pd.read_parquet(run / "results.parquet")
    rows = rows[(rows.track == "dropout") & (rows.unit == "pooled")]
    for trial, scores in rows.groupby("trial"):
        problem = problem_of(run, str(trial))
        truth, cells = stored(run / "problems" / problem / "truth_expression.npz")
        kept = zarr.open_group(run / "trials" / str(trial) / "expression.zarr", mode="r")
        assert list(kept["cell"][:]) == cells
        t, y = truth.toarray().ravel().astype(float), kept["X"][:].ravel().astype(float)
        metric = scores.set_index("metric")["value"]
        assert metric["mse"] == pytest.approx(np.mean((t - y) ** 2))
        assert metric["pearson"] == pytest.approx(stats.pearsonr(t, y).statistic)


@pytest.mark.slow
def test_rescoring_and_the_audit_agree(run: Path) -> None:
    before = pd.read_parquet(run / "results.parquet")
    bench("rescore", run)
    pd.testing.assert_frame_equal(before, pd.read_parquet(run / "results.parquet"))
    said = bench("audit", "--task", "imputation", "--datasets", run.parent / "own.h5ad")
    assert "leak" not in said.lower().replace("leakage", "")
