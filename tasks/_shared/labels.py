"""The cells that have a label to learn or to predict, at which level, and what is odd about the labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bench.dataset import without_label
from bench.errors import NotApplicableError
from bench.problem import Note, Notes
from bench.tasks._shared.donors import usable_cells
from bench.words import few

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.dataset import Dataset

#: Label levels from coarse to fine.
LEVELS = ("cell_type", "subtype", "subcluster")

#: The answer of a method that declines; no class may have this name.
UNASSIGNED = "unassigned"

#: Labels (in lower case) that name no type by the scMamba paper's rule; the usual words for "not labelled" join them.
NO_TYPE = frozenset(
    {"doublet", "unidentified", "double_negative_neuron", "double_positive_neuron", "gnly_cd44_myeloid_sub1"}
)


@dataclass(frozen=True)
class Labels:
    """Labels of all cells of a dataset.

    Parameters
    ----------
    table
        Cells x levels from ``cell_type`` down to the track's: text, missing where a cell has no label there.
    keep
        (cells,): whether a cell takes part.
    notes
        What was left out or looks odd.
    """

    table: pd.DataFrame
    keep: NDArray[np.bool_]
    notes: Notes


def levels_of(dataset: Dataset, level: str) -> list[str]:
    """The dataset's label levels from the coarsest to ``level``."""
    upto = LEVELS[: LEVELS.index(level) + 1]
    return [name for name in upto if name in dataset.adata.obs]


def resolve(dataset: Dataset, level: str, is_train: NDArray[np.bool_]) -> Labels:
    """Labels at ``level`` and above, and the cells that have one.

    Doublets, cells marked ``exclude`` and cells whose label names no type leave. A type that is not divided further
    (no training cell of it has a finer label) keeps its own name at the finer level, as OPCs do in the scMamba paper;
    where only some of its cells lack a finer label, those leave.

    Parameters
    ----------
    is_train
        (cells,): the cells whose labels methods will see; only they decide which types are divided.
    """
    obs, notes = dataset.adata.obs, Notes()
    keep = usable_cells(dataset, notes)
    if "is_doublet" in obs:
        doublet = obs["is_doublet"].to_numpy(dtype=bool)
        _leave(keep, doublet, "known doublets", notes)
    table = pd.DataFrame(index=obs.index)
    coarser: pd.Series | None = None
    for name in levels_of(dataset, level):
        values = _clean(obs[name], name, notes)
        if coarser is not None:
            values = _with_undivided(values, coarser, is_train & keep, name, notes)
        _drop_unlabelled(keep, values, obs[name], name, notes)
        table[name] = coarser = values
    if not keep.any():
        raise NotApplicableError(f"no cell has a usable {level} label", where=f"dataset {dataset.card.name}")
    notes += _near_duplicates(table.loc[keep, level])
    notes += _not_nested(table[keep])
    return Labels(table, keep, notes)


def parents(table: pd.DataFrame, level: str) -> dict[str, dict[str, str]]:
    """Coarser level -> (class of ``level`` -> its parent there); the commonest one where levels are not nested."""
    parent_of = {}
    for coarser in table.columns[: list(table.columns).index(level)]:
        counts = table.groupby([level, coarser]).size().rename("n").reset_index()
        first = counts.sort_values([level, "n", coarser], ascending=[True, False, True]).drop_duplicates(level)
        parent_of[coarser] = dict(zip(first[level], first[coarser], strict=True))
    return parent_of


def _clean(values: pd.Series, name: str, notes: Notes) -> pd.Series:
    """Labels as text without surrounding white space; missing where they name no type."""
    text = values.astype(object).where(values.notna(), "").astype(str)
    stripped = text.str.strip()
    padded = int((stripped != text).sum())
    if padded:
        notes.append(f"white space around the {name} of {padded:,} cells was removed")
    return stripped.mask(stripped.str.lower().isin(NO_TYPE) | without_label(stripped))


def _with_undivided(
    values: pd.Series, coarser: pd.Series, is_train: NDArray[np.bool_], name: str, notes: Notes
) -> pd.Series:
    """Finer labels, with a type's own name where the type is not divided."""
    divided = set(coarser[is_train & values.notna().to_numpy()].dropna())
    training_types = set(coarser[is_train].dropna())
    bare = values.isna() & coarser.isin(training_types - divided)
    if bare.any():
        undivided = sorted(set(coarser[bare]))
        notes.append(f"not divided at the level of {name}, and kept under their own name: {few(undivided)}")
    return values.mask(bare, coarser)


def _drop_unlabelled(keep: NDArray[np.bool_], values: pd.Series, raw: pd.Series, name: str, notes: Notes) -> None:
    missing = values.isna().to_numpy()
    names = raw[missing & keep].astype(object)
    words = sorted(set(names.where(names.notna(), "").astype(str).str.strip()) - {""})
    examples = f" ({few(words)})" if words else ""
    _leave(keep, missing, f"without a usable {name}{examples}", notes)


def _leave(keep: NDArray[np.bool_], out: NDArray[np.bool_], reason: str, notes: Notes) -> None:
    """Take cells out, and say so."""
    n = int((keep & out).sum())
    if n:
        notes.append(f"{n:,} cells are left out: {reason}")
    keep &= ~out


def _near_duplicates(labels: pd.Series) -> list[Note]:
    """Labels that differ in case, spaces or punctuation only."""
    names = pd.Series(sorted(labels.unique()))
    same = names.groupby(names.map(lambda name: re.sub(r"[\W_]+", "", name.casefold()) or name)).agg(list)
    pairs = [" / ".join(map(repr, group)) for group in same if len(group) > 1]
    return [Note(f"labels that may be one class, kept apart: {few(pairs)}", "warning")] if pairs else []


def _not_nested(table: pd.DataFrame) -> list[Note]:
    notes = []
    for coarse, fine in zip(table.columns, table.columns[1:], strict=False):
        n_parents = table.groupby(fine)[coarse].nunique()
        crossing = sorted(n_parents.index[n_parents > 1])
        if crossing:
            notes.append(
                Note(
                    f"{fine} labels under more than one {coarse} ({few(crossing)}): "
                    "metrics at the coarser level take the commonest parent of a predicted class",
                    "warning",
                )
            )
    return notes
