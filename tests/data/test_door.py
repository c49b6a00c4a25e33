"""What files look like beyond the plain ones, and what a damaged one may do to the process that reads it."""

import importlib.util
import json
import os
import sys

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.data import _guard
from bench.data.ingest import read
from bench.data.library import from_path
from bench.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*[zZ]arr:UserWarning")


@pytest.fixture(params=["h5ad", "zarr2", "zarr3"])
def write(request, tmp_path):
    def write_as(adata, name="mine"):
        kind = request.param
        path = tmp_path / f"{name}.{kind.rstrip('23')}"
        with anndata.settings.override(zarr_write_format=int(kind[-1]) if kind[-1].isdigit() else 2):
            getattr(adata, f"write_{kind.rstrip('23')}")(path)
        return path

    return write_as


def _same(source, truth, obs=None):
    """The file gives these counts, loaded and by rows."""
    loaded, opened = source.load().adata, source.open()
    assert loaded.X.dtype == np.int32
    np.testing.assert_array_equal(loaded.X.toarray(), truth)
    np.testing.assert_array_equal(opened.rows(np.arange(len(truth))).toarray(), truth)
    assert list(opened.n_entries) == list((truth > 0).sum(axis=1)) == list(np.diff(loaded.X.indptr))
    pd.testing.assert_frame_equal(opened.obs, loaded.obs, check_column_type=False)
    if obs is not None:
        for column, values in obs.items():
            assert list(loaded.obs[column]) == list(values)


@pytest.mark.parametrize("names", ["string", "category"])
def test_names_and_columns_as_groups(counts, write, names):
    """Nullable strings are what anndata 0.13 writes by default under pandas 3."""
    truth, plain = counts.X.toarray(), counts.obs.copy()
    counts.obs["is_doublet"] = counts.obs["is_doublet"].astype("boolean")
    for table in (counts.obs, counts.var):
        for column in table.select_dtypes(["object", "category"]):
            table[column] = table[column].astype(names)
        table.index = table.index.astype(names)
    with anndata.settings.override(allow_write_nullable_strings=True):
        path = write(counts)
    source = from_path(path, columns={"donor": "individual"})
    assert (source.card.n_cells, source.card.n_genes, source.card.n_donors) == (12, 6, 2)
    expected = {"donor": plain["individual"], "cell_type": plain["cell_type"], "is_doublet": plain["is_doublet"]}
    _same(source, truth, expected)
    loaded = source.load().adata
    assert list(loaded.obs_names) == list(plain.index)
    assert list(loaded.var_names) == [f"ENSG{i:011d}" for i in range(6)]


def test_a_gap_in_nullable_strings_is_no_value(counts, write):
    counts.obs["individual"] = pd.array([None, *["d1"] * 5, *["d2"] * 6], dtype="string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        path = write(counts)
    source = from_path(path, columns={"donor": "individual"})
    assert source.card.n_donors == 2
    with pytest.raises(DataError, match="1 of 12 cells have no value"):
        source.load()


@pytest.mark.parametrize("name", ["donor", "cell_type", "_index", "index"])
def test_an_index_named_like_a_field(counts, write, name):
    counts.obs.index.name = counts.var.index.name = name
    if name == "cell_type":
        counts.obs = counts.obs.rename(columns={"cell_type": "type"})
    source = from_path(write(counts))
    assert source.load().adata.obs.index.name is None
    assert source.open().obs.index.name is None
    assert source.columns(["individual"]).obs.index.name is None


def test_a_slash_in_the_name_of_a_layer(counts, tmp_path):
    truth = counts.X.toarray()
    counts.X.data = np.log1p(counts.X.data)
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        anndata.io.write_elem(file["layers"].create_group("raw"), "spliced", sparse.csr_matrix(truth))
    with pytest.raises(DataError, match="--layer raw/spliced"):
        read(path)
    _same(from_path(path, layer="raw/spliced"), truth)
    with pytest.raises(DataError, match="layers: X, raw/spliced"):
        read(path, layer="raw")


def test_what_is_not_needed_may_be_odd(counts, tmp_path):
    truth = counts.X.toarray()
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        for place in ("uns/new", "obs/new", "obsm/new", "layers/new"):
            file.create_group(place).attrs.update({"encoding-type": "of-tomorrow", "encoding-version": "9.0"})
        file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "new"]
    _same(from_path(path), truth)
    with pytest.raises(DataError, match="not known") as caught:
        read(path, layer="new")
    assert "of-tomorrow" in caught.value.what
    with pytest.raises(DataError, match="does not know how it is stored") as caught:
        read(path, extra=["new"])
    assert "pip install -U anndata" in caught.value.fix


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_stored_zeros_and_entries_out_of_order(counts, tmp_path, form):
    truth = counts.X.toarray()
    truth[3] = 0
    truth[3, 0] = 1
    entries = [(i, j, v) for i, row in enumerate(truth) for j, v in reversed(list(enumerate(row)))]
    rows, columns, values = (np.array(part) for part in zip(*entries, strict=True))
    major, minor = (rows, columns) if form == "csr" else (columns, rows)
    order = np.argsort(major, kind="stable")
    indptr = np.append(0, np.cumsum(np.bincount(major)))
    make = sparse.csr_matrix if form == "csr" else sparse.csc_matrix
    counts.X = make((values[order].astype(np.float32), minor[order], indptr), shape=truth.shape)
    assert counts.X.nnz == len(entries)
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    _same(from_path(path), truth)


def test_a_sum_of_duplicates_that_its_type_cannot_hold(counts, tmp_path):
    counts.X = sparse.csr_matrix(
        (np.full(24, 200, dtype=np.uint8), np.repeat(np.arange(12) % 6, 2), np.arange(0, 25, 2)), shape=(12, 6)
    )
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    assert set(read(path).X.data) == {400}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint32", "int64", "float16", "float64", ">f4", ">i8"])
@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_types_of_numbers(counts, tmp_path, dtype, form):
    truth = counts.X.toarray()
    if dtype == "bool":
        truth = (truth > 0).astype(float)
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    make = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[form]
    with h5py.File(path, "a") as file:
        del file["X"]
        anndata.io.write_elem(file, "X", make(truth))
        place, name = (file, "X") if form == "dense" else (file["X"], "data")
        values, attributes = place[name][:].astype(dtype), dict(place[name].attrs)
        del place[name]
        place.create_dataset(name, data=values).attrs.update(attributes)
        if form != "dense":
            for name in ("indices", "indptr"):
                stored = file["X"][name][:].astype(np.uint64)
                del file["X"][name]
                file["X"][name] = stored
    _same(from_path(path), truth)


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_blocks_give_the_whole(counts, tmp_path, form, monkeypatch):
    monkeypatch.setattr("bench.data._counts._BLOCK", 5)
    monkeypatch.setattr("bench.data._counts._chunk", lambda array: 0)
    truth = counts.X.toarray()
    counts.X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[form](truth)
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    _same(from_path(path), truth)
    counts.X[-1, -1] = 2.5
    counts.write_h5ad(path)
    with pytest.raises(DataError, match="fractional part") as caught:
        read(path)
    assert ("genes 5 to 5 of " if form == "csc" else "to 11 of ") in caught.value.where


@pytest.mark.parametrize(
    ("cells", "genes"),
    [
        ("ENSG{:011d}", "x{}"),
        ("x{}", "AAACCTGAGAAACCA{}-1"),
        ("ENSMUSG{:011d}.2", "plate1_ACGTACGTACGTAC{}"),
    ],
)
def test_a_transposed_matrix_is_told_so(counts, tmp_path, cells, genes):
    counts.obs_names, counts.var = [cells.format(i) for i in range(12)], pd.DataFrame(index=map(genes.format, range(6)))
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="transposed") as caught:
        read(path)
    assert "adata.T" in caught.value.fix
    with pytest.raises(DataError, match="transposed"):
        from_path(path).open()


@pytest.mark.parametrize("peak", ["chr1:{}00-{}50", "chr1-{}00-{}50", "GRCh38_chrX_{}00_{}50", "1:{}00-{}50"])
@pytest.mark.parametrize("genes", [0, 4])
def test_peaks_that_lost_their_kinds_are_told_by_their_names(counts, tmp_path, peak, genes):
    names = ["MT-ND1", "HLA-DRB1-1", "RP11-34P13.7", "chr1", *(peak.format(i, i) for i in range(1, 7))]
    counts.var = pd.DataFrame(index=names[4 - genes : 10 - genes])
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with pytest.raises(DataError, match=f"{6 - genes} of 6 features are called like peaks") as caught:
        read(path)
    with pytest.raises(DataError, match="peaks"):
        from_path(path).open()
    if genes:
        kept = eval(caught.value.fix.partition("alone: ")[2].partition(".write")[0], {"adata": counts})
        assert list(kept.var_names) == names[:4]


def test_symbols_for_cells_are_transposed_too(counts, tmp_path):
    counts = counts.T
    counts.obs_names = ["ACTB", "MALAT1", *counts.obs_names[2:]]
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="transposed"):
        read(path)


def probe_with(monkeypatch, reading):
    """Let the probe do something else than read the file."""
    code = f"import os, runpy, signal, sys, time; p = runpy.run_path({_guard._PROBE[-1]!r}); serve = p['serve']\n"
    code += f"serve.__globals__['read_all'] = lambda path: ({reading.replace('; ', ', ')})\nserve()"
    monkeypatch.setattr(_guard, "_PROBE", [sys.executable, "-c", code])
    monkeypatch.setattr(_guard, "_idle", [])


@pytest.mark.parametrize(
    ("ending", "what"),
    [("signal.alarm(1); time.sleep(60)", "does not end within"), ("os.abort()", "crashes"), ("sys.exit(3)", None)],
)
def test_a_file_that_ends_or_keeps_its_reader(counts, tmp_path, monkeypatch, ending, what):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    probe_with(monkeypatch, ending)
    if what is None:  # nothing that speaks against the file
        assert read(path).n_obs == 12
        return
    for command in (read, from_path):
        with pytest.raises(DataError, match=what) as caught:
            command(path)
        assert str(path) in caught.value.where
        assert caught.value.fix


def test_a_file_is_tried_once_in_each_state(counts, tmp_path, monkeypatch):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    log = tmp_path / "log"
    probe_with(monkeypatch, f"open({str(log)!r}, 'a').write('x')")
    for _ in range(2):
        read(path)
        _guard._tried.clear()  # as another process
    assert log.read_text() == "x"
    counts.X.data += 1
    counts.write_h5ad(path)
    read(path)
    assert log.read_text() == "xx"


def test_a_probe_serves_one_file_after_the_other_and_is_replaced_when_it_was_killed(counts, tmp_path, monkeypatch):
    monkeypatch.setattr(_guard, "_idle", [])
    pids = []
    for name in "abc":
        counts.write_h5ad(path := tmp_path / f"{name}.h5ad")
        read(path)
        [probe] = _guard._idle
        pids.append(probe.pid)
        if name == "b":
            probe.kill()
            probe.wait()
    assert pids[0] == pids[1] != pids[2]
    _guard._end_idle()
    assert probe.poll() == 0


def test_the_probe_reads_a_good_file_to_its_end(counts, tmp_path, monkeypatch):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    spec = importlib.util.spec_from_file_location("probe", _guard._PROBE[-1])
    probe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    seen = []
    monkeypatch.setattr(probe, "_read", lambda item: seen.append(item.name))
    probe.read_all(str(path))
    for name in ("/X/data", "/X/indptr", "/obs/_index", "/obs/cell_type/codes", "/var/ensembl_id"):
        assert any(f"{item}/".startswith(f"{name}/") for item in seen), name  # nullable strings are groups


@pytest.mark.skipif(importlib.util.find_spec("hdf5plugin") is not None, reason="hdf5plugin reads these")
def test_a_filter_that_is_not_there(counts, tmp_path):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        data = file["X/data"][:]
        del file["X/data"]
        options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options.set_chunk((len(data),))
        options.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((len(data),))
        stored = h5py.h5d.create(file["X"].id, b"data", h5py.h5t.NATIVE_FLOAT, space, options)
        stored.write_direct_chunk((0,), b"(\xb5/\xfd" + bytes(40))
    with pytest.raises(DataError, match="filter that this HDF5 lacks") as caught:
        read(path)
    assert "32015" in caught.value.what
    assert "pip install hdf5plugin" in caught.value.fix


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"cell,gene\n", "no HDF5 file"),
    ],
)
def test_what_is_no_hdf5_file(tmp_path, start, told):
    path = tmp_path / "a.h5ad"
    path.write_bytes(start)
    with pytest.raises(DataError) as caught:
        read(path)
    assert told in str(caught.value)
    assert caught.value.fix


def test_one_gene_of_zarr(tmp_path):
    """Its indices are all zero, and zarr stores no chunk of zeros."""
    path = tmp_path / "a.zarr"
    anndata.AnnData(sparse.csr_matrix(np.arange(1, 9.0)[:, None])).write_zarr(path)
    _same(from_path(path), np.arange(1, 9)[:, None])


def test_the_genes_of_a_card_are_those_of_the_layer(counts, tmp_path):
    counts.raw = counts.copy()
    counts[:, :4].copy().write_h5ad(path := tmp_path / "a.h5ad")
    source = from_path(path, layer="raw")
    assert source.card.n_genes == source.load().adata.n_vars == 6
    assert json.loads(source.card.reading)[1] == "raw"


def test_zarr_in_shards(counts, tmp_path):
    zarr = pytest.importorskip("zarr")
    path, truth = tmp_path / "a.zarr", counts.X.toarray()
    with anndata.settings.override(zarr_write_format=3):
        counts.write_zarr(path)
    group = zarr.open_group(path, mode="a", use_consolidated=False)["X"]
    for name in ("data", "indices"):
        values, attributes = group[name][:], dict(group[name].attrs)
        del group[name]
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(5,), shards=(20,))
        array[:] = values
        array.attrs.update(attributes)
    zarr.consolidate_metadata(str(path))
    _same(from_path(path), truth)
    next(file for file in (path / "X" / "data").rglob("*") if file.name.isdigit()).unlink()
    with pytest.raises(DataError, match="1 chunks of the counts are missing"):
        read(path)


def test_text_of_fixed_length_without_encodings(counts, tmp_path):
    """As written by hand, or by other languages."""
    truth = counts.X.toarray()
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        for table, names in ((file["obs"], counts.obs_names), (file["var"], counts.var_names)):
            del table["_index"]
            table["_index"] = names.to_numpy(dtype="S20")
            table.attrs["_index"] = np.bytes_("_index")
            table.attrs["column-order"] = np.array(list(table.attrs["column-order"]), dtype="S20")
        del file["obs/individual"]
        file["obs/individual"] = np.array([b"d1", b"d2"] * 6)
    source = from_path(path, columns={"donor": "individual"})
    assert source.card.n_donors == 2
    _same(source, truth, {"donor": ["d1", "d2"] * 6})
    assert source.load().adata.obs_names[0] == "cell0"


def test_tables_of_anndata_0_7(counts, tmp_path):
    """Categories lie apart from their column."""
    truth, kinds = counts.X.toarray(), list(counts.obs["cell_type"])
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        obs = file["obs"]
        for table in (obs, file["var"]):
            table.attrs["encoding-version"] = "0.1.0"
            for name in [name for name in table if "codes" in table[name]]:
                codes, categories = table[name]["codes"][:], table[name]["categories"][:]
                del table[name]
                table[name] = codes
                stored = table.require_group("__categories")
                stored[name] = categories
                stored[name].attrs["ordered"] = False
                table[name].attrs["categories"] = stored[name].ref
    source = from_path(path, columns={"donor": "individual"})
    assert source.card.n_donors == 2
    _same(source, truth, {"cell_type": kinds})


def test_a_matrix_of_the_other_way_round_is_told_so(counts, tmp_path):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = (6, 12)
    with pytest.raises(DataError, match="transposed: it is 6 x 12, for 12 cells"):
        read(path)


def test_mudata_is_told_so(counts, tmp_path):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file.move("X", "mod/rna")
    with pytest.raises(DataError, match="MuData"):
        read(path)


def test_names_of_files(counts, tmp_path):
    (tmp_path / "my data").mkdir()
    counts.write_h5ad(path := tmp_path / "my data" / "é (1).h5ad")
    (tmp_path / "link.h5ad").symlink_to(path)
    for name in (path, tmp_path / "link.h5ad"):
        assert from_path(name).load().adata.n_obs == 12
    path.unlink()
    os.mkfifo(tmp_path / "pipe.h5ad")
    for name, told in (("link.h5ad", "no such file"), ("pipe.h5ad", "neither a file")):
        with pytest.raises(DataError, match=told):
            from_path(tmp_path / name)
    for name, told in (("a.h5ad.gz", "unpack"), ("a.rds", "zellkonverter"), ("matrix.mtx.gz", "folder"), ("a", "10x")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataError, match="not known") as caught:
            from_path(tmp_path / name)
        assert told in caught.value.fix


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(counts, tmp_path):
    counts.write_h5ad(path := tmp_path / "a.h5ad")
    path.chmod(0)
    with pytest.raises(DataError, match="you may not"):
        from_path(path)
