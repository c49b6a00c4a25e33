import json

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from bench.dataset import Dataset, DatasetCard, LoadedCounts
from bench.errors import BenchError
from bench.methods.nn.embed.commands import embed
from bench.methods.nn.embed.embedded_file import write_copy
from bench.methods.nn.embed.embedding import along, embed_cells, gene_embedding
from bench.methods.nn.embed.embedding_maps import map_of_cells, map_of_genes, markers, write_maps
from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.genes import Genes, match
from bench.methods.nn.models.architectures import ARCHITECTURES
from bench.methods.nn.training.checkpoint import Pretrained, save_pretrained
from bench.methods.nn.training.pretraining import new_model

N_GENES = 24
SIZES = {
    "scmamba": {"d_model": 8, "n_layers": 1, "d_state": 4, "vocabulary": "tight"},
    "schyena": {"d_model": 8, "n_layers": 1, "vocabulary": "tight"},
    "scbert": {"dim": 8, "depth": 1, "heads": 2, "dim_head": 4},
}


def _data(n_cells=7, names=None, **obs):
    names = names or [f"ENSG{i:011d}" for i in range(N_GENES)]
    X = np.random.default_rng(0).poisson(1.0, (n_cells, len(names))).astype(np.int32)
    X[:, 0] += 1
    cells = pd.DataFrame({k: pd.Categorical(v) for k, v in obs.items()})
    cells.index = [f"cell{i}" for i in range(n_cells)]
    var = pd.DataFrame({"symbol": [f"S{name[-2:]}" for name in names]}, index=names)
    return anndata.AnnData(csr_matrix(X), obs=cells, var=var)


def _store(adata, name="study.h5ad"):
    card = DatasetCard(name, "", "0" * 64, frozenset(adata.obs), "none", *adata.shape)
    return LoadedCounts(Dataset(card, adata))


def _pretrained(name="scmamba", facts=None):
    architecture = ARCHITECTURES[name]
    genes = Genes(tuple(f"ENSG{i:011d}" for i in range(N_GENES)), ("",) * N_GENES)
    config = architecture.config_class(n_genes=N_GENES, **SIZES[name])
    return Pretrained(architecture, config, genes, new_model(architecture, config, seed=0), facts or {})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_cell_is_the_mean_of_its_final_states_with_nothing_masked(name):
    pretrained, adata = _pretrained(name), _data()
    pretrained.model.train()
    found = embed_cells(pretrained, _store(adata), batch_size=3)
    with torch.no_grad():
        states = pretrained.model.eval().encode(torch.from_numpy(log1p_cp10k(adata.X)))
    assert states.shape[1] == N_GENES
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, states.mean(dim=1), rtol=1e-4, atol=1e-5)
    assert gene_embedding(pretrained).shape == (N_GENES, 8)


def test_genes_are_put_in_the_models_order_and_others_ignored():
    pretrained, adata = _pretrained(), _data()
    plain = embed_cells(pretrained, _store(adata))
    strangers = anndata.AnnData(
        csr_matrix(np.full((7, 2), 9, dtype=np.int32)),
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame({"symbol": ["X", "Y"]}, index=["OTHER1", "OTHER2"]),
    )
    mixed = anndata.concat([strangers, adata[:, ::-1].copy()], axis=1, merge="same")
    mixed.X = csr_matrix(mixed.X)
    np.testing.assert_allclose(embed_cells(pretrained, _store(mixed)), plain, rtol=1e-5, atol=1e-6)
    vectors = gene_embedding(pretrained)
    aligned = along(vectors, match(pretrained.genes, mixed.var))
    assert np.isnan(aligned[:2]).all()
    np.testing.assert_array_equal(aligned[2:], vectors[::-1])


def test_cells_without_counts_are_nan_and_change_no_other():
    pretrained, adata = _pretrained(), _data()
    X = adata.X.toarray()
    X[[1, 6]] = 0
    adata.X = csr_matrix(X)
    done = []
    found = embed_cells(pretrained, _store(adata), batch_size=2, on_cells=done.append)
    assert list(np.flatnonzero(np.isnan(found).all(axis=1))) == [1, 6]
    np.testing.assert_allclose(found[[0, 2]], embed_cells(pretrained, _store(adata[[0, 2]].copy())), atol=1e-6)
    assert done == sorted(done)
    assert done[-1] == 7


def test_a_model_that_answers_with_nan_is_refused():
    pretrained = _pretrained()
    with torch.no_grad():
        pretrained.model.embedding.adapter.weight.fill_(torch.nan)
    with pytest.raises(BenchError, match="diverged"):
        embed_cells(pretrained, _store(_data()))


@pytest.fixture
def checkpoint(tmp_path):
    save_pretrained(tmp_path / "ckpt", _pretrained(facts={"trained_on": []}))
    return tmp_path / "ckpt"


def test_the_copy_holds_the_input_and_the_vectors(tmp_path, checkpoint):
    adata = _data(6, names=[f"ENSG{i:011d}" for i in range(4, N_GENES + 3)], donor=list("aabbcc"))
    adata.obsm["X_scmamba"] = np.zeros((6, 2))  # of an earlier model: replaced in the copy
    adata.uns["note"] = "kept"
    source = tmp_path / "in.h5ad"
    adata.write_h5ad(source)
    before = source.read_bytes()
    seen = []
    out = tmp_path / "new" / "out.h5ad"
    done = embed(checkpoint, _store(adata), source, out, on_match=lambda p, genes: seen.append(genes.matched))
    assert source.read_bytes() == before
    assert seen == [N_GENES - 4]
    assert (done.key, done.shape, done.empty, done.maps) == ("X_scmamba", (6, 8), 0, None)
    assert done.unknown == tuple(f"ENSG{i:011d}" for i in range(N_GENES, N_GENES + 3))
    copy = anndata.read_h5ad(out)
    assert (copy.X != adata.X).nnz == 0
    assert copy.uns["note"] == "kept"
    assert copy.obsm["X_scmamba"].dtype == np.float32
    np.testing.assert_array_equal(copy.obsm["X_scmamba"], embed_cells(_pretrained(), _store(adata)))
    assert list(np.isnan(copy.varm["scmamba_genes"]).all(axis=1)) == [False] * 20 + [True] * 3
    facts = copy.uns["scmamba_embedding"]
    assert (facts["checkpoint"], facts["genes_matched"], facts["genes"]) == ("ckpt", N_GENES - 4, N_GENES)
    assert not facts["seen_in_pretraining"]
    with pytest.raises(BenchError, match="exists already"):
        embed(checkpoint, _store(adata), source, out)


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    _data(3).write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "cut.h5ad").write_bytes((tmp_path / "in.h5ad").read_bytes()[:900])
    with pytest.raises(BenchError, match="cannot be written"):
        write_copy(tmp_path / "cut.h5ad", tmp_path / "out.h5ad", {"obsm": {"X": np.zeros((3, 1))}})
    assert {file.name for file in tmp_path.iterdir()} == {"in.h5ad", "cut.h5ad"}


def test_files_without_the_groups_get_them(tmp_path):
    _data(3).write_h5ad(tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        del file["obsm"], file["varm"], file["uns"]
    write_copy(tmp_path / "in.h5ad", tmp_path / "out.h5ad", {"obsm": {"X_m": np.ones((3, 2))}})
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_m"].shape == (3, 2)


@pytest.mark.slow  # umap compiles itself when it is first used
@pytest.mark.parametrize("n_cells", [0, 1, 2, 3, 4, 9])
def test_any_number_of_cells_has_a_map(n_cells):
    adata = _data(9, donor=list("aabbccddd"), exclude=[i >= n_cells for i in range(9)])
    adata.obs["exclude"] = adata.obs["exclude"].astype(bool)
    embedding = np.random.default_rng(1).normal(size=(9, 5)).astype(np.float32)
    frame = map_of_cells(embedding, _store(adata))
    assert list(frame.columns) == ["cell", "x", "y", "donor"]
    assert list(frame["cell"]) == [f"cell{i}" for i in range(n_cells)]
    assert np.isfinite(frame[["x", "y"]].to_numpy()).all()


@pytest.mark.slow
def test_maps_keep_like_cells_together_the_same_each_time():
    rng = np.random.default_rng(0)
    types = np.repeat(["neuron", "glia"], 30)
    centre = np.where(types == "neuron", 1.0, -1.0)[:, None] * rng.normal(size=8)
    embedding = (centre + 0.1 * rng.normal(size=(60, 8))).astype(np.float32)
    embedding[5] = np.nan
    store = _store(_data(60, cell_type=[None, *types[1:]]))
    frame = map_of_cells(embedding, store)
    assert len(frame) == 59
    assert "cell5" not in set(frame["cell"])
    assert frame["cell_type"].isna().sum() == 1
    middle = frame.groupby("cell_type")[["x", "y"]].mean()
    spread = frame.groupby("cell_type")[["x", "y"]].std().to_numpy().max()
    assert np.linalg.norm(middle.loc["neuron"] - middle.loc["glia"]) > 2 * spread
    pd.testing.assert_frame_equal(frame, map_of_cells(embedding, store))


@pytest.mark.slow
def test_markers_are_known_by_symbol_of_any_case_and_by_id():
    table = markers()
    assert list(table.groupby("marker_of").size()) == [10, 10, 10, 10]
    genes = Genes(("ENSG00000171885", "b", "c", "gfap"), ("", "", "Mbp", ""))
    var = pd.DataFrame({"symbol": ["Syt1", "AQP4"]}, index=["b", "ENSG00000171885"])
    frame = map_of_genes(np.eye(4, dtype=np.float32), genes, var, match(genes, var))
    assert list(frame["symbol"]) == ["AQP4", "Syt1", "Mbp", ""]
    assert list(frame["marker_of"]) == ["astrocyte", "neuron", "oligodendrocyte", "astrocyte"]


def test_maps_in_a_run_are_replaced_whole_and_tell_no_path(tmp_path):
    frame = pd.DataFrame({"x": [1.0]})
    write_maps(tmp_path, "a/b ../c", frame, frame, {"n": 1})
    folder = write_maps(tmp_path, "a/b ../c", frame, frame, {"n": 2})
    assert folder == tmp_path / "embeddings" / "a-b-..-c"
    assert [f.name for f in folder.parent.iterdir()] == ["a-b-..-c"]
    assert json.loads((folder / "card.json").read_text()) == {"n": 2}


@pytest.mark.slow
def test_embedding_with_a_run_adds_maps(tmp_path, checkpoint):
    adata = _data(6, donor=list("aabbcc"), cell_type=list("xyxyxy"))
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = embed(checkpoint, _store(adata), tmp_path / "in.h5ad", tmp_path / "out.h5ad", run=tmp_path / "run")
    assert done.maps == tmp_path / "run" / "embeddings" / "scmamba-ckpt-study"
    text = (done.maps / "card.json").read_text()
    assert str(tmp_path) not in text
    card = json.loads(text)
    assert (card["model"], card["dataset"], card["cells_shown"], card["seed"]) == ("scmamba", "study.h5ad", 6, 0)
    cells, genes = (pd.read_parquet(done.maps / f"{kind}.parquet") for kind in ("cells", "genes"))
    assert list(cells.columns) == ["cell", "x", "y", "donor", "cell_type"]
    assert list(genes.columns) == ["gene", "symbol", "x", "y", "marker_of"]
    assert len(genes) == N_GENES
