"""A whole study as it was measured: what tasks show to methods that are to answer for every cell at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bench.problem import Cells, Inputs
from bench.tasks._donors import donors_of, kept, take_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.dataset import Dataset

#: Name of these inputs (:meth:`bench.task.Task.inputs_name`): tasks that show them share each method's prediction.
STUDY = "study/1"


def study_inputs(dataset: Dataset, notes: list[str]) -> tuple[Inputs, NDArray[np.bool_]]:
    """All cells but those marked ``exclude``, with ``donor`` and, where known, ``batch``; and which cells these are.

    Neither conditions nor cell types are shown, nothing is hidden in the counts, and there are no training cells.
    """
    keep, adata = kept(dataset, notes), dataset.adata
    obs = pd.DataFrame({"donor": donors_of(dataset)[keep]}, index=adata.obs_names[keep])
    if "batch" in adata.obs:
        obs["batch"] = adata.obs["batch"].astype(str).astype(object)[keep]
    return Inputs(Cells(take_rows(adata.X, keep), obs, adata.var)), keep
