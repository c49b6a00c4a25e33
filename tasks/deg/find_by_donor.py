"""A test of donors in the place of ``find_markers``: the same table, of sums of counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import DataError, NotApplicableError, UnavailableError
from bench.tasks.deg.cells import as_text
from bench.tasks.deg.donor_tests import DonorTest
from bench.tasks.deg.find_markers import COLUMNS
from bench.tasks.deg.pseudobulk import summed
from bench.words import count

if TYPE_CHECKING:
    from numpy.typing import NDArray


def find_by_donor(test: DonorTest, donor: pd.Series) -> Callable[..., pd.DataFrame]:
    """A function of raw counts and two groups of cells, which compares the donors of the cells.

    Its table has the columns of ``find_markers``: ``avg_log2FC`` is the test's own log2 fold change, ``pct_1`` and
    ``pct_2`` are shares of cells that express, ``p_val_adj`` is Benjamini and Hochberg's over the genes that are
    tested. ``attrs["message"]`` says of how many donors, whether within them, and who is left out.

    Raises
    ------
    UnavailableError
        If a package is missing.
    """
    if test.missing:
        raise UnavailableError(f"{test.name}: {test.missing}")
    names = as_text(donor)

    def find(
        X: sparse.csr_matrix,
        genes: Sequence[str] | pd.Index,
        case: NDArray[np.intp],
        control: NDArray[np.intp],
        **_: Any,
    ) -> pd.DataFrame:
        rows = np.concatenate([case, control])
        is_case = np.arange(len(rows)) < len(case)
        owner = names.iloc[rows]
        if n := int(owner.isna().sum()):
            raise DataError(f"of {count(n, 'cell')} the donor is not known", fix="leave these cells out")
        counts = sparse.csr_matrix(X)[rows]
        sums = summed(counts, owner.to_numpy(object), is_case, pd.Index(genes))
        if sums.reason:
            raise NotApplicableError(sums.reason)
        found = test.table(sums.counts, sums.samples, sums.paired).set_index("gene")
        tested = pd.Index(genes).get_indexer(found.index)
        shares = [np.asarray((counts[arm] > 0).mean(axis=0)).ravel()[tested] for arm in (is_case, ~is_case)]
        values = (found.index, found["p_val"], found["log2fc"], *shares, found["p_val_adj"])
        table = pd.DataFrame(
            {name: np.asarray(value) for name, value in zip(COLUMNS, values, strict=True)}
        ).sort_values("p_val", kind="stable", ignore_index=True)
        n_case, n_control = int(sums.samples["case"].sum()), int((~sums.samples["case"]).sum())
        who = f"{n_case} donors, within each" if sums.paired else f"{n_case} case and {n_control} control donors"
        table.attrs["message"] = f"{who}; {sums.note}" if sums.note else who
        return table

    return find
