"""The bridge to R, with what R itself and Seurat offer; scds is run only where it is installed."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bench.errors import BenchError, UnavailableError
from bench.method import Context

pytestmark = pytest.mark.r


@pytest.fixture(scope="module", autouse=True)
def _r_and_rpy2():
    if shutil.which("R") and importlib.util.find_spec("rpy2"):
        return
    pytest.skip("needs R and rpy2")


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.4, size=(7, 11)).astype(np.float32)
    dense[3] = dense[:, 4] = 0
    return csr_matrix(dense)


def call(code, counts, **arguments):
    from bench.methods._shared.r_bridge import call_r

    return call_r(code, counts, Context(seed=3, threads=1), arguments)


def test_counts_arrive_as_genes_by_cells(counts):
    code = """function(counts, seed, threads, ...) list(
      class = class(counts), valid = validObject(counts),
      dim = dim(counts), dense = as.numeric(as.matrix(counts)), genes = rownames(counts), cells = colnames(counts),
      empty_gene = sum(counts[5, ]), seed = seed, threads = threads)"""
    got = call(code, counts)
    assert got["class"][0] == "dgCMatrix"
    assert got["valid"][0]
    assert got["dim"].tolist() == [11, 7]
    np.testing.assert_array_equal(got["dense"].reshape(7, 11), counts.toarray())  # R stores columns, here cells
    assert got["genes"].tolist() == [f"g{i + 1}" for i in range(11)]
    assert got["cells"].tolist() == [f"c{i + 1}" for i in range(7)]
    assert (got["empty_gene"][0], got["seed"][0], got["threads"][0]) == (0, 3, 1)


def test_values_are_no_part_of_the_call_that_r_functions_write_out(counts):
    code = "function(counts, classes, ...) list(n = nchar(as.character(sys.calls())))"
    assert max(call(code, counts, classes=np.arange(999))["n"]) < 500


def test_unsorted_and_doubled_entries_are_put_in_order(counts):
    split = csr_matrix(
        (np.repeat(counts.data, 2) / 2, np.repeat(counts.indices, 2)[::1], counts.indptr * 2), shape=counts.shape
    )
    for start, stop in zip(split.indptr[:-1], split.indptr[1:], strict=True):
        split.indices[start:stop] = split.indices[start:stop][::-1]
        split.data[start:stop] = split.data[start:stop][::-1]
    before = split.indices.copy()
    got = call("function(counts, ...) list(dense = as.numeric(as.matrix(counts)))", split)
    np.testing.assert_array_equal(got["dense"].reshape(7, 11), counts.toarray())
    np.testing.assert_array_equal(split.indices, before)


def test_arguments_and_none(counts):
    got = call("function(counts, a, b, c, ...) list(a = a, b = b, c = is.null(c))", counts, a=1.5, b="x", c=None)
    assert (got["a"][0], got["b"][0], bool(got["c"][0])) == (1.5, "x", True)


def test_output_of_r_goes_to_the_log(counts, caplog):
    with caplog.at_level(logging.INFO, logger="bench.method"):
        call('function(counts, ...) { cat("one "); cat("line\\n"); warning("careful"); list(x = 1) }', counts)
    assert "R: one line" in [r.getMessage() for r in caplog.records]
    assert any("careful" in r.getMessage() and r.levelname == "WARNING" for r in caplog.records)


def test_an_error_of_r_is_ours(counts):
    with pytest.raises(BenchError, match="nothing to see"):
        call('function(counts, ...) stop("nothing to see")', counts)


def test_want_of_memory_in_r_is_told_apart(counts):
    for code in ("function(...) numeric(1e15)", "function(counts, ...) matrix(0, 2e7, 2e7)"):
        with pytest.raises(MemoryError, match="cannot allocate"):
            call(code, counts)


def test_endless_recursion_in_r_is_an_error_of_r(counts):
    """With R's own limit of 5000 calls; beyond it, R may crash (``test_sandbox.py``)."""
    with pytest.raises(BenchError, match=r"infinite recursion|stack"):
        call("function(counts, ...) { f <- function(n) f(n + 1); f(1) }", counts)
    assert call("function(counts, ...) list(x = 1)", counts)["x"][0] == 1


def test_a_wrong_r_home_does_not_end_the_process(counts, monkeypatch, tmp_path):
    monkeypatch.setenv("R_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match="no R at"):
        call("function(counts, ...) list(x = 1)", counts)


@pytest.mark.parametrize("module", ["scds_r", "doubletfinder_r"])
def test_the_r_code_of_a_wrapper_parses_and_takes_what_it_is_given(module, counts, monkeypatch, as_inputs, input_a):
    from rpy2 import robjects

    card = importlib.import_module(f"bench.methods.{module}")
    parameters = set(robjects.r(f"names(formals({card.CODE}))"))
    seen = {}

    def record(code, X, ctx, arguments):
        seen.update(arguments)
        n = X.shape[0]
        return {"score": np.zeros(n), "call": np.zeros(n), "pk": np.array([0.1])}

    monkeypatch.setattr("bench.methods._shared.r_bridge.call_r", record)
    (cls,) = (c for c in vars(card).values() if isinstance(c, type) and c.__module__ == card.__name__)
    result = cls().run(as_inputs(input_a[0]), Context(seed=0))
    assert parameters == {"counts", "seed", "threads", *seen}
    assert result["call"].dtype == bool


@pytest.mark.slow
def test_seurat_part_of_doubletfinder_runs(input_a, as_inputs):
    """All of the wrapper's R code but the package's own functions, which stand-ins replace."""
    if not _has("Seurat"):
        pytest.skip("needs Seurat")
    from bench.methods.doubletfinder_r import CODE

    stand_ins = """
      library <- function(package, ...) {
        name <- as.character(substitute(package))
        if (name != "DoubletFinder") base::library(name, character.only = TRUE) }
      modelHomotypic <- function(labels) sum((table(labels) / length(labels))^2)
      paramSweep <- function(so, PCs, sct) stopifnot(ncol(Embeddings(so)) >= length(PCs), !sct)
      summarizeSweep <- function(sweep, GT) stopifnot(!GT)
      find.pK <- function(stats) { plot(1); data.frame(pK = factor(c(0.01, 0.05)), BCmetric = c(1, 2)) }
      doubletFinder <- function(so, PCs, pN, pK, nExp, sct) {
        stopifnot(inherits(so[["RNA"]], "Assay"), length(so@commands$ScaleData.RNA@params$features) > 0)
        so[[paste("pANN", pN, pK, nExp, sep = "_")]] <- seq_len(ncol(so)) / ncol(so)
        call <- ifelse(seq_len(ncol(so)) <= nExp, "Doublet", "Singlet")
        so[[paste("DF.classifications", pN, pK, nExp, sep = "_")]] <- call
        so }
    """
    code = CODE.replace("{", "{" + stand_ins, 1)
    arguments = {"n_expected": 20, "pn": 0.25, "pk": None, "n_pcs": 10, "n_features": 300, "homotypic": True}
    got = call(code, input_a[0][:200, :600], **arguments)
    assert got["pk"][0] == 0.05
    np.testing.assert_allclose(got["score"], np.arange(1, 201) / 200)
    assert 5 < got["call"].sum() < 20  # five clusters: lowered by the homotypic share
    none = call(code, input_a[0][:200, :600], **arguments | {"n_expected": 0, "homotypic": False, "pk": 0.1})
    assert none["call"].sum() == 0


def test_without_r_the_reason_is_given(tmp_path):
    """In a process of its own, since R cannot be unloaded from this one."""
    code = """
import scipy.sparse as sp
from bench.errors import UnavailableError
from bench.method import Context
from bench.methods._shared.r_bridge import call_r
try:
    call_r("function(...) list()", sp.csr_matrix((1, 1)), Context(seed=0), {})
except UnavailableError as error:
    print("reason:", error)
"""
    environment = {**os.environ, "PATH": str(tmp_path)}
    environment.pop("R_HOME", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "reason: rpy2 cannot load R" in done.stdout


def _has(package: str) -> bool:
    from rpy2 import robjects

    return bool(robjects.r(f'nzchar(system.file(package = "{package}"))')[0])
