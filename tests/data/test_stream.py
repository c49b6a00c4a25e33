import json
import shutil
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.data.library import add, from_path, remove, sources
from bench.data.stream import StreamedCounts
from bench.dataset import LoadedCounts
from bench.errors import DataError
from bench.plan.registry import Registry

pytestmark = pytest.mark.filterwarnings("ignore:.*[zZ]arr:UserWarning")


@pytest.fixture(params=["h5ad", "zarr"])
def write(request, tmp_path):
    def write_as(adata, name="mine", **options):
        path = tmp_path / f"{name}.{request.param}"
        getattr(adata, f"write_{request.param}")(path, **options)
        return path

    return write_as


def _orders(n):
    rng = np.random.default_rng(1)
    yield np.arange(n)
    yield rng.permutation(n)
    yield np.array([n - 1, 0, 0, 3, 3, 2])
    yield np.array([4])
    yield np.array([], dtype=np.intp)


def test_rows_are_those_of_the_loaded_file(counts, write):
    counts.obs["exclude"] = ["yes", "no"] * 6
    source = from_path(write(counts), columns={"donor": "individual"})
    store, loaded = source.open(), source.load().adata
    assert isinstance(store, StreamedCounts)
    pd.testing.assert_frame_equal(store.obs, loaded.obs)
    pd.testing.assert_frame_equal(store.var, loaded.var)
    assert list(store.n_entries) == list(np.diff(loaded.X.indptr))
    assert (store.name, store.digest) == (source.card.name, source.card.digest)
    for index in _orders(12):
        rows = store.rows(index)
        assert rows.dtype == np.int32
        assert rows.shape == (len(index), 6)
        np.testing.assert_array_equal(rows.toarray(), loaded.X[index].toarray())


@pytest.mark.parametrize("layer", ["counts", "raw"])
def test_counts_beside_x(counts, write, layer):
    if layer == "raw":
        counts.raw = counts
        counts = counts[:, :4].copy()
    else:
        counts.layers["counts"] = counts.X.copy()
    truth = (counts.raw.X if layer == "raw" else counts.X).toarray()
    counts.X = sparse.csr_matrix(np.log1p(counts.X.toarray()))
    path = write(counts)
    with pytest.raises(DataError, match=f"--layer {layer}"):
        from_path(path).open()
    store = from_path(path, layer=layer).open()
    np.testing.assert_array_equal(store.rows(np.arange(12)).toarray(), truth)
    assert len(store.var) == truth.shape[1]


def test_cells_without_counts_are_told_not_refused(counts, write):
    X = counts.X.toarray()
    X[[2, 7]] = 0
    counts.X = sparse.csr_matrix(X)
    source = from_path(write(counts))
    assert list(np.flatnonzero(source.open().n_entries == 0)) == [2, 7]
    with pytest.raises(DataError, match="no counts at all"):
        source.load()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda X: X - 3 * (X > 0), "negative"),
        (lambda X: np.log1p(X * 1e4 / X.sum(axis=1, keepdims=True)), "log-transformed"),
        (lambda X: X / 2, "not integer counts"),
        (lambda X: np.where(X > 3, np.nan, X), "NaN"),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_values_that_are_no_counts(counts, write, monkeypatch, spoil, what, later):
    X = counts.X.toarray().astype(float)
    if later:
        monkeypatch.setattr("bench.data.stream._HEAD", 3)
        X[6:] = spoil(X[6:])
    else:
        X = spoil(X)
    counts.X = sparse.csr_matrix(X)
    source = from_path(write(counts))
    if not later:
        with pytest.raises(DataError, match=what):
            source.open()
        return
    store = source.open()
    store.rows(np.arange(6))
    with pytest.raises(DataError, match=what) as caught:
        store.rows(np.arange(6, 12))
    assert "cells 6 to 11" in caught.value.where


def test_other_layouts_are_loaded(counts, write):
    counts.X = counts.X.tocsc()
    store = from_path(write(counts)).open()
    assert isinstance(store, LoadedCounts)
    np.testing.assert_array_equal(store.rows(np.array([3, 1])).toarray(), counts.X.toarray()[[3, 1]])
    assert list(store.n_entries) == list((counts.X.toarray() > 0).sum(axis=1))


def test_duplicate_names_are_refused(counts, write):
    counts.obs_names = ["a", *counts.obs_names[1:-1], "a"]
    with pytest.raises(DataError, match="cell names occur more than once"):
        from_path(write(counts)).open()


def test_a_changed_file_is_refused(counts, write):
    source = from_path(path := write(counts))
    other = counts.copy()
    other.X.data += 1
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert write(other) == path
    for load in (source.open, source.load):
        with pytest.raises(DataError, match="not the registered ones"):
            load()


def test_a_cut_file_is_refused(counts, tmp_path):
    counts.write_h5ad(path := tmp_path / "cut.h5ad")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match="cannot be read"):
        from_path(path).open()


def test_rows_that_end_elsewhere_are_refused(counts, tmp_path):
    import h5py

    counts.write_h5ad(path := tmp_path / "short.h5ad")
    with h5py.File(path, "a") as file:
        file["X/data"].resize((5,))
    with pytest.raises(DataError, match="damaged"):
        from_path(path).open()


def test_genes_that_do_not_exist_are_refused(counts, tmp_path, monkeypatch):
    import h5py

    counts.write_h5ad(path := tmp_path / "wild.h5ad")
    with h5py.File(path, "a") as file:
        file["X/indices"][-1] = 10**6
    monkeypatch.setattr("bench.data.stream._HEAD", 3)
    store = from_path(path).open()
    with pytest.raises(DataError, match="damaged"):
        store.rows(np.array([11]))


@pytest.mark.parametrize("version", [2, 3])
def test_a_lost_chunk_is_refused(tmp_path, version):
    """Zarr reads zeros where a chunk is gone."""
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(3.0, (50, 30)).astype(np.int32))
    path = tmp_path / "lost.zarr"
    with anndata.settings.override(zarr_write_format=version):
        anndata.AnnData(X).write_zarr(path)
    np.testing.assert_array_equal(from_path(path).open().rows(np.arange(50)).toarray(), X.toarray())
    lost = sorted(p for p in (path / "X" / "data").rglob("*") if p.name.isdigit())[-1]
    lost.unlink()
    with pytest.raises(DataError, match="chunks of the counts are missing"):
        from_path(path).open()


def test_bytes_changed_within_a_chunk(tmp_path):
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(3.0, (50, 30)).astype(np.int32))
    path = tmp_path / "garbled.zarr"
    anndata.AnnData(X).write_zarr(path)
    for chunk in (p for p in (path / "X" / "indices").rglob("*") if p.name.isdigit()):
        chunk.write_bytes(b"\x00\xff" * 40)
    with pytest.raises(DataError, match="cannot be read"):
        from_path(path).open()


def test_cells_that_do_not_exist(counts, write):
    store = from_path(write(counts)).open()
    with pytest.raises(IndexError):
        store.rows(np.array([12]))


def test_nothing_but_the_rows_is_read(counts, write, monkeypatch):
    store = from_path(write(counts)).open()
    read = []

    class Spy:
        def __init__(self, array):
            self._array, self.dtype = array, array.dtype

        def __getitem__(self, part):
            read.append((part.start, part.stop))
            return self._array[part]

    monkeypatch.setattr(store, "_matrix", replace(store._matrix, data=Spy(store._matrix.data)))
    store.rows(np.array([5, 1, 2]))
    ends = store._matrix.indptr
    assert sorted(read) == [(ends[1], ends[3]), (ends[5], ends[6])]


def test_zarr_is_a_dataset_like_any_other(counts, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    counts.write_zarr(folder / "study.zarr")
    card = add(folder / "study.zarr", "study", columns={"donor": "individual"})
    assert (card.n_cells, card.n_genes, card.n_donors) == (12, 6, 2)
    assert sources()["study"].load().adata.n_obs == 12
    registry = Registry()
    assert len(registry.open("study")) == 12
    entry = {"file": "study.zarr", "sha256": card.digest, "cells": 12, "genes": 6, "obs": list(counts.obs.columns)}
    (folder / "MANIFEST.json").write_text(json.dumps([entry]))
    monkeypatch.setenv("BENCH_DATA", str(folder))
    remove("study")
    assert len(sources()["study"].open()) == 12
