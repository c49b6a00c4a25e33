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
import command_line
import h5py
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import typer
from scipy import stats
from scipy.sparse import csr_matrix

from bench.cli import deg
from bench.cli.seurat_markers import find_markers_r, latent_columns
from bench.data.library import add
from bench.errors import BenchError, UnavailableError
from bench.tasks.deg.by_cell_type import log_normalised

BENCH_DATA = os.environ.get("BENCH_DATA")


def bench(*args):
    return command_line.bench("deg", *args)


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
    obs["gaps"] = obs["age"].where(np.arange(132) > 2)
    obs["words"] = np.where(np.arange(132) == 7, "NA", np.where(np.arange(132) == 9, "", "a"))
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
        (["--layer", "logs"], "the matrix is already log-transformed"),
        (["--layer", "scaled"], "the matrix has negative values"),
        (["--normalized"], "these are not logarithms"),
        (["--normalized", "--layer", "logs"], "counts after exp(x) - 1, which nobody normalised"),
        (["--covariates", "gaps"], "gaps is missing in 3 cells (of 132 compared)"),
        (["--covariates", "gaps,age,words"], "gaps is missing in 3 cells and words is missing in 2 cells"),
        (["--covariates", "gaps"], "adata[adata.obs['gaps'].notna()]"),
        (["--covariates", "twin"], "leave out twin: no value of it is in both arms"),
        (["--donor-key", "patient"], "the cells have no column 'patient'"),
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


CONTRAST = ["--group", "arm", "--case", "case", "--control", "ctrl"]


def run(capsys, file, *options):
    """Lines that the command prints, in this process."""
    app = typer.Typer()
    deg.register(app)
    app([str(a) for a in (file, *CONTRAST, *options)], standalone_mode=False)
    return capsys.readouterr().out.splitlines()


def write(study, name="odd.h5ad", **columns):
    """The study with other columns."""
    adata = anndata.read_h5ad(study)
    adata.obs = adata.obs.assign(**columns)
    adata.write_h5ad(study.with_name(name))
    return study.with_name(name)


@pytest.mark.parametrize("form", ["layer", "raw", "zarr", "registered", "csc", "stored zeros", "64 bit"])
def test_the_same_counts_give_the_same_table_however_they_are_stored(study, tmp_path, capsys, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    options = ["--by", "type", "--covariates", "age,cngeneson"]
    run(capsys, study, *options, "--out", tmp_path / "plain.csv")
    adata, more, data = anndata.read_h5ad(study), [], tmp_path / "other.h5ad"
    counts = adata.X.copy()
    logs = log_normalised(counts).astype(np.float32)
    if form == "layer":
        adata.layers["umi"], adata.X, more = counts, logs, ["--layer", "umi"]
    elif form in ("raw", "registered"):
        adata.raw, adata.X, more = adata, logs, ["--layer", "raw"]
    elif form == "csc":
        adata.X = counts.tocsc()
    elif form == "64 bit":
        adata.X = counts.astype(np.float64)
        adata.X.indices, adata.X.indptr = adata.X.indices.astype(np.int64), adata.X.indptr.astype(np.int64)
    elif form == "stored zeros":
        dense = counts.toarray()
        rows, genes = np.nonzero((dense > 0) | (np.random.default_rng(0).random(dense.shape) < 0.5))
        adata.X = csr_matrix((dense[rows, genes], (rows, genes)), shape=dense.shape)
        assert adata.X.nnz > counts.nnz
    if form == "zarr":
        data = tmp_path / "other.zarr"
        adata.write_zarr(data)
    else:
        adata.write_h5ad(data)
    if form == "registered":
        add(data, "mine", layer="raw")
        data, more = "mine", []
    run(capsys, data, *options, *more, "--out", tmp_path / "other.csv")
    pd.testing.assert_frame_equal(*(pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "other")))


def test_logarithms_in_x_give_the_table_of_their_counts(study, tmp_path, capsys):
    run(capsys, study, "--out", tmp_path / "counts.csv")
    adata = anndata.read_h5ad(study)
    logs = log_normalised(adata.X)
    adata.X = logs
    adata.write_h5ad(tmp_path / "logs.h5ad")
    run(capsys, tmp_path / "logs.h5ad", "--normalized", "--out", tmp_path / "logs.csv")
    pd.testing.assert_frame_equal(*(pd.read_csv(tmp_path / f"{name}.csv") for name in ("counts", "logs")))


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        (lambda x: np.log1p(x / x.sum(1, keepdims=True) * 1e6), "1,000,000 after exp(x) - 1"),
        (lambda x: np.log1p(x / x.sum(1, keepdims=True) * 500), "500 after exp(x) - 1"),
        (lambda x: np.log2(1 + x / x.sum(1, keepdims=True) * 1e4), "10,000 after 2^x - 1"),
        (lambda x: np.log10(1 + x / x.sum(1, keepdims=True) * 1e4), "10,000 after 10^x - 1"),
        (lambda x: x * 1.5 + 5, "after exp(x) - 1"),
    ],
)
def test_logarithms_of_another_kind_are_named(logs, said):
    counts = np.random.default_rng(0).poisson(3.0, (50, 40))
    with pytest.raises(BenchError) as refusal:
        log_normalised(logs(counts), normalized=True)
    assert said in refusal.value.what
    assert "target_sum=1e4" in refusal.value.fix


def test_logarithms_of_some_of_the_genes_are_taken():
    counts = np.random.default_rng(0).poisson(3.0, (50, 40))
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    assert log_normalised(logs[:, :25], normalized=True).shape == (50, 25)


def test_genes_keep_the_names_of_the_file(study, tmp_path, capsys):
    adata = anndata.read_h5ad(study)
    adata.var["ensembl_id"] = [f"ENSG{i:011d}" for i in range(30)]
    adata.write_h5ad(tmp_path / "named.h5ad")
    run(capsys, tmp_path / "named.h5ad", "--out", tmp_path / "deg.csv")
    assert pd.read_csv(tmp_path / "deg.csv")["gene"].iloc[0] == "g0"


def test_cells_that_are_left_out_are_told(study, tmp_path, capsys):
    n = np.arange(132)
    kind = pd.Categorical(
        np.where(n < 5, None, np.where(n < 9, "Unassigned", "a")), categories=["a", "Unassigned", "z"]
    )
    arm = np.where(n == 20, None, np.where(n % 10 == 1, "other", np.resize(["case", "ctrl"], 132)))
    file = write(study, type=kind, arm=arm, exclude=n > 129, is_doublet=pd.array([True, None] * 66, dtype="boolean"))
    lines = run(capsys, file, "--by", "type", "--out", tmp_path / "deg.csv")
    lines = [line for line in lines if not line.startswith("WARNING")]  # of few counts
    assert lines[0].startswith("130 cells x 30 genes")
    assert lines[1:5] == [
        "2 cells marked in 'exclude' are left out",
        "1 cell without 'arm' is left out",
        "13 cells of other values of 'arm' are left out (other: 13)",
        "8 cells without 'type' are left out (missing: 4, Unassigned: 4)",
    ]
    compared = (arm[:130] == "case") & (n[:130] >= 9)
    assert lines[5] == f"{compared.sum()} cells marked as doublets are tested like others"
    assert not any(line.startswith("z:") for line in lines)
    assert set(pd.read_csv(tmp_path / "deg.csv")["cell_type"]) == {"a"}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (np.arange(132) / 10, "v, a number from 0 to 13.1"),
        (pd.array(np.arange(132) % 7, dtype="Int64"), "v, a number from 0 to 6"),
        (np.resize(["F", "M"], 132), "v, 2 levels (F, M)"),
        (pd.array(np.resize([True, False, False], 132), dtype="boolean"), "v, 2 levels (False, True)"),
        (
            np.resize(["61", "70", "85.5"], 132),
            "v, 3 levels (61, 70, 85.5), numbers written as text (to take them as numbers: adata.obs['v'] = "
            "adata.obs['v'].astype(str).astype(float))",
        ),
    ],
)
def test_how_a_covariate_is_taken_is_told(study, tmp_path, capsys, column, said):
    lines = run(capsys, write(study, v=column), "--covariates", "v", "--out", tmp_path / "deg.csv")
    assert f"covariates: {said}" in lines


def test_of_a_covariate_only_the_levels_that_are_lost_are_named(study, tmp_path, capsys):
    n = np.arange(132)
    lab = np.array(["p", "q", "r", "s"])[n // 2 % 4]
    file = write(study, lab=lab, chip=np.where(np.isin(lab, ["r", "s"]), "x", "y"), same="one")
    out = ["--out", tmp_path / "deg.csv"]
    (line,) = (x for x in run(capsys, file, "--covariates", "chip,lab,same", *out) if x.startswith("all:"))
    assert line.endswith(
        "(not estimable beside the others, left out: lab (1 of 4 levels: s); the same in all cells, left out: same)"
    )
    (line,) = (x for x in run(capsys, file, "--covariates", "lab,chip", *out) if x.startswith("all:"))
    assert line.endswith("(not estimable beside the others, left out: chip)")


@pytest.mark.parametrize(
    "column",
    [
        np.where(np.arange(132) < 3, np.nan, 1.0 + np.arange(132) % 5),
        np.where(np.arange(132) < 3, np.inf, 1.0 + np.arange(132) % 5),
        pd.array([None] * 3 + [1, 2, 3] * 43, dtype="Int64"),
        pd.array([None] * 3 + [True, False, True] * 43, dtype="boolean"),
        ["NA", "", "nan"] + ["a", "b", "c"] * 43,
        pd.Categorical([None, "NA", "N/A"] + ["a", "b", "c"] * 43),
    ],
)
def test_cells_with_gaps_are_dropped_as_the_message_advises(study, tmp_path, capsys, column):
    file = write(study, v=column)
    with pytest.raises(BenchError, match="v is missing in 3 cells") as refusal:
        run(capsys, file, "--covariates", "v", "--out", tmp_path / "deg.csv")
    code = refusal.value.fix.partition("drop those cells: ")[2]
    kept = eval(code, {"adata": anndata.read_h5ad(file), "numpy": np})
    assert kept.n_obs == 129
    kept.copy().write_h5ad(tmp_path / "kept.h5ad")
    run(capsys, tmp_path / "kept.h5ad", "--covariates", "v", "--out", tmp_path / "deg.csv")


def test_cells_of_unknown_donors_are_counted(study, tmp_path, capsys):
    donor = pd.Categorical([None] * 4 + ["a", "b"] * 64, categories=["a", "b", "unused"])
    lines = run(capsys, write(study, donor=donor), "--out", tmp_path / "deg.csv")
    assert any("; of 4 cells it is not known. Cells are not replicates" in line for line in lines)


@pytest.mark.parametrize(
    ("donors", "said"),
    [
        (lambda arm: arm, "1 case and 1 control donor. "),
        (lambda arm: np.resize(["a", "b", "c"], len(arm)), "3 case and 3 control donors, 3 of them in both arms. "),
    ],
)
def test_people_are_counted_where_they_are_known(study, tmp_path, capsys, donors, said):
    column = donors(anndata.read_h5ad(study).obs["arm"].to_numpy(str))
    for name, options in (("donor", []), ("patient", ["--donor-key", "patient"])):
        lines = run(capsys, write(study, **{name: column}), *options, "--out", tmp_path / "deg.csv")
        (line,) = (x for x in lines if x.startswith(f"{name}: "))
        assert said in line
        assert "Cells are not replicates" in line
        assert ("too few to tell the condition from the person" in line) == (said[0] == "1")
    lines = run(capsys, write(study, patient=column), "--out", tmp_path / "deg.csv")
    assert any("no donors are known (--donor-key patient?)" in line for line in lines)


def test_cells_with_hardly_any_counts_are_warned_of(study, tmp_path, capsys):
    lines = run(capsys, study, "--out", tmp_path / "deg.csv")
    assert any(line.startswith("WARNING 132 of 132 cells have fewer than 100 counts of 30 genes") for line in lines)


def test_columns_of_a_registered_file_that_nobody_named_are_reached(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    add(study, "mine", columns={"condition": "arm", "cell_type": "type"})
    run(capsys, "mine", "--by", "cell_type", "--covariates", "age", "--out", tmp_path / "deg.csv")
    assert set(pd.read_csv(tmp_path / "deg.csv")["cell_type"]) == {"a", "b"}


def test_cells_without_columns_are_told_how_to_get_some(tmp_path, capsys):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        counts = csr_matrix(np.ones((4, 3), dtype=int))
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = counts.data, counts.indices, counts.indptr
        group["shape"], group["barcodes"] = [3, 4], [b"a", b"b", b"c", b"d"]
        group["features/id"] = group["features/name"] = [b"x", b"y", b"z"]
    with pytest.raises(BenchError, match="no columns") as refusal:
        run(capsys, tmp_path / "m.h5")
    assert "adata.obs.join" in refusal.value.fix


def test_what_is_wrong_with_counts_is_told_before_the_lack_of_columns(study, tmp_path, capsys):
    adata = anndata.read_h5ad(study)
    anndata.AnnData(-adata.X, adata.obs[[]], adata.var).write_h5ad(tmp_path / "m.h5ad")
    with pytest.raises(BenchError, match="negative"):
        run(capsys, tmp_path / "m.h5ad")


def _damage(adata, what):
    if what == "cells":
        adata.obs_names = ["c0"] * 2 + list(adata.obs_names[2:])
    elif what == "genes":
        adata.var_names = ["g0"] * 2 + list(adata.var_names[2:])
    elif what == "large":
        adata.X = adata.X.astype(np.float64)
        adata.X.data[0] = 5e9
    elif what == "X absent":
        adata = anndata.AnnData(None, adata.obs, adata.var)
    return adata


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("cells", "cell names occur more than once"),
        ("genes", "gene names occur more than once"),
        ("large", "5e+09"),
        ("X absent", "there is no X"),
        ("indices", "damaged"),
        ("cut", "cannot be read"),
    ],
)
def test_files_that_cannot_be_right_end_in_a_sentence(study, tmp_path, capsys, what, said):
    file = tmp_path / "bad.h5ad"
    _damage(anndata.read_h5ad(study), what).write_h5ad(file)
    if what == "indices":
        with h5py.File(file, "r+") as opened:
            opened["X/indices"][5] = 10**6
    elif what == "cut":
        file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(BenchError) as refusal:
        run(capsys, file, "--out", tmp_path / "deg.csv")
    assert said in str(refusal.value)
    assert refusal.value.where
    assert refusal.value.fix
    assert not (tmp_path / "deg.csv").exists()


def test_features_that_are_no_genes_are_not_tested_and_told(study, tmp_path, capsys):
    adata = anndata.read_h5ad(study)
    adata.var["feature_types"] = ["Antibody Capture"] * 2 + ["Gene Expression"] * 28
    adata.write_h5ad(tmp_path / "cite.h5ad")
    lines = run(capsys, tmp_path / "cite.h5ad", "--min-pct", "0", "--out", tmp_path / "deg.csv")
    assert lines[:2] == [
        "132 cells x 28 genes, counts taken to ln(1 + CP10K)",
        "2 features that are no gene expression are left out (Antibody Capture)",
    ]
    assert "g0" not in set(pd.read_csv(tmp_path / "deg.csv")["gene"])


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


@pytest.fixture
def donors(tmp_path):
    """Five donors in both arms; g0 is up in the case cells of each, and donors differ in every gene."""
    rng = np.random.default_rng(0)
    donor, case = np.repeat(np.arange(5), 40), np.tile([True, False], 100)
    rate = rng.gamma(4.0, 1.0, (5, 30))[donor]
    rate[case, 0] *= 3
    obs = pd.DataFrame({"arm": np.where(case, "case", "ctrl"), "who": [f"d{i}" for i in donor]})
    obs.index = [f"c{i}" for i in range(200)]
    file = tmp_path / "donors.h5ad"
    anndata.AnnData(
        csr_matrix(rng.poisson(rate)), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(30)])
    ).write_h5ad(file)
    return file, ["--group", "arm", "--case", "case", "--control", "ctrl", "--out", str(tmp_path / "deg.csv")]


@pytest.mark.parametrize("test", ["limma-voom", "edgepython", "pydeseq2"])
def test_donors_are_tested_within_pairs(donors, test, tmp_path):
    file, arms = donors
    done = bench(str(file), *arms, "--test", test, "--donor-key", "who")
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert "counts summed by donor" in out
    assert "(5 donors, within each)" in " ".join(out.split())
    assert "Cells are not replicates" not in out
    table = pd.read_csv(tmp_path / "deg.csv")
    assert list(table) == ["cell_type", "gene", "p_val", "avg_log2FC", "pct_1", "pct_2", "p_val_adj"]
    assert table["gene"].iloc[0] == "g0"
    assert 1.0 < table["avg_log2FC"].iloc[0] < 2.2
    assert table["p_val_adj"].iloc[0] < 0.05


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--donor-key", "who", "--covariates", "who"], "--covariates is not for the test limma-voom"),
        (["--donor-key", "who", "--engine", "r"], "--engine r is not for the test limma-voom"),
        ([], "no donors are known"),
    ],
)
def test_what_a_test_of_donors_does_not_take_is_told(donors, more, said):
    file, arms = donors
    done = bench(str(file), *arms, "--test", "limma-voom", *more)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
