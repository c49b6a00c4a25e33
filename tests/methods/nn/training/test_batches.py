import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, vstack

from bench.data.library import from_path
from bench.dataset import Dataset, DatasetCard, LoadedCounts
from bench.errors import BenchError
from bench.methods.nn.genes import Genes
from bench.methods.nn.training.batches import CellBatches, shared_genes

pytestmark = pytest.mark.filterwarnings("ignore:.*[zZ]arr:UserWarning")


class _Watched(LoadedCounts):
    """Remembers which cells were read."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.read = []

    def rows(self, index):
        self.read.append(np.array(index))
        return super().rows(index)


def _store(n_cells, first_gene=0, n_genes=8, X=None, exclude=None):
    """Cell i has i + 1 counts of its store's first gene, by which it is known again."""
    if X is None:
        X = np.zeros((n_cells, n_genes), dtype=np.int32)
        X[:, 0] = np.arange(1, n_cells + 1)
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(X))])
    if exclude is not None:
        obs["exclude"] = exclude
    var = pd.DataFrame({"symbol": ""}, index=[f"g{i:03d}" for i in range(first_gene, first_gene + X.shape[1])])
    card = DatasetCard("study", "", "0", frozenset(obs), "none", *X.shape)
    return _Watched(Dataset(card, anndata.AnnData(csr_matrix(X), obs=obs, var=var)))


@pytest.fixture
def two():
    return [_store(90), _store(37, first_gene=3)]


def _batches(stores, **options):
    return CellBatches(stores, shared_genes(stores), **{"batch_size": 8, "seed": 0, "block": 4, "window": 32} | options)


def _order(batches, epoch, start=0):
    """Of every cell, its store and number there."""
    counts = vstack(list(batches.epoch(epoch, start))).toarray()
    return [(int(row[0] == 0), int(row.max()) - 1) for row in counts]


def test_every_cell_once_in_an_order_of_seed_and_epoch(two):
    batches = _batches(two)
    assert (batches.n_cells, batches.steps_per_epoch) == (127, 16)
    order = _order(batches, 0)
    assert sorted(order) == [(0, i) for i in range(90)] + [(1, i) for i in range(37)]
    assert order == _order(batches, 0) == _order(_batches(two), 0)
    assert len({str(o) for o in (order, _order(batches, 1), _order(_batches(two, seed=1), 0), sorted(order))}) == 4
    assert [batch.shape for batch in batches.epoch(0)] == [(8, 11)] * 15 + [(7, 11)]


def test_epochs_may_be_asked_for_in_any_order(two):
    late = _order(_batches(two), 5)
    batches = _batches(two)
    assert _order(batches, 2) != late
    assert _order(batches, 5) == late


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 15, 16, 20])
def test_resuming_gives_what_was_left(two, start):
    full = [batch.toarray() for batch in _batches(two).epoch(3)]
    rest = [batch.toarray() for batch in _batches(two).epoch(3, start)]
    assert len(rest) == len(full[start:])
    for a, b in zip(rest, full[start:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_skipped_windows_are_not_read(two):
    batches = _batches(two)
    list(batches.epoch(0))
    whole = sum(len(index) for store in two for index in store.read)
    for store in two:
        store.read.clear()
    next(batches.epoch(0, start=9))  # in the third of four windows
    assert whole == 127
    assert sum(len(index) for store in two for index in store.read) == 32


def test_one_window_is_a_full_shuffle():
    """Neighbours are as far from each other as in any permutation: a third of the length on average."""
    order = np.array([i for _, i in _order(_batches([_store(1000)], window=1024, batch_size=64, block=16), 0)])
    position = np.argsort(order)
    assert 280 < np.abs(np.diff(position)).mean() < 390


def test_in_stored_order(two):
    order = _order(_batches(two, shuffle=False), 7)
    assert order == sorted(order)


def test_excluded_and_empty_cells_are_left_out():
    X = np.ones((10, 4), dtype=np.int32)
    X[:, 0] += np.arange(10)
    X[3] = 0
    X[5] = [0, 0, 0, 6]
    store = _store(10, X=X, exclude=np.arange(10) == 8)
    batches = _batches([store])
    assert batches.n_cells == 9 - 1
    assert batches.left_out == {"marked exclude": 1, "without counts": 1}
    assert not store.read  # row lengths tell
    fewer = CellBatches([store], Genes(("g000", "g001"), ("", "")), 4, seed=0)
    assert fewer.left_out == {"marked exclude": 1, "without counts": 2}
    assert all((batch.sum(axis=1) > 0).all() for batch in fewer.epoch(0))
    assert sum(batch.shape[0] for batch in fewer.epoch(0)) == 7


def test_genes_in_enough_cells_of_all_stores():
    a, b = np.zeros((6, 3), dtype=np.int32), np.zeros((4, 3), dtype=np.int32)
    a[:, 0] = 1
    a[0, 1] = 5
    b[:, 2] = 2
    stores = [_store(6, X=a), _store(4, X=b)]
    assert shared_genes(stores).ids == ("g000", "g001", "g002")
    assert shared_genes(stores, 0.1).ids == ("g000", "g001", "g002")
    assert shared_genes(stores, 0.4).ids == ("g000", "g002")
    assert shared_genes(stores, 0.6).ids == ("g000",)
    with pytest.raises(BenchError, match="no gene has counts in 70.00%"):
        shared_genes(stores, 0.7)


@pytest.mark.parametrize("n_cells", [1, 3])
def test_few_cells(n_cells):
    batches = _batches([_store(n_cells)], batch_size=64)
    assert [batch.shape for batch in batches.epoch(0)] == [(n_cells, 8)]


def test_nothing_to_train_on():
    with pytest.raises(BenchError, match="no cell is left .*3 without counts"):
        _batches([_store(3, X=np.zeros((3, 2), dtype=np.int32))])
    with pytest.raises(BenchError, match="no dataset"):
        CellBatches([], Genes(("a",), ("",)), 4, seed=0)
    with pytest.raises(BenchError, match="a batch of 0 cells"):
        _batches([_store(3)], batch_size=0)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_files_give_the_same_batches_as_memory(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    stores, streams = [], []
    for i, n in enumerate((150, 60)):
        X = rng.poisson(0.8, (n, 20)).astype(np.int32)
        X[:, 0] += 1
        stores.append(_store(n, first_gene=5 * i, X=X))
        adata = anndata.AnnData(csr_matrix(X), obs=stores[-1].obs, var=stores[-1].var)
        getattr(adata, f"write_{kind}")(path := tmp_path / f"{i}.{kind}")
        streams.append(from_path(path).open())
    genes = shared_genes(stores, 0.3)
    assert shared_genes(streams, 0.3) == genes
    for a, b in zip(
        CellBatches(stores, genes, 16, seed=4, block=4, window=64).epoch(1),
        CellBatches(streams, genes, 16, seed=4, block=4, window=64).epoch(1),
        strict=True,
    ):
        np.testing.assert_array_equal(a.toarray(), b.toarray())
