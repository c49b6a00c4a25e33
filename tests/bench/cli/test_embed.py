"""``bench embed`` from the command line."""

import anndata
import numpy as np
import pandas as pd
import pytest
from command_line import bench
from scipy.sparse import csr_matrix

pytest.importorskip("torch")

from bench.methods.nn.genes import Genes
from bench.methods.nn.models.architectures import ARCHITECTURES
from bench.methods.nn.training.checkpoint import Pretrained, save_pretrained
from bench.methods.nn.training.pretraining import new_model

GENES = tuple(f"ENSG{i:011d}" for i in range(20))


@pytest.fixture
def checkpoint(tmp_path):
    architecture = ARCHITECTURES["scmamba"]
    config = architecture.config_class(n_genes=20, d_model=8, n_layers=1, d_state=4, vocabulary="tight")
    model = new_model(architecture, config, seed=0)
    save_pretrained(tmp_path / "ckpt", Pretrained(architecture, config, Genes(GENES, ("",) * 20), model))
    return tmp_path / "ckpt"


@pytest.fixture
def data(tmp_path):
    X = np.random.default_rng(0).poisson(2.0, (9, 21)).astype(np.int32)
    X[4, :20] = 0
    X[4, 20] = 5  # of a gene that the model does not know
    obs = pd.DataFrame({"donor": list("aaabbbccc")}, index=[f"c{i}" for i in range(9)])
    var = pd.DataFrame({"symbol": ""}, index=[*GENES, "ENSG99999999999"])
    anndata.AnnData(csr_matrix(X), obs=obs, var=var).write_h5ad(tmp_path / "data.h5ad")
    return tmp_path / "data.h5ad"


@pytest.mark.slow
def test_embed_writes_beside_the_data_and_the_report_shows_it(tmp_path, checkpoint, data):
    done = bench("embed", checkpoint, data, "--run", tmp_path / "run", "--threads", "1", "--batch-size", "4")
    assert done.returncode == 0, done.stderr
    assert "scmamba: 20 of the model's 20 genes are in the data" in done.stdout
    assert "cells without counts in the model's genes, whose rows are NaN: 1" in done.stdout
    assert "unknown to the model, whose rows in varm are NaN: 1 (e.g. ENSG99999999999)" in done.stdout
    copy = anndata.read_h5ad(tmp_path / "data.embedded.h5ad")
    assert list(np.isnan(copy.obsm["X_scmamba"]).any(axis=1)) == [i == 4 for i in range(9)]
    again = bench("embed", checkpoint, data)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    done = bench("report", tmp_path / "run", "--figures", "png")
    assert done.returncode == 0, done.stderr
    assert 'id="embeddings"' in (tmp_path / "run" / "report.html").read_text()
    assert (tmp_path / "run" / "figures" / "embedding_scmamba-ckpt-data_cells.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{ckpt}", "cohort"], "--out"),
        (["{ckpt}", "{data}", "--device", "tpu"], "unknown device"),
        (["{data}", "{data}"], "no checkpoint here"),
        (["{ckpt}", "{data}", "--out", "x.csv"], ".h5ad"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(checkpoint, data, args, message):
    done = bench("embed", *(arg.format(ckpt=checkpoint, data=data) for arg in args))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_features_that_are_no_genes_leave_a_file_that_can_be_read(tmp_path, checkpoint, data):
    adata = anndata.read_h5ad(data)
    adata.var["feature_types"] = ["Antibody Capture"] * 2 + ["Gene Expression"] * 19
    adata.write_h5ad(data)
    done = bench("embed", checkpoint, data, "--run", tmp_path / "run", "--threads", "1")
    assert done.returncode == 0, done.stderr
    copy = anndata.read_h5ad(tmp_path / "data.embedded.h5ad")
    assert copy.varm["scmamba_genes"].shape == (19, 8)


@pytest.mark.slow
def test_a_refusal_leaves_no_run_folder(tmp_path, data):
    done = bench("embed", data, data, "--run", tmp_path / "run")
    assert done.returncode == 2
    assert not (tmp_path / "run").exists()
