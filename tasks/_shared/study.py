"""A whole study as it was measured: what tasks show to methods that are to answer for every cell at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.problem import Cells, Inputs, Notes
from bench.seeds import derive_seed
from bench.tasks._shared.donors import donors_of, take_rows, usable_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.dataset import Dataset

#: Name of these inputs (:meth:`bench.task.Task.inputs_name`): tasks that show them share each method's prediction.
STUDY = "study/2"


def study_inputs(dataset: Dataset, notes: Notes) -> tuple[Inputs, NDArray[np.bool_]]:
    """All cells but those marked ``exclude``, with ``donor`` and, where known, ``batch``; and which cells these are.

    Donors and batches are numbered, since their names often tell the condition. Batches that each belong to one
    condition are not shown at all: in a study of two batches they would be the condition. Neither conditions nor cell
    types are shown, nothing is hidden in the counts, and there are no training cells.
    """
    keep, adata = usable_cells(dataset, notes), dataset.adata
    obs = pd.DataFrame({"donor": _numbered(donors_of(dataset)[keep], dataset.card.digest)}, index=adata.obs_names[keep])
    if batch_tells_condition(adata.obs):
        notes.append("every batch is of one condition: methods are not shown the batches")
    elif "batch" in adata.obs:
        obs["batch"] = _numbered(adata.obs["batch"].astype(str)[keep], dataset.card.digest)
    return Inputs(Cells(take_rows(adata.X, keep), obs, adata.var)), keep


def batch_tells_condition(obs: pd.DataFrame) -> bool:
    """Return whether every batch is of one condition, and there are several conditions."""
    if not {"batch", "condition"} <= set(obs):
        return False
    condition = obs["condition"].astype(str)
    return condition.nunique() > 1 and bool((condition.groupby(obs["batch"].astype(str)).nunique() == 1).all())


def _numbered(names: pd.Series, digest: str) -> pd.Series:
    """``donor_1``, ``donor_2``, ... in place of names, in an order that these do not tell."""
    distinct = sorted(names.unique())
    order = np.random.default_rng(derive_seed("study", digest, str(names.name))).permutation(len(distinct)) + 1
    return names.map({name: f"{names.name}_{k}" for name, k in zip(distinct, order, strict=True)}).astype(object)
