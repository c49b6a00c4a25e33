"""The cells of a dataset that a pre-training may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from bench.dataset import CountStore


class PretrainingCells:
    """``store`` with more cells marked ``exclude``; a :class:`bench.dataset.CountStore`.

    Left out, as in the official pre-training, are known doublets and cells whose type is Unidentified or Doublet; and
    the cells of some donors, such as those that a benchmark tests.

    Raises
    ------
    UnknownNameError
        If one of the donors does not occur.
    """

    def __init__(self, store: CountStore, without_donors: Iterable[str] = ()) -> None:
        self._store = store
        self.name, self.digest, self.accession, self.var = store.name, store.digest, store.accession, store.var
        self.n_entries: NDArray[np.int64] = store.n_entries
        obs = store.obs
        donor = obs["donor"].astype(str) if "donor" in obs else obs.index.to_series().str[:0]
        unwanted = set(without_donors)
        for name in sorted(unwanted - set(donor)):
            raise UnknownNameError("donor", name, set(donor) - {""}, where=store.name)
        left_out = donor.isin(unwanted).to_numpy()
        for mark in obs.columns.intersection(["exclude", "is_doublet"]):
            left_out |= obs[mark].to_numpy(bool)
        if "cell_type" in obs:
            left_out |= obs["cell_type"].astype(str).str.lower().isin(["unidentified", "doublet"]).to_numpy()
        self._obs = obs.assign(exclude=left_out)

    @property
    def obs(self) -> pd.DataFrame:
        """Cells, with the mark."""
        return self._obs

    def __len__(self) -> int:
        return len(self._store)

    def rows(self, index: NDArray[np.intp]) -> csr_matrix:
        """Counts of some cells."""
        return self._store.rows(index)
