"""Every format a user may bring, written small."""

import gzip
import hashlib

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from bench.data._peek import peek
from bench.data.ingest import read
from bench.data.library import from_path
from bench.errors import DataError


def _write(adata, path):
    adata.write_h5ad(path)
    return path


def _tenx_h5(path, X, version, kinds=None):
    """``X``: cells x genes."""
    stored = sparse.csc_matrix(X.T)
    genes = [f"ENSG{i:011d}".encode() for i in range(X.shape[1])]
    symbols = [f"S{i}".encode() for i in range(X.shape[1])]
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        group["data"], group["indices"], group["indptr"] = stored.data, stored.indices, stored.indptr
        group["shape"] = np.array(stored.shape)
        group["barcodes"] = [f"AAA{i}-1".encode() for i in range(X.shape[0])]
        if version == 3:
            features = group.create_group("features")
            features["id"], features["name"] = genes, symbols
            features["feature_type"] = kinds or [b"Gene Expression"] * X.shape[1]
        else:
            group["genes"], group["gene_names"] = genes, symbols
    return path


def _tenx_folder(folder, X, zipped, features="features.tsv", prefix=""):
    folder.mkdir()
    ending = ".gz" if zipped else ""

    def put(name, text):
        with (gzip.open if zipped else open)(folder / f"{prefix}{name}{ending}", "wt") as file:
            file.write(text)

    with (gzip.open if zipped else open)(folder / f"{prefix}matrix.mtx{ending}", "wb") as file:
        mmwrite(file, sparse.coo_matrix(X.T), field="integer")
    put("barcodes.tsv", "".join(f"AAA{i}-1\n" for i in range(X.shape[0])))
    kind = "\tGene Expression" if features == "features.tsv" else ""
    put(features, "".join(f"ENSG{i:011d}\tS{i}{kind}\n" for i in range(X.shape[1])))
    return folder


@pytest.fixture
def matrix():
    return np.random.default_rng(0).poisson(1.5, (9, 5)) + np.eye(9, 5, dtype=int) + np.eye(9, 5, k=-5, dtype=int)


def _refused(*args, **kwargs):
    with pytest.raises(DataError) as error:
        read(*args, **kwargs)
    assert error.value.where
    assert error.value.fix
    return error.value


def test_h5ad(counts, tmp_path):
    path = _write(counts, tmp_path / "a.h5ad")
    before = hashlib.sha256(path.read_bytes()).digest()
    adata = read(path, {"donor": "individual"})
    assert isinstance(adata.X, sparse.csr_matrix)
    assert adata.X.dtype == np.int32
    np.testing.assert_array_equal(adata.X.toarray(), counts.X.toarray())
    assert list(adata.obs) == ["donor", "cell_type", "is_doublet"]
    assert adata.obs["is_doublet"].dtype == bool
    assert adata.obs["donor"].dtype == "category"
    assert list(adata.var_names) == list(counts.var["ensembl_id"])
    assert list(adata.var["symbol"]) == list(counts.var_names)
    assert list(adata.obs_names) == list(counts.obs_names)
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize("form", ["dense", "csc", "int64"])
def test_h5ad_matrices_are_converted(counts, tmp_path, form):
    original = counts.X.toarray()
    counts.X = {"dense": original, "csc": sparse.csc_matrix(original), "int64": counts.X.astype(np.int64)}[form]
    adata = read(_write(counts, tmp_path / "a.h5ad"))
    assert isinstance(adata.X, sparse.csr_matrix)
    np.testing.assert_array_equal(adata.X.toarray(), original)


def test_unknown_key_lists_the_columns(counts, tmp_path):
    error = _refused(_write(counts, tmp_path / "a.h5ad"), {"donor": "patient"})
    assert "'patient'" in error.what
    assert "individual" in error.fix
    assert "--donor-key" in error.fix


def test_unknown_field(counts, tmp_path):
    assert "'sex'" in _refused(_write(counts, tmp_path / "a.h5ad"), {"sex": "individual"}).what


def test_numbers_as_labels_become_text(counts, tmp_path):
    counts.obs["donor"] = np.repeat([1.0, 2.0], 6)
    assert set(read(_write(counts, tmp_path / "a.h5ad")).obs["donor"]) == {"1", "2"}


def test_missing_label_is_refused(counts, tmp_path):
    counts.obs["cell_type"] = pd.Categorical([None] + ["a"] * 11)
    assert "1 of 12 cells" in _refused(_write(counts, tmp_path / "a.h5ad")).what


@pytest.mark.parametrize("place", ["counts", "raw"])
def test_counts_elsewhere_are_named_and_taken_only_when_asked(counts, tmp_path, place):
    original = counts.X.toarray()
    if place == "raw":
        counts.raw = counts
    else:
        counts.layers["counts"] = counts.X.copy()
    counts.X = sparse.csr_matrix(np.log1p(original / original.sum(axis=1, keepdims=True) * 1e4))
    path = _write(counts, tmp_path / "a.h5ad")
    error = _refused(path)
    assert "log-transformed" in error.what
    assert f"--layer {place}" in error.fix
    assert "else register them" in error.fix  # bench run, embed and pretrain have no --layer
    np.testing.assert_array_equal(read(path, layer=place).X.toarray(), original)
    assert "X" in _refused(path, layer="spliced").fix
    assert "log-transformed" in _refused(path, layer="X").what


def test_no_counts_anywhere(counts, tmp_path):
    counts.X = counts.X * 1.37
    counts.layers["other"] = counts.X.copy()
    error = _refused(_write(counts, tmp_path / "a.h5ad"))
    assert "not integer counts" in error.what


def test_duplicate_symbols_with_ensembl_ids_are_fine(counts, tmp_path):
    counts.var_names = ["SAME"] * 6
    adata = read(_write(counts, tmp_path / "a.h5ad"))
    assert adata.var_names.is_unique
    assert set(adata.var["symbol"]) == {"SAME"}


def test_duplicate_symbols_without_ids_are_refused(counts, tmp_path):
    counts.var = pd.DataFrame(index=["SAME"] * 6)
    error = _refused(_write(counts, tmp_path / "a.h5ad"))
    assert error.what == "gene names occur more than once (1 name, such as SAME)"
    assert "Ensembl" in error.fix


def test_incomplete_ids_leave_the_names(counts, tmp_path):
    counts.var.loc["GENE2", "ensembl_id"] = np.nan
    counts.var["ensembl_id"] = counts.var["ensembl_id"].astype("category")
    assert list(read(_write(counts, tmp_path / "a.h5ad")).var_names) == [f"GENE{i}" for i in range(6)]


def test_gaps_in_is_doublet_end_where_the_advice_is_followed(counts, tmp_path):
    counts.obs["is_doublet"] = pd.array([True, None, None] + [False] * 9, dtype="boolean")
    error = _refused(_write(counts, tmp_path / "a.h5ad"))
    assert "2 of 12 cells are neither true nor false (missing: 2)" in error.what
    counts.obs["unclear"] = counts.obs["is_doublet"].isna().to_numpy(dtype=bool)
    obs = read(_write(counts, tmp_path / "a.h5ad"), {"exclude": "unclear"}).obs
    assert obs["is_doublet"].tolist() == [True] + [False] * 11
    assert obs["exclude"].sum() == 2


def test_three_cells(counts, tmp_path):
    assert read(_write(counts[:3].copy(), tmp_path / "a.h5ad")).shape == (3, 6)


def test_three_nested_levels(counts, tmp_path):
    counts.obs["cell_type_level1"] = "brain"
    counts.obs["cell_type_fine"] = counts.obs["cell_type"].astype(str) + "_1"
    obs = read(_write(counts, tmp_path / "a.h5ad")).obs
    assert set(obs["cell_type"]) == {"brain"}
    assert set(obs["subtype"]) == {"neuron", "glia"}
    assert set(obs["subcluster"]) == {"neuron_1", "glia_1"}


@pytest.mark.parametrize("version", [2, 3])
def test_tenx_h5(matrix, tmp_path, version):
    adata = read(_tenx_h5(tmp_path / "m.h5", matrix, version))
    np.testing.assert_array_equal(adata.X.toarray(), matrix)
    assert adata.var_names[1] == "ENSG00000000001"
    assert adata.var["symbol"].iloc[1] == "S1"
    assert adata.obs_names[0] == "AAA0-1"
    assert adata.X.dtype == np.int32


def _with_kinds(form, tmp_path, matrix, kinds):
    """The same features in each format that tells their kinds."""
    if form == "h5":
        return _tenx_h5(tmp_path / "m.h5", matrix, 3, [kind.encode() for kind in kinds])
    if form == "folder":
        folder = _tenx_folder(tmp_path / "m", matrix, True)
        with gzip.open(folder / "features.tsv.gz", "wt", newline="\r\n") as file:
            file.writelines(f"ENSG{i:011d}\tS{i}\t{kind}\n" for i, kind in enumerate(kinds))
        return folder
    adata = anndata.AnnData(sparse.csr_matrix(matrix.astype(np.float32)))
    adata.var["feature_types"] = pd.Categorical(kinds)
    if form == "raw":
        adata.raw = adata
        adata = adata[:, :2].copy()
    if form == "zarr":
        adata.write_zarr(tmp_path / "m.zarr")
        return tmp_path / "m.zarr"
    return _write(adata, tmp_path / "m.h5ad")


FORMS = ["h5", "folder", "h5ad", "zarr", "raw"]


@pytest.mark.parametrize("form", FORMS)
def test_features_that_are_no_genes_are_left_out_with_a_line(matrix, tmp_path, form):
    path = _with_kinds(form, tmp_path, matrix, ["Gene Expression"] * 3 + ["Antibody Capture", "Custom"])
    layer = "raw" if form == "raw" else None
    np.testing.assert_array_equal(read(path, layer=layer).X.toarray(), matrix[:, :3])
    facts = peek(path, layer)
    assert facts.left_out == "2 features that are no gene expression are left out (Antibody Capture: 1, Custom: 1)"
    assert (facts.n_cells, facts.n_genes) == (9, 3)
    assert from_path(path, layer=layer).card.caveat.startswith("2 features that are no")
    store = from_path(path, layer=layer).open()
    np.testing.assert_array_equal(store.rows(np.arange(9)).toarray(), matrix[:, :3])


def test_a_line_about_one_kind_names_it(matrix, tmp_path):
    path = _with_kinds("h5", tmp_path, matrix, ["Gene Expression"] * 4 + ["Antibody Capture"])
    assert peek(path).left_out == "1 feature that is no gene expression is left out (Antibody Capture)"


@pytest.mark.parametrize("form", FORMS)
def test_a_matrix_without_genes_is_refused(matrix, tmp_path, form):
    path, layer = _with_kinds(form, tmp_path, matrix, ["Peaks"] * 5), "raw" if form == "raw" else None
    for look in (lambda: read(path, layer=layer), lambda: peek(path, layer)):
        with pytest.raises(DataError, match="no gene expression here: Peaks only") as error:
            look()
        assert error.value.fix


@pytest.mark.parametrize("form", FORMS)
def test_words_that_are_no_kinds_of_features_leave_nothing_out(matrix, tmp_path, form):
    path = _with_kinds(form, tmp_path, matrix, ["protein_coding"] * 4 + ["lncRNA"])
    layer = "raw" if form == "raw" else None
    assert read(path, layer=layer).n_vars == peek(path, layer).n_genes == 5
    assert not peek(path, layer).left_out


@pytest.mark.parametrize("form", ["h5", "folder"])
def test_a_repeated_gene_id_is_named(matrix, tmp_path, form):
    path = _with_kinds(form, tmp_path, matrix, ["Gene Expression"] * 5)
    ids = [f"ENSG{i:011d}" for i in (0, 1, 1, 1, 4)]
    if form == "h5":
        with h5py.File(path, "r+") as file:
            file["matrix/features/id"][...] = [name.encode() for name in ids]
    else:
        with gzip.open(path / "features.tsv.gz", "wt") as file:
            file.writelines(f"{name}\tS\tGene Expression\n" for name in ids)
    error = _refused(path)
    assert error.what == "the gene ID ENSG00000000001 occurs 3 times"
    assert "symbols may repeat" in error.fix


def test_repeated_symbols_of_different_genes_do_not_matter(matrix, tmp_path):
    folder = _tenx_folder(tmp_path / "m", matrix, False)
    (folder / "features.tsv").write_text("".join(f"ENSG{i:011d}\tSAME\tGene Expression\n" for i in range(5)))
    assert set(read(folder).var["symbol"]) == {"SAME"}


@pytest.mark.parametrize("version", [2, 3, "folder"])
def test_two_genomes_are_two_datasets(matrix, tmp_path, version):
    if version == "folder":
        path = _tenx_folder(tmp_path / "m", matrix, False)
        names = ["hg19_ENSG00000000001", "hg19_ENSG00000000002", *(f"mm10___ENSMUSG0000000000{i}" for i in range(3))]
        (path / "features.tsv").write_text("".join(f"{name}\t{name}\tGene Expression\n" for name in names))
    else:
        path = _tenx_h5(tmp_path / "m.h5", matrix, version)
        with h5py.File(path, "r+") as file:
            if version == 3:
                file["matrix/features/genome"] = [b"hg19"] * 2 + [b"mm10"] * 3
            else:
                file.move("GRCh38", "hg19")
                file.copy("hg19", "mm10")
    assert "2 genomes (hg19, mm10)" in _refused(path).what


def test_the_genome_of_other_features_is_none(matrix, tmp_path):
    path = _with_kinds("h5", tmp_path, matrix, ["Gene Expression"] * 4 + ["Antibody Capture"])
    with h5py.File(path, "r+") as file:
        file["matrix/features/genome"] = [b"GRCh38"] * 4 + [b""]
    assert read(path).n_vars == 4


@pytest.mark.parametrize("form", ["h5", "folder"])
def test_a_transposed_matrix_is_told_so(matrix, tmp_path, form):
    if form == "h5":
        path = _tenx_h5(tmp_path / "m.h5", matrix, 3)
        stored = sparse.csc_matrix(matrix)
        with h5py.File(path, "r+") as file:
            for name in ("data", "indices", "indptr", "shape"):
                del file["matrix"][name]
                file["matrix"][name] = getattr(stored, name)
    else:
        path = _tenx_folder(tmp_path / "m", matrix, False)
        mmwrite(path / "matrix.mtx", sparse.coo_matrix(matrix), field="integer")
    assert "transposed" in _refused(path).fix


def test_a_line_of_column_names_is_suspected(matrix, tmp_path):
    folder = _tenx_folder(tmp_path / "m", matrix, False)
    (folder / "barcodes.tsv").write_text("x\n" + (folder / "barcodes.tsv").read_text())
    assert "line of column names" in _refused(folder).fix


def test_an_h5_that_is_not_tenx(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_group("something")
    assert "not a 10x file" in _refused(tmp_path / "m.h5").what


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("features", ["features.tsv", "genes.tsv"])
def test_tenx_folder(matrix, tmp_path, zipped, features):
    folder = _tenx_folder(tmp_path / "m", matrix, zipped, features, prefix="GSM1_")
    (folder / "._matrix.mtx").write_bytes(b"\x00macOS")
    adata = read(folder)
    np.testing.assert_array_equal(adata.X.toarray(), matrix)
    assert adata.var_names[0] == "ENSG00000000000"
    assert adata.var["symbol"].iloc[0] == "S0"


def test_tenx_folder_of_two_samples(matrix, tmp_path):
    folder = _tenx_folder(tmp_path / "m", matrix, False)
    (folder / "barcodes.tsv").write_text("AAA\n" * 3)
    error = _refused(folder)
    assert "3 barcodes" in error.what
    assert "9 cells" in error.what
    (folder / "b_barcodes.tsv").write_text("AAA\n")
    assert "b_barcodes.tsv" in _refused(folder).what


def test_tenx_folder_without_barcodes(matrix, tmp_path):
    folder = _tenx_folder(tmp_path / "m", matrix, False)
    (folder / "barcodes.tsv").unlink()
    assert "barcodes.tsv" in _refused(folder).what


def test_tenx_has_no_layers(matrix, tmp_path):
    assert "no layer 'counts'" in _refused(_tenx_folder(tmp_path / "m", matrix, False), layer="counts").what


@pytest.mark.parametrize("name", ["half.h5ad", "half.h5"])
def test_a_cut_off_file(counts, tmp_path, name):
    whole = _write(counts, tmp_path / "whole.h5ad").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in _refused(tmp_path / name).what


def test_a_cut_off_gzip(matrix, tmp_path):
    folder = _tenx_folder(tmp_path / "m", matrix, True)
    whole = (folder / "matrix.mtx.gz").read_bytes()
    (folder / "matrix.mtx.gz").write_bytes(whole[:-15])
    assert "cannot be read" in _refused(folder).what


def test_no_such_file_and_unknown_type(tmp_path):
    assert "no such file" in _refused(tmp_path / "none.h5ad").what
    (tmp_path / "a.loom").write_text("x")
    assert "'.loom'" in _refused(tmp_path / "a.loom").what


def test_no_columns_at_all(tmp_path):
    anndata.AnnData(X=np.ones((2, 2), dtype=np.float32)).write_h5ad(tmp_path / "a.h5ad")
    assert list(read(tmp_path / "a.h5ad").obs.columns) == []


def test_a_tenx_file_whose_indices_are_damaged(matrix, tmp_path):
    path = _tenx_h5(tmp_path / "a.h5", matrix, 3)
    with h5py.File(path, "r+") as file:
        file["matrix/indices"][3] = 999
    with pytest.raises(DataError, match="damaged"):
        read(path)


def test_the_ending_may_be_in_capitals(counts, tmp_path):
    assert read(_write(counts, tmp_path / "A.H5AD")).shape == counts.shape


def test_a_tenx_file_called_h5ad(matrix, tmp_path):
    with pytest.raises(DataError, match="end in .h5"):
        peek(_tenx_h5(tmp_path / "a.h5ad", matrix, 3))


def test_further_columns_are_kept_as_they_are(counts, tmp_path):
    counts.obs["age"] = [np.nan, *range(11)]
    counts.obs["sex"] = pd.Categorical([None] + ["f", "m"] * 5 + ["f"], categories=["f", "m", "x"])
    counts.obs["smoker"] = pd.array([None, True] * 6, dtype="boolean")
    path = _write(counts, tmp_path / "a.h5ad")
    obs = read(path, {"donor": "individual"}, extra=["age", "sex", "smoker", "individual", "donor"]).obs
    assert list(obs) == ["donor", "cell_type", "is_doublet", "age", "sex", "smoker", "individual"]
    assert obs["age"].isna().sum() == 1
    assert obs["age"].dtype == float
    assert list(obs["sex"].cat.categories) == ["f", "m", "x"]
    assert obs["smoker"].dtype == "boolean"
    with pytest.raises(DataError, match="no column 'sexx'") as caught:
        read(path, extra=["sexx"])
    assert "did you mean 'sex'" in caught.value.fix


def test_columns_by_name_need_none_of_the_others(counts, tmp_path):
    """A gap in a label is no matter to whom has not asked for it."""
    counts.obs["cell_type"] = pd.Categorical([None] + ["a"] * 11)
    counts.obs.index.name = "individual2"
    counts.layers["logs"] = counts.X.copy()
    counts.layers["logs"].data = np.log1p(counts.layers["logs"].data)
    source = from_path(_write(counts, tmp_path / "a.h5ad"), columns={"donor": "individual"})
    found = source.columns(["donor", "score", "cell_type"])
    assert list(found.obs) == ["donor", "score", "cell_type"]
    assert found.obs.index.name is None
    assert found.obs["cell_type"].isna().sum() == 1
    logs = source.columns([], layer="logs", counts=False).X
    np.testing.assert_allclose(logs.toarray(), np.log1p(counts.X.toarray()), rtol=1e-6)
    with pytest.raises(DataError, match="log-transformed"):
        source.columns([], layer="logs")
