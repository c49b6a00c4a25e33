"""Annotation problems: labelled training cells, and cells of other donors whose labels are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from bench.dataset import Dataset
from bench.errors import DataError, NotApplicableError
from bench.problem import Cells, Inputs, Note, Notes, Problem
from bench.tasks._shared.donors import donors_of
from bench.tasks._shared.few_genes import detected_genes, note_few_genes
from bench.tasks._shared.labels import LEVELS, UNASSIGNED, parents, resolve
from bench.tasks._shared.split import Split, make_split, split_cells
from bench.words import few

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Json
    from bench.task import Seeds

#: Track -> label level it asks for.
TRACK_LEVEL = {"celltype": "cell_type", "subtype": "subtype", "subcluster": "subcluster"}

#: Suffix of the tracks that leave one donor out.
LODO = "-lodo"

#: Suffix of the tracks that split cells where donors could be split.
CELLS = "-cells"


def level_of(track: str) -> str:
    """The label level of a track."""
    return TRACK_LEVEL[track.removesuffix(LODO).removesuffix(CELLS)]


def split_of(dataset: Dataset, track: str, seed: int) -> Split:
    """Training and tested cells of a track."""
    if track.endswith(CELLS):
        return split_cells(dataset, seed)
    return make_split(dataset, seed, leave_one_out=track.endswith(LODO))


def make_problem(dataset: Dataset, track: str, seeds: Seeds) -> Problem:
    """The problem of one track (see :class:`bench.tasks.annotation.AnnotationTask`)."""
    level = level_of(track)
    split = split_of(dataset, track, seeds.split)
    labels = resolve(dataset, level, split.train)
    train, test = split.train & labels.keep, split.test & labels.keep
    classes = _classes(labels.table.loc[train, level], test)
    obs, donor = dataset.adata.obs, donors_of(dataset)
    train_obs = pd.DataFrame({"donor": donor[train], "label": labels.table.loc[train, level]}, index=obs.index[train])
    info: dict[str, Json] = {
        "classes": list(classes),
        "level": level,
        "unassigned": UNASSIGNED,
        "split": split.kind,
        "weak_labels": dataset.card.weak_labels,
        "validation_donors": [name for name in split.validation_donors if name in set(donor[train])],
        "parents": {coarser: dict(parent_of) for coarser, parent_of in parents(labels.table[train], level).items()},
    }
    X, var = dataset.adata.X, dataset.adata.var
    inputs = Inputs(
        Cells(X[test], pd.DataFrame({"donor": donor[test]}, index=obs.index[test]), var),
        Cells(X[train], train_obs.astype(object), var),
        info,
    )
    solution = _solution(labels.table[test], level, donor[test], classes)
    weak = dataset.card.weak_labels
    notes: Notes = [Note(weak, "warning")] if weak else []
    note_few_genes(detected_genes(X)[train | test], X.shape[1], labels.notes)
    notes += [*labels.notes, *split.notes, *_warnings(inputs, solution, dataset, train, test)]
    return Problem(inputs, solution, tuple(notes))


def scramble(dataset: Dataset, track: str, seeds: Seeds, rng: np.random.Generator) -> Dataset:
    """The dataset with labels of the tested cells drawn anew from each other's, levels together.

    Which cells take part stays: having a label at all is no secret. So does the split, which is written into the
    dataset: where cells rather than donors are split, it is stratified by label.
    """
    split = split_of(dataset, track, seeds.split)
    labels = resolve(dataset, level_of(track), split.train)
    hidden = np.flatnonzero(split.test & labels.keep)
    obs = dataset.adata.obs.copy()
    drawn = rng.choice(hidden, size=len(hidden))
    for level in obs.columns.intersection(LEVELS):
        values = obs[level].astype(object).to_numpy().copy()
        values[hidden] = values[drawn]
        obs[level] = values
    if split.kind == "cell" and not track.endswith(CELLS):  # which does not hang on labels
        obs["split"] = np.select([split.test, split.train], ["test", "train"], default="")
    return Dataset(dataset.card, AnnData(X=dataset.adata.X, obs=obs, var=dataset.adata.var))


def _classes(labels: pd.Series, test: NDArray[np.bool_]) -> list[str]:
    """The label set methods are told: that of the training cells."""
    classes = sorted(labels.unique())
    if len(classes) < 2:
        raise NotApplicableError(f"the training cells have {len(classes)} classes: there is nothing to tell apart")
    if not test.any():
        raise NotApplicableError("no cell of the tested donors has a usable label")
    if "cell" in classes:
        raise DataError("a class is named 'cell', as the column of cell names is", fix="give the class another name")
    return classes


def _solution(table: pd.DataFrame, level: str, donor: pd.Series, classes: list[str]) -> pd.DataFrame:
    """Truth of the tested cells: ``label``, ``donor``, ``seen`` (in training), and the coarser levels."""
    solution = pd.DataFrame({"label": table[level].astype(str), "donor": donor}, index=table.index)
    solution["seen"] = solution["label"].isin(classes).to_numpy()
    for coarser in table.columns[table.columns != level]:
        solution[coarser] = table[coarser].astype(str)
    return solution


def _warnings(
    inputs: Inputs, solution: pd.DataFrame, dataset: Dataset, train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> Notes:
    """List what makes the numbers of this problem weaker than they look."""
    assert inputs.train is not None
    training = inputs.train.obs
    n_classes = training["label"].nunique()
    notes: Notes = [f"{len(training):,} training cells of {n_classes} classes, {len(solution):,} tested cells"]
    unseen = solution.loc[~solution["seen"], "label"].value_counts()
    if len(unseen):
        named = [f"{name} ({n})" for name, n in sorted(unseen.items())]
        notes.append(
            Note(
                f"classes of tested cells (their number) without any training cell, so nobody can name them: "
                f"{few(named)}",
                "warning",
            )
        )
    absent = sorted(set(training["label"]) - set(solution["label"]))
    if absent:
        notes.append(Note(f"classes that no tested cell has (left out of the macro mean): {few(absent)}", "warning"))
    size = training["label"].value_counts()
    single = sorted(size.index[size == 1])
    if single:
        notes.append(Note(f"classes with one training cell: {few(single)}", "warning"))
    if inputs.info["split"] == "donor":
        donors = training.groupby("label")["donor"].nunique()
        narrow = sorted(set(donors.index[donors == 1]) - set(single)) if training["donor"].nunique() > 1 else []
        if narrow:
            notes.append(Note(f"classes whose training cells come from one donor only: {few(narrow)}", "warning"))
        notes += _conditions(dataset, train, test)
    return notes + _genes(inputs)


def _conditions(dataset: Dataset, train: NDArray[np.bool_], test: NDArray[np.bool_]) -> list[Note]:
    if "condition" not in dataset.adata.obs:
        return []
    condition = dataset.adata.obs["condition"].astype(str)
    tested, all_of_them = sorted(condition[test].unique()), sorted(condition[train | test].unique())
    if len(all_of_them) > 1 and len(tested) == 1:
        return [Note(f"all tested donors are of one condition, {tested[0]} (of {', '.join(all_of_them)})", "warning")]
    return []


def _genes(inputs: Inputs) -> list[Note]:
    """Genes that only the tested cells have."""
    assert inputs.train is not None
    in_train, in_test = (np.bincount(X.indices, minlength=X.shape[1]) > 0 for X in (inputs.train.X, inputs.cells.X))
    missing = int((in_test & ~in_train).sum())
    share = missing / max(int(in_test.sum()), 1)
    text = f"{missing:,} genes are detected in tested cells only ({share:.1%} of theirs)"
    return [Note(text, "warning" if share > 0.1 else "info")] if missing else []
