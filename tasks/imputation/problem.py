"""Imputation problems: counts that masking rounds hide, or that were lost before anybody looked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from bench.errors import NotApplicableError
from bench.normalise import CP10K, log1p_cp10k, totals
from bench.problem import Cells, Inputs, Notes, Problem, Rounds
from bench.seeds import derive_seed
from bench.tasks._shared.donors import donors_of, usable_cells
from bench.tasks._shared.few_genes import MIN_GENES, detected_genes, enough_genes
from bench.tasks._shared.split import make_split
from bench.tasks.imputation.masks import N_GROUPS, groups, only, pattern, truth
from bench.tasks.imputation.thin import KEPT, more_lost, thin, with_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bench.dataset import Dataset
    from bench.problem import Json
    from bench.task import Seeds

#: Track whose values are normalised before masking, as in the official code.
PAPER = "nonzero-paper"

#: Fewest counts of a cell that is asked for (scMamba, section 4.3: its metadata_imputation.csv).
MIN_COUNTS = 4000

#: Values of the dense answers to a dropout problem: beyond, a seeded draw of cells is tested.
MOST_VALUES = 20_000_000

#: Labels (in lower case) of cells that the paper leaves out of imputation.
_LEFT_OUT = ("doublet", "unidentified")


@dataclass(frozen=True)
class Chosen:
    """Positions of training and tested cells in the dataset, and facts of the split."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    info: dict[str, Json]
    notes: Notes


def make_problem(dataset: Dataset, track: str, seeds: Seeds) -> Problem:
    """The problem of one track (see :class:`bench.tasks.imputation.ImputationTask`)."""
    if track == "dropout":
        return _dropout(dataset, seeds)
    return _nonzero(dataset, seeds, full_library=track == PAPER)


def scramble(dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset | Iterator[Dataset]:
    """The dataset with hidden values changed: for ``nonzero``, a dataset a masking round."""
    if track == "dropout":
        return _scramble_dropout(dataset, seeds, rng)
    return _scramble_rounds(dataset, seeds, rng, keep_total=track == PAPER)


def _nonzero(dataset: Dataset, seeds: Seeds, *, full_library: bool) -> Problem:
    chosen = _choose(dataset, seeds, MIN_COUNTS, "")
    X = _counts(dataset)
    if full_library:
        chosen = _as_the_paper_keeps(chosen, detected_genes(X), X.shape[1])
    tested = X[chosen.test]
    few = np.diff(tested.indptr) < N_GROUPS
    if few.any():
        chosen.notes.append(f"{few.sum():,} cells with fewer than {N_GROUPS} detected genes are not tested")
        chosen = replace(chosen, test=chosen.test[~few])
        tested = tested[~few]
    if not len(chosen.test):
        needed = MIN_GENES if full_library else N_GROUPS
        raise NotApplicableError(f"no deep cell has {needed} detected genes to hide in turn")
    obs = _obs(dataset, chosen.test)
    if full_library:
        obs["library_size"] = totals(tested)
    train = _train(dataset, chosen, X[chosen.train])
    group, var = groups(tested), dataset.adata.var

    def masking_round(k: int) -> Inputs:
        hidden = group == k
        visible, mask = only(tested, ~hidden), pattern(only(tested, hidden))
        return Inputs(Cells(visible, obs, var), train, chosen.info, mask)

    notes = [*chosen.notes, *_unseen_genes(train, tested)]
    rounds = Rounds(N_GROUPS, masking_round)
    truths = {"expression": truth(tested, full_library=full_library)}
    return Problem(rounds[0], _solution(dataset, chosen.test), tuple(notes), rounds, truths)


def _as_the_paper_keeps(chosen: Chosen, detected: NDArray[np.int64], n_genes: int) -> Chosen:
    """Without the cells that its code leaves out for their few genes."""
    enough = enough_genes(detected[np.append(chosen.train, chosen.test)], n_genes, chosen.notes)
    n_train = len(chosen.train)
    return replace(chosen, train=chosen.train[enough[:n_train]], test=chosen.test[enough[n_train:]])


def _dropout(dataset: Dataset, seeds: Seeds) -> Problem:
    chosen = _dropout_cells(dataset, seeds)
    X, simulated = _counts(dataset), dataset.expected is not None
    if simulated:
        assert dataset.expected is not None
        visible, learned = X[chosen.test], X[chosen.train]
        hidden = expected_log(dataset, chosen.test)
        chosen.notes.append("truth: the simulator's expected counts, before soup, noise and loss")
    else:
        seed = _thin_seed(dataset, seeds)
        visible, learned = (thin(X, rows, seed) for rows in (chosen.test, chosen.train))
        hidden = log1p_cp10k(X[chosen.test])
        chosen.notes.append(
            f"training and tested cells keep each molecule with probability {KEPT:g}; truth: all of them"
        )
    empty = totals(visible) == 0
    if empty.any():
        chosen.notes.append(f"{empty.sum():,} cells without a count left are not tested")
        visible, hidden = visible[~empty], hidden[~empty]
    if not visible.shape[0]:
        raise NotApplicableError("no tested cell has counts")
    test = chosen.test[~empty]
    train = _train(dataset, chosen, learned)
    inputs = Inputs(Cells(visible, _obs(dataset, test), dataset.adata.var), train, chosen.info)
    solution = _solution(dataset, test).assign(truth="expected" if simulated else "thinned")
    return Problem(inputs, solution, (*chosen.notes, *_unseen_genes(train, visible)), truth={"expression": hidden})


def expected_log(dataset: Dataset, rows: NDArray[np.intp]) -> sparse.csr_matrix:
    """ln(1 + CP10K) of the expected counts at ``rows``, every gene stored."""
    assert dataset.expected is not None
    n_genes = dataset.adata.n_vars
    values = np.empty((len(rows), n_genes), np.float32)
    for start in range(0, len(rows), 256):
        part = dataset.expected(rows[start : start + 256])
        values[start : start + 256] = np.log1p(part / part.sum(axis=1, keepdims=True) * CP10K)
    columns = np.tile(np.arange(n_genes, dtype=np.int32), len(rows))
    return sparse.csr_matrix((values.ravel(), columns, np.arange(len(rows) + 1) * n_genes), shape=values.shape)


def _choose(dataset: Dataset, seeds: Seeds, fewest: int, why: str) -> Chosen:
    """Training cells at any depth; tested cells with ``fewest`` counts or more."""
    notes: Notes = []
    keep = usable_cells(dataset, notes) & ~_left_out(dataset, notes)
    split = make_split(dataset, seeds.split)
    notes += split.notes
    depth = totals(dataset.adata.X)
    tested = split.test & keep
    test, train = np.flatnonzero(tested & (depth >= fewest)), np.flatnonzero(split.train & keep & (depth > 0))
    if not len(test):
        highest = f"{depth[tested].max():,.0f}" if tested.any() else "none"
        raise NotApplicableError(
            f"no tested cell has {fewest:,} counts: the highest depth is {highest}{why}",
            where=f"dataset {dataset.card.name}, {tested.sum():,} cells of the tested donors",
        )
    if fewest > 0:
        notes.append(f"{len(test):,} of {tested.sum():,} cells of tested donors have {fewest:,} counts and are tested")
    info: dict[str, Json] = {
        "split": split.kind,
        "min_counts": fewest,
        "validation_donors": [name for name in split.validation_donors if name in set(donors_of(dataset).iloc[train])],
    }
    return Chosen(train, test, info, notes)


def _dropout_cells(dataset: Dataset, seeds: Seeds) -> Chosen:
    simulated = dataset.expected is not None
    why = "" if simulated else "; thinning needs deep cells, and the truth of these counts is not known otherwise"
    chosen = _choose(dataset, seeds, 0 if simulated else MIN_COUNTS, why)
    most = max(1, MOST_VALUES // dataset.adata.n_vars)
    if len(chosen.test) > most:
        rng = np.random.default_rng(derive_seed("imputation/cells", dataset.card.digest, seeds.split))
        test = np.sort(rng.choice(chosen.test, size=most, replace=False))
        chosen.notes.append(f"{most:,} of {len(chosen.test):,} cells, drawn by a seed, are tested: answers are dense")
        return replace(chosen, test=test)
    return chosen


def _left_out(dataset: Dataset, notes: Notes) -> NDArray[np.bool_]:
    """Known doublets, and cells whose label says that they are doublets or of no type, as in the paper."""
    obs = dataset.adata.obs
    out = np.zeros(len(obs), dtype=bool)
    if "is_doublet" in obs:
        out |= obs["is_doublet"].to_numpy(dtype=bool)
    if "cell_type" in obs:
        out |= obs["cell_type"].astype(str).str.strip().str.lower().isin(_LEFT_OUT).to_numpy()
    if out.any():
        notes.append(f"{out.sum():,} cells are left out: doublets, or labelled as unidentified")
    return out


def _counts(dataset: Dataset) -> sparse.csr_matrix:
    """The counts with sorted indices and no stored zeros, which decide the groups."""
    X = dataset.adata.X
    if X.has_sorted_indices and (not X.nnz or X.data.min() > 0):
        return X
    X = X.copy()
    X.eliminate_zeros()
    X.sort_indices()
    return X


def _obs(dataset: Dataset, rows: NDArray[np.intp]) -> pd.DataFrame:
    """Columns that are shown of cells: ``donor`` and, where known, ``batch``."""
    obs = dataset.adata.obs
    table = pd.DataFrame({"donor": donors_of(dataset).iloc[rows]}, index=obs.index[rows])
    if "batch" in obs:
        table["batch"] = obs["batch"].iloc[rows].astype(str).astype(object)
    return table


def _train(dataset: Dataset, chosen: Chosen, X: sparse.csr_matrix) -> Cells | None:
    """Training cells that have counts; none where no donor is left to train on."""
    filled = totals(X) > 0
    if not filled.any():
        return None
    return Cells(X[filled], _obs(dataset, chosen.train[filled]), dataset.adata.var)


def _solution(dataset: Dataset, rows: NDArray[np.intp]) -> pd.DataFrame:
    """``donor``, ``umi`` (counts of the cell) and, where known, ``batch`` and ``cell_type``."""
    solution = _obs(dataset, rows)
    solution["umi"] = totals(dataset.adata.X[rows])
    if "cell_type" in dataset.adata.obs:
        solution["cell_type"] = dataset.adata.obs["cell_type"].iloc[rows].astype(object)
    return solution


def _unseen_genes(train: Cells | None, tested: sparse.csr_matrix) -> list[str]:
    if train is None:
        return ["there are no training cells: methods have the tested cells only"]
    in_training = np.bincount(train.X.indices, minlength=tested.shape[1]) > 0
    unseen = ~in_training[tested.indices]
    n_genes = len(np.unique(tested.indices[unseen]))
    if not n_genes:
        return []
    return [f"{n_genes:,} genes of tested cells ({unseen.mean():.2%} of their counts' entries) are in no training cell"]


def _thin_seed(dataset: Dataset, seeds: Seeds) -> int:
    return derive_seed("imputation/thinning", dataset.card.digest, seeds.simulation)


def _scramble_rounds(
    dataset: Dataset, seeds: Seeds, rng: np.random.Generator, *, keep_total: bool
) -> Iterator[Dataset]:
    """For each masking round, its masked counts permuted within their cell and, unless the total is told, raised too.

    Raised only, so that no cell loses its 4,000 counts: that a tested cell has them is no secret, nor which genes are
    detected in it (the mask tells).
    """
    rows = _choose(dataset, seeds, MIN_COUNTS, "").test
    X = _counts(dataset)
    for k in range(N_GROUPS):
        counts = X[rows].copy()
        hidden = np.flatnonzero(groups(counts) == k)
        cell = np.repeat(np.arange(len(rows)), np.diff(counts.indptr))[hidden]
        shuffled = hidden[np.lexsort((rng.random(len(hidden)), cell))]
        counts.data[hidden] = counts.data[shuffled] + (0 if keep_total else rng.geometric(0.3, len(hidden)))
        yield _with_counts(dataset, with_rows(X, rows, counts))


def _scramble_dropout(dataset: Dataset, seeds: Seeds, rng: np.random.Generator) -> Dataset:
    """Another expectation for every cell; or further molecules that thinning loses."""
    if dataset.expected is not None:
        expected, other = dataset.expected, rng.permutation(dataset.adata.n_obs)
        return replace(dataset, expected=lambda rows: expected(other[rows]))
    rows = _dropout_cells(dataset, seeds).test
    return _with_counts(dataset, more_lost(_counts(dataset), rows, _thin_seed(dataset, seeds), rng))


def _with_counts(dataset: Dataset, X: sparse.csr_matrix) -> Dataset:
    return replace(dataset, adata=AnnData(X=X, obs=dataset.adata.obs, var=dataset.adata.var))
