"""Two studies joined for training on one and testing on the other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from bench.data.commands import pair_to
from bench.data.pair import pair, read_label_map
from bench.dataset import Dataset, DatasetCard
from bench.errors import BenchError, DataError
from bench.plan.registry import Registry
from bench.problem import Note


def study(name, genes, labels, symbols=None, **columns):
    n = len(labels)
    X = np.arange(1, n * len(genes) + 1).reshape(n, len(genes))
    obs = pd.DataFrame({"cell_type": labels, **columns}, index=[f"c{i}" for i in range(n)])
    var = pd.DataFrame({"symbol": symbols or genes}, index=genes)
    card = DatasetCard(name, "", "0" * 64, frozenset(obs), "none", n, len(genes))
    return Dataset(card, AnnData(sparse.csr_matrix(X.astype(np.int32)), obs=obs, var=var))


A = study("a", ["x", "y", "z"], ["neuron", "glia", "glia"], donor=["d1", "d1", "d2"])
B = study("b", ["w", "z", "x"], ["Neuron", "Glia", "Mixed", "OPC"], donor=["d1"] * 4)
COMMON = {"neuron": "Neuron", "glia": "Glia"}
NAMES = COMMON | {"Mixed": ""}


def test_cells_of_both_over_common_genes():
    made = pair(A, B, NAMES)
    joint = made.adata
    assert list(joint.var_names) == ["x", "z"]
    np.testing.assert_array_equal(joint.X.toarray()[:3], A.adata.X.toarray()[:, [0, 2]])
    np.testing.assert_array_equal(joint.X.toarray()[3:], B.adata.X.toarray()[:, [2, 1]])
    assert list(joint.obs["split"]) == ["train"] * 3 + ["test"] * 4
    assert list(joint.obs["donor"]) == ["a:d1", "a:d1", "a:d2"] + ["b:d1"] * 4
    assert list(joint.obs["cell_type"]) == ["Neuron", "Glia", "Glia", "Neuron", "Glia", "Unidentified", "OPC"]
    assert joint.obs_names.is_unique
    assert any("2 common genes by name: 1 of the training" in note for note in map(str, made.notes))
    assert any("train study does not have: OPC" in note for note in map(str, made.notes))


def test_symbols_match_where_names_do_not():
    ids = study("ids", ["E1", "E2", "E3", "E4"], ["Neuron", "Glia"], symbols=["z", "x", "y", "y"])
    joint = pair(A, ids, COMMON).adata
    assert list(joint.var_names) == ["x", "z"]  # y stands for two genes there
    np.testing.assert_array_equal(joint.X.toarray()[3:], ids.adata.X.toarray()[:, [1, 0]])


def test_doublets_and_excluded_cells_stay_out():
    marked = study("m", ["x", "z"], ["Neuron", "Glia", "Glia"], is_doublet=[True, False, False], exclude=[False] * 3)
    made = pair(A, marked, COMMON)
    assert made.adata.n_obs == 5
    assert any(note.startswith("m: 1 doublets") for note in map(str, made.notes))
    assert set(made.adata.obs["donor"][3:]) == {"m:library"}


@pytest.mark.parametrize(
    ("other", "names", "told"),
    [
        (study("u", ["q"], ["Glia"]), COMMON, "no gene in common"),
        (B, {"neuro": "Neuron"}, "neither study has the labels neuro"),
        (B, {}, "no label in common"),
    ],
)
def test_studies_that_do_not_go_together_are_refused(other, names, told):
    with pytest.raises(DataError, match=told):
        pair(A, other, names)


def test_weak_labels_of_a_study_stay_with_the_file(tmp_path):
    weak = Dataset(replace(B.card, weak_labels="derived labels (weak): derived_cell_type"), B.adata)
    made = pair(A, weak, NAMES)
    assert Note("b: derived labels (weak): derived_cell_type", "warning") in made.notes
    made.adata.write_h5ad(tmp_path / "joint.h5ad")
    assert (
        Registry().load(str(tmp_path / "joint.h5ad")).card.weak_labels == "b: derived labels (weak): derived_cell_type"
    )


def test_the_file_is_a_dataset_whose_split_the_library_reads(tmp_path):
    table = tmp_path / "names.csv"
    table.write_text("from,to\n" + "".join(f"{k},{v}\n" for k, v in NAMES.items()))
    out = tmp_path / "joint.h5ad"
    assert pair_to(out, A, B, table)
    dataset = Registry().load(str(out))
    assert "split" in dataset.card.fields
    assert dataset.card.weak_labels == ""
    assert list(dataset.adata.obs["split"]) == ["train"] * 3 + ["test"] * 4
    with pytest.raises(BenchError, match="exists already"):
        pair_to(out, A, B, table)


@pytest.mark.parametrize(("text", "told"), [("a,b\n", "columns from,to"), ("from,to\nx,1\nx,2\n", "mapped twice")])
def test_bad_mappings_are_refused(tmp_path, text, told):
    table = tmp_path / "names.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=told):
        read_label_map(table)
