"""Batches of cells in random order from datasets that do not fit in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING

import numpy as np
from scdataset import BlockShuffling, Streaming, scDataset
from scipy import sparse

from bench.dataset import CountStore
from bench.errors import BenchError
from bench.methods.nn.genes import Genes, match
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

#: Neighbouring cells that stay together until a window is shuffled: one read from disk each.
BLOCK = 16
#: Cells that are in memory at a time, drawn as blocks from anywhere and shuffled; about 200 MB of nuclei.
WINDOW = 8192
_PASS = 4096  # cells read at a time when all are read in order


class CellBatches:
    """Batches of raw counts over one or several datasets, the same whichever process asks for them.

    Cells are shuffled as scDataset does (BlockShuffling): blocks of neighbours are put in random order, then the cells
    of each window of blocks. This is close to a full shuffle where a window has many blocks; it is no full shuffle.
    A window holds :data:`WINDOW` cells, so that datasets of fewer cells are fully shuffled.

    Left out are cells marked ``exclude``, and cells without counts in ``genes`` (``left_out`` tells how many). The
    latter are known from the stored row lengths where ``genes`` has all genes of a dataset; else the dataset is read
    once for them.

    Parameters
    ----------
    stores
        Datasets; the order of cells depends on the order in which they are given.
    genes
        Genes of the model; those that a dataset lacks are 0 in its cells.
    batch_size
        Cells a batch; the last of an epoch may have fewer.
    seed
        Together with the number of the epoch it decides the order of the cells.
    block, window
        Cells that are read together, and cells in memory; ``window`` is rounded to whole batches.
    shuffle
        False for the order in which the cells are stored.

    Raises
    ------
    bench.errors.BenchError
        If there is no cell left, or a dataset has none of the genes.
    """

    def __init__(
        self,
        stores: Sequence[CountStore],
        genes: Genes,
        batch_size: int,
        seed: int,
        *,
        block: int = BLOCK,
        window: int = WINDOW,
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1:
            raise BenchError(f"a batch of {batch_size} cells", where="batch_size", fix="give a number from 1 on")
        self._cells = _Cells(stores, genes)
        self._batch_size, self._seed = batch_size, seed
        self._block, self._shuffle = block, shuffle
        self._fetch_factor = max(1, round(window / batch_size))
        self._kept, self.left_out = self._cells.usable()
        if not len(self._kept):
            reasons = ", ".join(f"{n:,} {why}" for why, n in self.left_out.items())
            names = ", ".join(store.name for store in stores)
            raise BenchError(f"no cell is left ({reasons})", where=names, fix="check the data and the model's genes")

    @property
    def n_cells(self) -> int:
        """Cells of an epoch."""
        return len(self._kept)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return math.ceil(self.n_cells / self._batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[csr_matrix]:
        """Batches (cells, model genes) of an epoch, from batch number ``start`` on.

        Windows of cells before ``start`` are not read. All batches are given, whatever the number of processes: to
        share a batch out is the caller's part.
        """
        strategy = BlockShuffling(self._block, indices=self._kept) if self._shuffle else Streaming(self._kept)
        first, window = start // self._fetch_factor, count()

        def fetch(cells: _Cells, index: NDArray[np.intp]) -> csr_matrix | None:
            return cells.rows(index) if next(window) >= first else None

        def pick(fetched: csr_matrix | None, index: NDArray[np.intp]) -> csr_matrix | None:
            return None if fetched is None else fetched[index]

        batches = scDataset(
            self._cells,
            strategy,
            self._batch_size,
            fetch_factor=self._fetch_factor,
            fetch_callback=fetch,
            batch_callback=pick,
            rank=0,
            world_size=1,
            seed=derive_seed("order of cells", self._seed, epoch),
        )
        return islice(iter(batches), start, None)


def shared_genes(stores: Sequence[CountStore], min_cells_share: float = 0.0) -> Genes:
    """The genes of a model to be trained on some datasets: all that occur in one, in ascending order of ID.

    Parameters
    ----------
    min_cells_share
        Keep genes with counts in at least this share of all cells; the counts are then read once. The paper keeps
        those in at least 0.5 % (models.md of the paper's code, 3.1); 0 keeps the genes as they are.
    """
    if not 0 <= min_cells_share <= 1:
        raise BenchError(f"a share of {min_cells_share}", where="min_cells_share", fix="give a number from 0 to 1")
    genes = Genes.union([Genes.of(store.var) for store in stores])
    if not min_cells_share:
        return genes
    cells = _Cells(stores, genes)
    n_cells = np.zeros(len(genes), dtype=np.int64)
    for part in cells.in_order(cells.not_excluded()):
        n_cells += np.bincount(part.indices, minlength=len(genes))
    total = len(cells.not_excluded())
    detected = np.flatnonzero(n_cells >= min_cells_share * total)
    if not len(detected):
        raise BenchError(
            f"no gene has counts in {min_cells_share:.2%} of the {total:,} cells",
            where="min_cells_share",
            fix=f"lower it; the most frequent gene is in {n_cells.max() / max(total, 1):.2%}",
        )
    return Genes(tuple(genes.ids[i] for i in detected), tuple(genes.symbols[i] for i in detected))


class _Cells:
    """The cells of several datasets as one, numbered through in the order given."""

    def __init__(self, stores: Sequence[CountStore], genes: Genes) -> None:
        if not stores:
            raise BenchError("there is no dataset", where="datasets", fix="give at least one")
        self._stores = list(stores)
        self._maps = [match(genes, store.var, min_share=0.0, where=store.name) for store in stores]
        self._first = np.cumsum([0, *(len(store) for store in stores)])
        self._genes = genes

    def __len__(self) -> int:
        return int(self._first[-1])

    def rows(self, index: NDArray[np.intp]) -> csr_matrix:
        """Counts of cells, whose numbers ascend, in the genes of the model."""
        bounds = np.searchsorted(index, self._first)
        parts = [
            gene_map.select(store.rows(index[a:b] - first))
            for store, gene_map, first, a, b in zip(
                self._stores, self._maps, self._first, bounds, bounds[1:], strict=False
            )
            if b > a
        ]
        return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")

    def in_order(self, index: NDArray[np.intp]) -> Iterator[csr_matrix]:
        """Counts of cells, some thousand at a time."""
        for start in range(0, len(index), _PASS):
            yield self.rows(index[start : start + _PASS])

    def not_excluded(self) -> NDArray[np.intp]:
        """Numbers of the cells that are not marked ``exclude``."""
        marks = [
            store.obs["exclude"].to_numpy(bool) if "exclude" in store.obs else np.zeros(len(store), bool)
            for store in self._stores
        ]
        return np.flatnonzero(~np.concatenate(marks))

    def usable(self) -> tuple[NDArray[np.intp], dict[str, int]]:
        """Numbers of the cells to train on, and how many were left out why."""
        cells = self.not_excluded()
        counted = np.concatenate([store.n_entries for store in self._stores])[cells] > 0
        for i, gene_map in enumerate(self._maps):
            if gene_map.matched == len(gene_map.target):
                continue
            of_store = np.flatnonzero((cells >= self._first[i]) & (cells < self._first[i + 1]) & counted)
            lengths = [np.diff(part.indptr) for part in self.in_order(cells[of_store])]
            counted[of_store] = np.concatenate(lengths) > 0 if lengths else False
        left_out = {"marked exclude": len(self) - len(cells), "without counts": int((~counted).sum())}
        return cells[counted], left_out
