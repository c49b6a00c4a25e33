"""A dataset with some donors left out of training."""

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


class WithoutDonors:
    """``store`` with the cells of some donors marked ``exclude``; a :class:`bench.dataset.CountStore`.

    Raises
    ------
    UnknownNameError
        If a donor does not occur.
    """

    def __init__(self, store: CountStore, donors: Iterable[str]) -> None:
        obs = store.obs
        known = obs["donor"].astype(str) if "donor" in obs else obs.index.to_series().str[:0]
        donors = set(donors)
        for donor in sorted(donors):
            if donor not in set(known):
                raise UnknownNameError("donor", donor, set(known) - {""}, where=store.name)
        marked = obs["exclude"].to_numpy(bool) if "exclude" in obs else False
        self._obs = obs.assign(exclude=known.isin(donors).to_numpy() | marked)
        self._store = store
        self.name, self.digest, self.accession, self.var = store.name, store.digest, store.accession, store.var
        self.n_entries: NDArray[np.int64] = store.n_entries

    @property
    def obs(self) -> pd.DataFrame:
        """Cells, those of the donors marked."""
        return self._obs

    def __len__(self) -> int:
        return len(self._store)

    def rows(self, index: NDArray[np.intp]) -> csr_matrix:
        """Counts of some cells."""
        return self._store.rows(index)
