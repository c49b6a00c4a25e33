"""Doublet problems: which cells, whose truth, which donors are tested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from bench.dataset import Dataset
from bench.errors import NotApplicableError
from bench.problem import Cells, Inputs, Notes, Problem
from bench.tasks._shared.donors import MIN_TESTED, donors_of, donors_to_test, take_rows, too_small, usable_cells
from bench.tasks._shared.few_genes import MIN_GENES, detected_genes, enough_genes, note_few_genes
from bench.tasks.doublet.invivo import label_clusters
from bench.tasks.doublet.simulate import MIN_CELLS, SIMULATED_RATE, Mode, simulate_doublets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.task import Seeds

#: Told to methods where the experimenter has not said what to expect: about 8 % of a 10x lane of 10,000 nuclei.
NOMINAL_RATE = 0.08

#: Track whose cells are made and chosen as in the official code.
PAPER = "simulated-paper"

MODES: dict[str, Mode] = {
    PAPER: "unrounded",
    "simulated": "mean",
    "simulated-sum": "sum",
    "simulated-depth": "depth",
}

_DOUBLET = "doublet"
_PARENTS = ["parent_type_a", "parent_type_b"]
_TYPES = ["cell_type", "subtype", "subcluster"]


@dataclass(frozen=True)
class _Labelled:
    """Cells with their truth: ``obs`` has donor, is_doublet, parent types and cell types, all cells x columns."""

    X: sparse.csr_matrix
    obs: pd.DataFrame
    notes: Notes


def make_problem(dataset: Dataset, track: str, seeds: Seeds) -> Problem:
    """The problem of one track (see :class:`bench.tasks.doublet.DoubletTask`)."""
    rate: float | None
    if track in MODES:
        labelled, rate = _simulated(dataset, MODES[track], seeds.simulation), SIMULATED_RATE
        if track == PAPER:
            labelled = _with_enough_genes(labelled)
        labelled.notes.append(f"methods are told the rate of the simulation, {rate:.1%}")
    else:
        labelled = _experimental(dataset) if track == "experimental" else _invivo(dataset, seeds.simulation)
        if track == "invivo":
            note_few_genes(detected_genes(labelled.X), labelled.X.shape[1], labelled.notes)
        rate = dataset.card.expected_doublet_rate
        if rate is None:
            rate = NOMINAL_RATE
            labelled.notes.append(f"expected doublet rate not known: methods are told the nominal {rate:.1%}")
        else:
            labelled.notes.append(f"methods are told the rate the dataset's card expects, {rate:.1%}")
    tested = donors_to_test(dataset, seeds.split)
    is_test = labelled.obs["donor"].isin(tested).to_numpy()
    if not is_test.any():
        raise NotApplicableError(f"no cell of the tested donors is left ({', '.join(sorted(tested))})")
    test = labelled.obs[is_test]
    if track in MODES and not test["is_doublet"].any():
        raise NotApplicableError(
            f"no tested donor ({', '.join(sorted(tested))}) has the {MIN_CELLS} cells that one simulated doublet takes"
        )
    if track == PAPER and test["is_doublet"].all():
        raise NotApplicableError(f"no singlet of the tested donors has {MIN_GENES} detected genes")
    small = sorted(too_small(donors_of(dataset)) - tested)
    if small:
        labelled.notes.append(f"donors with fewer than {MIN_TESTED} cells are not tested: {', '.join(small)}")
    notes = [*labelled.notes, _split_note(labelled.obs["donor"], is_test), _doublets_note(test)]
    cells = Cells(take_rows(labelled.X, is_test), _visible(test, rate), dataset.adata.var)
    train = None if is_test.all() else _train(labelled, ~is_test, dataset.adata.var)
    return Problem(Inputs(cells, train), _solution(test), tuple(notes))


def scramble(dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset | None:
    """The dataset with coin flips for the truth of the tested cells, or None where doublets are simulated.

    Flips rather than a permutation: an input that betrays the *number* of doublets would survive a permutation.
    Cluster-level labels that the harness makes are written into the dataset first, as if it had carried them.
    """
    if track in MODES:
        return None
    if track == "invivo" and not carries_cluster_labels(dataset):
        dataset = _with_cluster_labels(dataset, seeds.simulation)
    obs = dataset.adata.obs.copy()
    hidden = donors_of(dataset).isin(donors_to_test(dataset, seeds.split)).to_numpy()
    truth = obs["is_doublet"].to_numpy(dtype=bool).copy()
    truth[hidden] = rng.random(int(hidden.sum())) < 0.5
    obs["is_doublet"] = truth
    shuffled = rng.permutation(np.flatnonzero(hidden))
    for column in obs.columns.intersection([*_PARENTS, *_TYPES]):
        values = obs[column].astype(object).to_numpy().copy()
        values[hidden] = values[shuffled]
        obs[column] = values
    return Dataset(dataset.card, AnnData(X=dataset.adata.X, obs=obs, var=dataset.adata.var))


def _with_cluster_labels(dataset: Dataset, seed: int) -> Dataset:
    """The dataset with the labels the harness makes for ``invivo`` as its own."""
    labelled = _invivo(dataset, seed).obs["is_doublet"]
    obs = dataset.adata.obs.drop(columns=_PARENTS, errors="ignore")
    obs["is_doublet"] = labelled.reindex(obs.index, fill_value=False).to_numpy(dtype=bool)
    card = replace(dataset.card, truth="computational", fields=dataset.card.fields | {"is_doublet"})
    return Dataset(card, AnnData(X=dataset.adata.X, obs=obs, var=dataset.adata.var))


def carries_cluster_labels(dataset: Dataset) -> bool:
    """Return whether the dataset's own ``is_doublet`` is a computational (cluster-level) label."""
    return dataset.card.truth == "computational" and "is_doublet" in dataset.card.fields


def _labelled(dataset: Dataset, keep: NDArray[np.bool_], is_doublet: NDArray[np.bool_], notes: Notes) -> _Labelled:
    """Cells to keep, with the given truth and the dataset's types."""
    source = dataset.adata.obs[keep]
    obs = pd.DataFrame({"donor": donors_of(dataset)[keep], "is_doublet": is_doublet[keep]}, index=source.index)
    for column in source.columns.intersection([*_PARENTS, *_TYPES]):
        obs[column] = source[column].astype("string")
    return _Labelled(take_rows(dataset.adata.X, keep), obs, notes)


def _experimental(dataset: Dataset) -> _Labelled:
    notes: Notes = []
    if dataset.card.truth == "generative":
        notes.append("doublets are known because the dataset is simulated, not from an experiment")
    keep = usable_cells(dataset, notes)
    return _labelled(dataset, keep, dataset.adata.obs["is_doublet"].to_numpy(dtype=bool), notes)


def _invivo(dataset: Dataset, seed: int) -> _Labelled:
    notes: Notes = []
    keep = usable_cells(dataset, notes)
    if carries_cluster_labels(dataset):
        notes.append("cluster-level labels are the dataset's own")
        return _labelled(dataset, keep, dataset.adata.obs["is_doublet"].to_numpy(dtype=bool), notes)
    donor = donors_of(dataset)[keep].to_numpy()
    # Not hashed: replicate 0 is scanpy's default random state, which is how a published pipeline is run.
    labels = label_clusters(take_rows(dataset.adata.X, keep), donor, seed)
    truth = np.zeros(len(keep), dtype=bool)
    truth[keep] = labels.is_doublet
    notes.extend(labels.notes)
    if "is_doublet" in dataset.adata.obs and dataset.card.truth in ("experimental", "generative"):
        is_doublet = dataset.adata.obs["is_doublet"].to_numpy(dtype=bool)[keep]
        hits = int((is_doublet & labels.is_doublet).sum())
        notes.append(
            f"against the dataset's {dataset.card.truth} truth, {hits} of {labels.is_doublet.sum()} such cells "
            f"are doublets, out of {is_doublet.sum()} doublets"
        )
    labelled = _labelled(dataset, keep, truth, notes)
    return _Labelled(labelled.X, labelled.obs.drop(columns=_PARENTS, errors="ignore"), notes)


def _simulated(dataset: Dataset, mode: Mode, seed: int) -> _Labelled:
    notes: Notes = []
    keep = usable_cells(dataset, notes)
    obs = dataset.adata.obs
    if "is_doublet" in obs:
        real = obs["is_doublet"].to_numpy(dtype=bool)
        notes.append(f"{(keep & real).sum()} doublets of the dataset are left out")
        keep &= ~real
    else:
        notes.append("real doublets are not labelled in this dataset: some singlets may be doublets")
    if "cell_type" in obs:
        unnamed = obs["cell_type"].astype("string").str.lower().isin(["unidentified", _DOUBLET]).to_numpy(dtype=bool)
        if (keep & unnamed).any():
            notes.append(f"{(keep & unnamed).sum()} cells of type Unidentified or Doublet are left out")
        keep &= ~unnamed
    singlets = _labelled(dataset, keep, np.zeros(len(keep), dtype=bool), notes)
    singlets = _Labelled(singlets.X, singlets.obs.drop(columns=_PARENTS, errors="ignore"), notes)
    return _with_doublets(singlets, mode, dataset.card.digest, seed)


def _with_enough_genes(labelled: _Labelled) -> _Labelled:
    """Cells as the paper's code keeps them; it looks after the simulation, so parents may be left out."""
    keep = enough_genes(detected_genes(labelled.X), labelled.X.shape[1], labelled.notes)
    return _Labelled(take_rows(labelled.X, keep), labelled.obs[keep], labelled.notes)


def _with_doublets(singlets: _Labelled, mode: Mode, digest: str, seed: int) -> _Labelled:
    """Singlets followed by simulated doublets; the parents stay."""
    doublets = simulate_doublets(singlets.X, singlets.obs["donor"].to_numpy(), mode, digest=digest, seed=seed)
    small = (singlets.obs["donor"].value_counts() < MIN_CELLS).sum()
    if small:
        singlets.notes.append(f"{small} donors with fewer than {MIN_CELLS} cells yield no doublet")
    if not len(doublets.donor):
        raise NotApplicableError(f"no donor has {MIN_CELLS} singlets: there is nothing to make doublets from")
    names = [f"doublet-{i}-of-{donor}" for i, donor in enumerate(doublets.donor)]
    obs = pd.DataFrame({"donor": doublets.donor, "is_doublet": True}, index=pd.Index(names))
    for column, parent in zip(["parent_a", "parent_b"], doublets.parents.T, strict=True):
        obs[column] = singlets.obs.index[parent]
    if "cell_type" in singlets.obs:
        for column, parent in zip(_PARENTS, doublets.parents.T, strict=True):
            obs[column] = pd.array(singlets.obs["cell_type"].array[parent], dtype="string")
    both = pd.concat([singlets.obs, obs])
    if not both.index.is_unique:
        raise ValueError("a cell of the dataset has the name of a simulated doublet")
    X = sparse.vstack([singlets.X.astype(doublets.X.dtype, copy=False), doublets.X], format="csr")
    return _Labelled(X, both, singlets.notes)


def _visible(obs: pd.DataFrame, rate: float) -> pd.DataFrame:
    """Columns that a method sees of a tested cell besides its counts."""
    return pd.DataFrame({"donor": obs["donor"], "expected_doublet_rate": float(rate)}, index=obs.index)


def _train(labelled: _Labelled, rows: NDArray[np.bool_], var: pd.DataFrame) -> Cells:
    """Training cells with labels; all doublets have the same cell type, as in the paper."""
    obs = labelled.obs[rows]
    visible = obs[["donor", "is_doublet"]].copy()
    for column in obs.columns.intersection(_TYPES):
        visible[column] = obs[column].fillna("unknown").mask(obs["is_doublet"], _DOUBLET).astype(str).astype(object)
    return Cells(labelled.X[rows], visible, var)


def _solution(obs: pd.DataFrame) -> pd.DataFrame:
    """Truth of the tested cells; ``homotypic`` is missing for singlets and where a parent's type is not known."""
    columns = obs.reindex(columns=["is_doublet", "donor", "parent_a", "parent_b", *_PARENTS])
    solution = columns.astype({"parent_a": "string", "parent_b": "string", **dict.fromkeys(_PARENTS, "string")})
    same = (solution["parent_type_a"] == solution["parent_type_b"]).astype("boolean")
    solution["homotypic"] = same.where(solution["is_doublet"].to_numpy(dtype=bool))
    return solution


def _split_note(donor: pd.Series, is_test: NDArray[np.bool_]) -> str:
    tested, trained = sorted(donor[is_test].unique()), donor[~is_test].nunique()
    if trained == 0:
        return f"all cells belong to one donor or library ({', '.join(tested)}): all are tested, nothing to train on"
    return f"tested donors: {', '.join(tested)}; {trained} donors for training"


def _doublets_note(test: pd.DataFrame) -> str:
    """Number of doublets that the metrics rest on; their share is what chance reaches in AUPRC."""
    with_doublets = test.loc[test["is_doublet"], "donor"].nunique()
    n, n_doublets = len(test), int(test["is_doublet"].sum())
    return (
        f"{n_doublets:,} of {n:,} tested cells are doublets ({n_doublets / n:.1%}, the AUPRC of chance), "
        f"in {with_doublets} of {test['donor'].nunique()} tested donors or libraries"
    )
