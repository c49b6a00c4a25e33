"""A small dataset that the tasks of this package can be asked on, and their problems on it."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from bench.dataset import Dataset, DatasetCard
from bench.develop.conformance import default_track
from bench.errors import BenchError
from bench.plan.grid import check_tracks
from bench.plan.registry import Registry
from bench.problem import Problem
from bench.task import Seeds

#: Type -> subtypes; each of these has two subclusters.
_TYPES = {"neuron": ("excitatory", "inhibitory"), "glia": ("astrocyte", "microglia")}
#: Share of droplets that hold two nuclei.
_DOUBLETS = 0.1
#: Counts of a nucleus, from and to: all are deep enough for each task.
_DEPTH = (5000, 9000)
#: Log2 fold change of the genes that the disease changes, and the type that it changes them in.
_LOG2FC, _ILL = 1.0, "neuron"
#: Level of labels -> how much its labels differ in a gene (standard deviation of the logarithm).
_SPREAD = {"cell_type": 1.0, "subtype": 0.7, "subcluster": 0.5}

Floats = NDArray[np.float64]


def toy_dataset(*, n_donors: int = 6, cells_per_donor: int = 60, n_genes: int = 120, seed: int = 0) -> Dataset:
    """Simulate a small study of deep nuclei; the same arguments give the same data.

    It serves every track of the tasks that come with this package. Of its cells it tells the donor, the condition
    (``control`` and ``disease`` in turn by donor), one of two batches, cell type, subtype and subcluster, and which
    droplets hold two nuclei, of which types; ``uns["disease_effects"]`` tells which genes the disease changes.

    Parameters
    ----------
    n_donors
        Number of donors.
    cells_per_donor
        Droplets of each donor. With fewer than 50 a donor is not tested where others have more.
    n_genes
        Number of genes, 40 at least.
    seed
        Of all random numbers.
    """
    if n_donors < 1 or cells_per_donor < 1 or n_genes < 40:
        raise BenchError(
            f"no toy dataset has {n_donors} donors, {cells_per_donor} cells a donor and {n_genes} genes",
            where="bench.testing.toy_dataset",
            fix="ask for one donor, one cell and 40 genes at least",
        )
    rng = np.random.default_rng(seed)
    n = n_donors * cells_per_donor
    genes = pd.Index([f"ENSG{i:011d}" for i in range(n_genes)])
    kinds = _kinds()
    donor, (kind, other) = np.arange(n) // cells_per_donor, rng.integers(len(kinds), size=(2, n))
    doublet, case = rng.random(n) < _DOUBLETS, donor % 2 == 1
    changed = rng.choice(n_genes, n_genes // 20, replace=False)
    rates = _rates(kinds, n_genes, rng)
    cell_type = kinds["cell_type"].to_numpy()
    first, second = (_profiles(rates[k], case & (cell_type[k] == _ILL), changed) for k in (kind, other))
    depth = rng.uniform(*_DEPTH, size=(2, n, 1))
    counts = rng.poisson(first * depth[0]) + doublet[:, None] * rng.poisson(second * depth[1])
    obs = pd.DataFrame(
        {
            "donor": np.char.add("donor", donor.astype(str)),
            "condition": np.where(case, "disease", "control"),
            "batch": np.where(np.arange(n) % 2, "batch1", "batch2"),
            **{level: np.where(doublet, "Doublet", kinds[level].to_numpy()[kind]) for level in kinds},
            "is_doublet": doublet,
            "parent_type_a": np.where(doublet, cell_type[kind], None),
            "parent_type_b": np.where(doublet, cell_type[other], None),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    var = pd.DataFrame({"symbol": [f"GENE{i}" for i in range(n_genes)]}, index=genes)
    effects = pd.DataFrame({"arm": "disease", "cell_type": _ILL, "ensembl": genes[changed], "log2fc": _LOG2FC})
    recipe = f"bench.testing.toy_dataset {n_donors} {cells_per_donor} {n_genes} {seed}"
    card = DatasetCard(
        name="toy",
        summary="A small simulated study for tests.",
        digest=hashlib.sha256(recipe.encode()).hexdigest(),
        fields=frozenset(obs.columns),
        truth="generative",
        n_cells=n,
        n_genes=n_genes,
        n_donors=n_donors,
        n_values={column: int(values.nunique()) for column, values in obs.items() if values.dtype != bool}
        | {"is_doublet": int(doublet.sum())},
        expected_doublet_rate=_DOUBLETS,
    )
    adata = AnnData(sparse.csr_matrix(counts.astype(np.int32)), obs=obs, var=var, uns={"disease_effects": effects})
    return Dataset(card, adata)


def toy_problem(
    task: str, track: str | None = None, *, dataset: Dataset | None = None, seeds: Seeds | None = None
) -> Problem:
    """A task's problem, to call a method or a metric on.

    ``Method.run`` is given the same cells under other names and in another order, and ln(1 + counts per 10,000) where
    the method declares that layer; here are the counts.

    Parameters
    ----------
    task
        Name of an installed task.
    track
        One of its tracks. Default: the first that is run by default and that the dataset serves.
    dataset
        Default: :func:`toy_dataset`.
    seeds
        Replicates of split and simulation; the first by default.

    Raises
    ------
    BenchError
        If there is no such task or track, or the dataset does not serve it.
    """
    of_task, data = Registry().task(task), dataset or toy_dataset()
    check_tracks(of_task, [track] if track else [])
    chosen = track or default_track(of_task, data.card)
    if reason := of_task.why_not(data.card, chosen):
        raise BenchError(reason, where=f"dataset {data.card.name}, track {task}/{chosen}", fix="give another dataset")
    return of_task.make_problem(data, chosen, seeds or Seeds())


def _kinds() -> pd.DataFrame:
    """The levels of a label, a row each subcluster."""
    return pd.DataFrame(
        [
            (cell_type, subtype, f"{subtype}-{i}")
            for cell_type, subtypes in _TYPES.items()
            for subtype in subtypes
            for i in (1, 2)
        ],
        columns=list(_SPREAD),
    )


def _rates(kinds: pd.DataFrame, n_genes: int, rng: np.random.Generator) -> Floats:
    """(kinds, genes): expression, alike within a label; a gene in five belongs to one type alone."""
    rates: Floats = np.tile(rng.gamma(0.6, 1.0, n_genes), (len(kinds), 1))
    for level, spread in _SPREAD.items():
        codes, labels = pd.factorize(kinds[level])
        rates *= np.exp(rng.normal(0, spread, (len(labels), n_genes)))[codes]
    mark = rng.integers(5 * len(_TYPES), size=n_genes)
    rates[(mark < len(_TYPES)) & (mark != pd.factorize(kinds["cell_type"])[0][:, None])] = 0
    return rates


def _profiles(rates: Floats, ill: NDArray[np.bool_], changed: NDArray[np.intp]) -> Floats:
    """(cells, genes): share of each gene in the counts of a nucleus."""
    rates[np.ix_(ill, changed)] *= 2**_LOG2FC
    shares: Floats = rates / rates.sum(axis=1, keepdims=True)
    return shares
