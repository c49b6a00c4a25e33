"""``bench deg`` from the command line."""

import contextlib
import importlib.util
import io
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import typer
from scipy import stats
from scipy.sparse import csr_matrix

from bench.cli import deg
from bench.cli.seurat_markers import find_markers_r, latent_columns
from bench.errors import BenchError, UnavailableError
from bench.tasks._deg_table import log_normalised

BENCH_DATA = os.environ.get("BENCH_DATA")


def bench(*args):
    return subprocess.run([sys.executable, "-m", "bench.cli", "deg", *map(str, args)], capture_output=True, text=True)


@pytest.fixture
def study(tmp_path):
    """Gene g0 is up in the case cells; type c has two of them, type d none."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "arm": ["case", "ctrl"] * 50 + ["case"] * 2 + ["ctrl"] * 30,
            "type": ["a"] * 60 + ["b"] * 40 + ["c"] * 12 + ["d"] * 20,
            "age": rng.normal(size=132),
        },
        index=[f"c{i}" for i in range(132)],
    )
    obs["twin"] = obs["arm"]
    rate = np.full((132, 30), 1.0)
    rate[obs["arm"] == "case", 0] = 8.0
    adata = anndata.AnnData(
        csr_matrix(rng.poisson(rate)), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(30)])
    )
    adata.layers["logs"] = adata.X.copy().astype(np.float32)
    adata.layers["logs"].data = np.log1p(adata.layers["logs"].data)
    adata.layers["scaled"] = adata.layers["logs"] * -1
    adata.write_h5ad(tmp_path / "study.h5ad")
    return tmp_path / "study.h5ad"


def arms(file, *more):
    return [file, "--group", "arm", "--case", "case", "--control", "ctrl", "--by", "type", *more]


def test_a_table_per_type_and_why_there_is_none(study, tmp_path):
    done = bench(*arms(study, "--out", tmp_path / "deg.csv", "--covariates", "age,cngeneson"))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "deg.csv")
    assert list(table) == ["cell_type", "gene", "p_val", "avg_log2FC", "pct_1", "pct_2", "p_val_adj"]
    assert list(table.drop_duplicates("cell_type")["gene"]) == ["g0", "g0"]
    assert set(table["cell_type"]) == {"a", "b"}
    assert "c: 2 case and 10 control cells; not tested: 2 case cells, Seurat tests no fewer than 3" in done.stdout
    assert "d: 0 case and 20 control cells; not tested: 0 case cells" in done.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--covariates", "twin"], "the covariates (twin) determine which cells are case and which control"),
        (["--layer", "logs"], "these are not raw counts"),
        (["--layer", "scaled"], "negative or not finite"),
        (["--normalized"], "these are not logarithms"),
        (["--layer", "nope"], "there is no layer 'nope'"),
        (["--covariates", "sex"], "the cells have no column 'sex'"),
        (["--test", "t"], "'t' is not known"),
        (["--test", "wilcox", "--covariates", "age"], "takes no covariates"),
        (["--case", "sick"], "no cell has arm 'sick'"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_the_reason(study, tmp_path, options, reason):
    app = typer.Typer()
    deg.register(app)
    arguments = [str(a) for a in arms(study, "--out", tmp_path / "deg.csv", *options)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(BenchError) as refusal:
        app(arguments, standalone_mode=False)
    assert reason in printed.getvalue() + str(refusal.value)
    assert not (tmp_path / "deg.csv").exists()


@pytest.mark.r
def test_seurat_itself_gives_the_same_table(study, tmp_path):
    if importlib.util.find_spec("rpy2") is None or shutil.which("Rscript") is None:
        pytest.skip("needs R and rpy2")
    tables = []
    for engine in "native", "r":
        out = tmp_path / f"{engine}.csv"
        done = bench(*arms(study, "--test", "wilcox", "--min-pct", "0", "--engine", engine, "--out", out))
        if "has no package Seurat" in done.stderr:
            pytest.skip("needs Seurat")
        assert done.returncode == 0, done.stderr
        tables.append(pd.read_csv(out))
    assert re.search(
        r", by Seurat [\d.]+ on R [\d.]+ with the filters and fold changes of Seurat 4$", done.stdout.strip()
    )
    pd.testing.assert_frame_equal(*tables, rtol=1e-8)
    done = bench(*arms(study, "--engine", "r", "--test", "wilcox", "--covariates", "age", "--out", tmp_path / "no.csv"))
    assert done.returncode == 2
    assert "takes no covariates" in done.stdout


@pytest.mark.r
def test_covariates_reach_seurat(study):
    """Its logistic regression takes them as MAST does, which Debian lacks."""
    if importlib.util.find_spec("rpy2") is None or shutil.which("Rscript") is None:
        pytest.skip("needs R and rpy2")
    adata = anndata.read_h5ad(study)
    adata = adata[adata.obs["type"] == "a"]
    obs = adata.obs.assign(lab=np.resize(["x", "y", "z"], len(adata)), same=1.0)
    X, case = log_normalised(adata.X), (obs["arm"] == "case").to_numpy()
    arms = np.flatnonzero(case), np.flatnonzero(~case)
    try:
        table = find_markers_r(X, adata.var_names, *arms, test="LR", covariates=obs[["age", "lab", "same"]], min_pct=0)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert table.attrs["dropped"] == ("same",)
    beside = pd.get_dummies(obs[["age", "lab"]], drop_first=True, dtype=float).assign(one=1.0)
    levels = X.toarray()
    for gene, p in table.set_index("gene")["p_val"].drop("g0").items():  # g0 separates the arms
        full = beside.assign(gene=levels[:, adata.var_names.get_loc(gene)])
        fits = [sm.GLM(case.astype(float), design, family=sm.families.Binomial()).fit() for design in (beside, full)]
        assert np.isclose(p, stats.chi2.sf(fits[0].deviance - fits[1].deviance, 1), rtol=1e-4)


def test_columns_for_seurat_are_those_that_can_be_estimated():
    case = np.arange(12) < 6
    covariates = pd.DataFrame({"donor": np.tile(["a", "b", "c"], 4), "chip": np.tile(["x", "x", "y"], 4)})
    columns, dropped = latent_columns(covariates, case)
    assert dropped == ("chip",)
    np.testing.assert_array_equal(columns, np.stack([covariates["donor"] == "b", covariates["donor"] == "c"], axis=1))
    with pytest.raises(BenchError, match="determine which cells are case"):
        latent_columns(pd.DataFrame({"arm": np.where(case, "a", "b")}), case)


def test_a_bar_is_drawn_on_a_terminal_only(study, tmp_path):
    options = arms(study, "--out", tmp_path / "deg.csv")
    assert bench(*options).stderr == ""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bench.cli", "deg", *map(str, options)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "%" in shown
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines() == bench(*options).stdout.splitlines()


@pytest.mark.skipif(not BENCH_DATA, reason="needs BENCH_DATA")
def test_interferon_on_real_cells(tmp_path):
    file = Path(BENCH_DATA) / "deg_kang_pbmc_ifnb_2donors.h5ad"
    options = ["--group", "condition", "--case", "stim", "--control", "ctrl", "--by", "cell_type"]
    assert bench(file, *options, "--out", tmp_path / "deg.csv").returncode == 0
    table = pd.read_csv(tmp_path / "deg.csv")
    assert table["cell_type"].nunique() == 5
    for _, genes in table.groupby("cell_type"):
        isg15 = genes["gene"].eq("ISG15").to_numpy().argmax()
        assert isg15 < 2  # in B cells its sister ISG20 has the smaller p
        assert genes["avg_log2FC"].iloc[isg15] > 3


@pytest.mark.skipif(not BENCH_DATA, reason="needs BENCH_DATA")
def test_48_nuclei_end_in_a_message_for_every_type(tmp_path):
    file = Path(BENCH_DATA) / "grubman_GSE138852_AD_micro48.h5ad"
    options = ["--group", "condition", "--case", "AD", "--control", "control", "--by", "cell_type"]
    done = bench(file, *options, "--out", tmp_path / "deg.csv")
    types = set(anndata.read_h5ad(file).obs["cell_type"].dropna().astype(str))
    assert all(f"{name}: " in done.stdout for name in types)
    assert "Traceback" not in done.stderr
