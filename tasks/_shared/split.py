"""Training and tested cells: by a column of the dataset, the paper's donors, or a seeded donor split."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.errors import NotApplicableError
from bench.problem import Note, Notes
from bench.seeds import derive_seed
from bench.tasks._shared.donors import donor_column, donors_of, held_out_sets, nth_set, too_small
from bench.tasks._shared.labels import LEVELS
from bench.words import count, few

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from bench.dataset import Dataset

#: Of the training donors, this share (one at least, where three train) is proposed for validation.
_VALIDATION_SHARE = 0.15

#: Of each class, this share of cells is tested where donors are not told apart.
_TEST_SHARE = 0.3

_NAMES = {"train": "train", "valid": "validation", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Split:
    """Training and test cells (cells,), and how they came about."""

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    kind: Literal["donor", "cell"]
    validation_donors: tuple[str, ...] = ()
    notes: Notes = field(default_factory=list)


def split_cells(dataset: Dataset, seed: int) -> Split:
    """As many tested cells as the donor split of ``seed`` has, drawn at random from all donors."""
    apart = make_split(dataset, seed)
    cells = np.flatnonzero(apart.train | apart.test)
    rng = np.random.default_rng(derive_seed("annotation/any-cells", dataset.card.digest, seed))
    test = np.zeros(len(apart.test), dtype=bool)
    test[rng.permutation(cells)[: int(apart.test.sum())]] = True
    caveat = "cells are split on purpose, as many as the donor split tests: scores are too good, which is the point"
    return Split((apart.train | apart.test) & ~test, test, "cell", (), [Note(caveat, "warning")])


def make_split(dataset: Dataset, seed: int, *, leave_one_out: bool = False) -> Split:
    """The split of a dataset; it depends on donors (or the dataset's column) only, except where there is one donor.

    In order of precedence: the dataset's ``split`` column; leave one donor out, if that is the track; the scMamba
    paper's test donors, if the dataset has them all and ``seed`` is 0; a seeded donor split; a stratified split of
    cells where donors are not told apart.

    Raises
    ------
    bench.errors.NotApplicableError
        If there are no more sets of donors: one seed more would repeat one (:func:`n_splits`).
    """
    donor = donors_of(dataset).to_numpy()
    notes: Notes = []
    if leave_one_out:
        tested = _one_donor(donors_of(dataset), seed, notes)
    else:
        own_split = _split_of_dataset(dataset.adata.obs, donor, notes)
        if own_split is not None:
            return own_split
        if len(set(donor)) == 1:
            return _by_cell(dataset, seed, notes)
        tested = nth_set(_sets(dataset.adata.obs, dataset.card.digest), seed)
        if seed == 0:
            notes += _papers_donors(set(donor))[1]
    test = np.isin(donor.astype(str), sorted(tested))
    validation = _validation_donors(dataset, sorted(set(donor) - tested), seed)
    notes.append(f"tested donors: {few(sorted(tested))}; {count(len(set(donor) - tested), 'donor')} for training")
    if validation:
        notes.append(f"of these, proposed for validation: {', '.join(validation)}")
    return Split(~test, test, "donor", validation, notes)


def n_splits(obs: pd.DataFrame, digest: str, at_most: int, *, leave_one_out: bool = False) -> int:
    """Count the different splits that :func:`make_split` gives, ``at_most`` at most."""
    donor = donor_column(obs)
    if leave_one_out:
        return min(max(len(_left_out_in_turn(donor)), 1), at_most)
    if _split_of_dataset(obs, donor.to_numpy(), []) is not None:
        return 1
    if donor.nunique() == 1:
        return at_most
    return sum(1 for _ in islice(_sets(obs, digest), at_most))


def _sets(obs: pd.DataFrame, digest: str) -> Iterator[frozenset[str]]:
    """The paper's test donors, where they are all there, then those of every task."""
    papers, _ = _papers_donors(set(donor_column(obs)))
    if papers:
        yield papers
    yield from (tested for tested in held_out_sets(obs, digest) if tested != papers)


def _split_of_dataset(obs: pd.DataFrame, donor: NDArray[np.object_], notes: Notes) -> Split | None:
    """The dataset's own split, or None with a note if it has none that can be used."""
    if "split" not in obs:
        return None
    raw = obs["split"]
    text = raw.astype(object).where(raw.notna(), "").astype(str).str.strip()
    role = text.str.lower().map(_NAMES)
    unknown = sorted(set(text[role.isna()]) - {""})
    test, train = (role == "test").to_numpy(), role.isin(["train", "validation"]).to_numpy()
    straddling = sorted(set(donor[test]) & set(donor[train]))
    defect = ""
    if unknown:
        defect = f"it has values other than train, validation and test ({few(unknown)})"
    elif not (test.any() and train.any()):
        defect = "it does not have both train and test"
    elif straddling and len(set(donor)) > 1:
        defect = f"donors stand on both sides ({few(straddling)})"
    if defect:
        notes.append(Note(f"the dataset's split column is not used: {defect}", "warning"))
        return None
    validation = sorted(set(donor[(role == "validation").to_numpy()]) - set(donor[(role == "train").to_numpy()]))
    notes.append(f"split given by the dataset: {count(int(train.sum()), 'cell')} for training, {test.sum():,} tested")
    if role.isna().any():
        left_out = count(int(role.isna().sum()), "cell")
        notes.append(f"left out: {left_out} of which the split column says nothing")
    if straddling:
        caveat = "donors are not told apart: training and tested cells may be of the same individual"
        notes.append(Note(caveat, "warning"))
    return Split(train, test, "cell" if straddling else "donor", tuple(validation), notes)


def _papers_donors(donors: set[str]) -> tuple[frozenset[str], list[str]]:
    """The donors tested in the scMamba paper, if all of one study's are here, and a note that says so."""
    with (files(__package__) / "scmamba_2025_splits.json").open(encoding="utf-8") as stream:
        studies = json.load(stream)
    for study, facts in sorted(studies.items()):
        tested = frozenset(facts["test"])
        if tested < donors:
            note = f"split 0 tests the donors that the scMamba paper tests in {study}. {facts['note']}".strip()
            return tested, [note]
    return frozenset(), []


def _left_out_in_turn(donor: pd.Series) -> list[str]:
    """Donors that are left out one at a time: those with enough cells, where there are any."""
    return sorted(set(donor) - too_small(donor)) or sorted(set(donor))


def _one_donor(donor: pd.Series, seed: int, notes: Notes) -> frozenset[str]:
    names = _left_out_in_turn(donor)
    if donor.nunique() < 2:
        raise NotApplicableError("leaving one donor out takes two donors")
    notes.append(f"donor {seed + 1} of {len(names)} is left out")
    return nth_set((frozenset({name}) for name in names), seed)


def _validation_donors(dataset: Dataset, training: list[str], seed: int) -> tuple[str, ...]:
    if len(training) < 3:
        return ()
    rng = np.random.default_rng(derive_seed("annotation/validation", dataset.card.digest, seed))
    n = max(1, round(_VALIDATION_SHARE * len(training)))
    return tuple(sorted(rng.choice(np.array(training, dtype=object), size=n, replace=False).tolist()))


def _by_cell(dataset: Dataset, seed: int, notes: Notes) -> Split:
    """About 30 % of the cells of each finest class; a class with one cell trains."""
    obs = dataset.adata.obs
    levels = [level for level in LEVELS if level in obs]
    keys = obs[levels].astype(str).agg("\t".join, axis=1).to_numpy() if levels else np.full(len(obs), "")
    rng = np.random.default_rng(derive_seed("annotation/cells", dataset.card.digest, seed))
    test = np.zeros(len(obs), dtype=bool)
    for key in np.unique(keys):
        rows = rng.permutation(np.flatnonzero(keys == key))
        n = 0 if len(rows) < 2 else min(max(round(_TEST_SHARE * len(rows)), 1), len(rows) - 1)
        test[rows[:n]] = True
    notes.append(
        Note(
            "cell-level split: donors are not told apart, so cells of one individual stand on both sides and "
            "scores are too good",
            "warning",
        )
    )
    return Split(~test, test, "cell", (), notes)
