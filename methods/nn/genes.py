"""The genes that a model reads and their order, and the genes of a dataset laid out for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import csr_matrix

from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_VERSIONED = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+")


@dataclass(frozen=True)
class Genes:
    """Genes of a model or of a dataset, in order.

    Parameters
    ----------
    ids
        Ensembl IDs without version, or whatever the dataset names its genes by; unique.
    symbols
        One a gene; empty where unknown.
    """

    ids: tuple[str, ...]
    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.symbols):
            raise BenchError(
                f"{len(self.ids):,} IDs but {len(self.symbols):,} symbols",
                where="genes of a model",
                fix="give one symbol a gene, '' where it is not known",
            )
        repeated = [name for name, n in Counter(self.ids).items() if n > 1]
        if repeated:
            raise BenchError(
                f"{len(repeated):,} genes occur more than once (e.g. {', '.join(repeated[:3])})",
                where="genes of a model",
                fix="name every gene by an ID of its own",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, var: pd.DataFrame) -> Genes:
        """The genes of a dataset in ascending order of ID: the order is part of a model that scans along the genes.

        scMamba's global vocabulary is sorted this way (models.md of the paper's code, 3.3). A version (``.12``) at
        the end of Ensembl IDs is dropped where the IDs stay unique without it.
        """
        genes = _as_they_stand(var)
        order = sorted(range(len(genes)), key=genes.ids.__getitem__)
        return cls(tuple(genes.ids[i] for i in order), tuple(genes.symbols[i] for i in order))

    @classmethod
    def union(cls, parts: Sequence[Genes], *, min_share: float = 0.5) -> Genes:
        """All genes of several datasets in ascending order of ID; the first known symbol of each is kept.

        Raises
        ------
        bench.errors.BenchError
            If a dataset shares less than ``min_share`` of its genes (or of the others', if these are fewer) with
            those before it: one names its genes by ID and another by symbol, most likely.
        """
        symbol_of: dict[str, str] = {}
        for i, genes in enumerate(parts):
            shared = sum(name in symbol_of for name in genes.ids)
            if symbol_of and shared < min_share * min(len(symbol_of), len(genes)):
                raise BenchError(
                    f"the datasets hardly share genes: {shared:,} of the {len(genes):,} genes of dataset {i + 1} are "
                    f"among the {len(symbol_of):,} of those before it; named like {_examples(genes.ids)} and like "
                    f"{_examples(symbol_of)}",
                    where="genes of the datasets",
                    fix="give all datasets Ensembl IDs of one organism as gene names",
                )
            for name, symbol in zip(genes.ids, genes.symbols, strict=True):
                symbol_of[name] = symbol_of.get(name) or symbol
        return cls(tuple(sorted(symbol_of)), tuple(symbol_of[name] for name in sorted(symbol_of)))


@dataclass(frozen=True)
class GeneMap:
    """Place in a dataset of each gene of a model; made by :func:`match`.

    Parameters
    ----------
    target
        (data genes,): position of each among the model's genes, -1 for those that the model does not read.
    n_genes
        Genes of the model.
    by
        Whether genes were recognised by ID or by symbol.
    """

    target: NDArray[np.int32]
    n_genes: int
    by: Literal["id", "symbol"]

    @cached_property
    def matched(self) -> int:
        """Genes of the model that the data have."""
        return int((self.target >= 0).sum())

    @property
    def share(self) -> float:
        """Share of the model's genes that the data have."""
        return self.matched / self.n_genes if self.n_genes else 0.0

    @cached_property
    def _as_they_stand(self) -> bool:
        return bool(np.array_equal(self.target, np.arange(self.n_genes)))

    @cached_property
    def _in_order(self) -> bool:
        return bool((np.diff(self.target[self.target >= 0]) > 0).all())

    def select(self, counts: csr_matrix) -> csr_matrix:
        """Counts (cells, data genes) as (cells, model genes); genes that the data lack are 0, others are left out."""
        if counts.shape[1] != len(self.target):
            raise BenchError(
                f"counts of {counts.shape[1]:,} genes, matched were {len(self.target):,}",
                where="genes of a model",
                fix="match the genes of these very data",
            )
        if self._as_they_stand:
            return counts
        column, data, indptr = self.target[counts.indices], counts.data, counts.indptr
        if self.matched < len(self.target):
            entries = np.flatnonzero(column >= 0)
            column, data, indptr = column[entries], data[entries], np.searchsorted(entries, indptr)
        selected = csr_matrix((data, column, indptr), shape=(counts.shape[0], self.n_genes))
        if not self._in_order:
            selected.sort_indices()
        return selected


def match(model: Genes, data: Genes | pd.DataFrame, *, min_share: float = 0.5, where: str = "") -> GeneMap:
    """Find the genes of a model in data, by ID, or by symbol where this finds more.

    A symbol that several genes of the model or of the data share is not used.

    Parameters
    ----------
    data
        Genes of the data in the order of their columns, or ``var``.
    min_share
        Share of the model's genes that must be found.
    where
        What the data are called in an error.

    Raises
    ------
    bench.errors.BenchError
        If fewer are found, with examples of both kinds of names.
    """
    genes = data if isinstance(data, Genes) else _as_they_stand(data)
    by_id = GeneMap(_positions(model.ids, genes.ids), len(model), "id")
    by_symbol = GeneMap(_positions(_symbols(model), _symbols(genes)), len(model), "symbol")
    best = by_symbol if by_symbol.matched > by_id.matched else by_id
    if best.share < min_share or not best.matched:
        raise BenchError(
            f"{best.matched:,} of the model's {len(model):,} genes are in the data ({best.share:.0%}); at least "
            f"{min_share:.0%} are needed. The model's genes are named like {_examples(model.ids)} "
            f"(symbols: {_examples(model.symbols)}), those of the data like {_examples(genes.ids)} "
            f"(symbols: {_examples(genes.symbols)})",
            where=where,
            fix="give the data Ensembl IDs or gene symbols of the organism that the model was trained on",
        )
    return best


def _as_they_stand(var: pd.DataFrame) -> Genes:
    """Genes in the order of ``var``. A symbol that only repeats the ID is no symbol."""
    names = [str(name) for name in var.index]
    bare = [versioned.group(1) if (versioned := _VERSIONED.fullmatch(name)) else name for name in names]
    ids = bare if len(set(bare)) == len(bare) else names
    column = var["symbol"].astype(object).where(var["symbol"].notna(), "") if "symbol" in var else [""] * len(ids)
    symbols = ("" if str(symbol) == name else str(symbol) for symbol, name in zip(column, names, strict=True))
    return Genes(tuple(ids), tuple(symbols))


def _symbols(genes: Genes) -> list[str]:
    """Names that may be symbols: data without a column of symbols often name their genes by them."""
    names = [symbol or name for name, symbol in zip(genes.ids, genes.symbols, strict=True)]
    times = Counter(names)
    return [name if times[name] == 1 else "" for name in names]


def _positions(model: Iterable[str], data: Iterable[str]) -> NDArray[np.int32]:
    at = {name: i for i, name in enumerate(model) if name}
    return np.array([at.get(name, -1) for name in data], dtype=np.int32)


def _examples(names: Iterable[str]) -> str:
    return ", ".join([name for name in names if name][:3]) or "none"
