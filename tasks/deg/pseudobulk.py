"""Sums of counts by donor and arm, and what a test of donors says of every cell type."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from bench.tasks.deg.design import MIN_DONORS, by_arms, designs
from bench.tasks.deg.donor_tests import donor_test
from bench.words import count

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Cells of a type that a donor needs to count as a replicate; counts that a gene needs in as many replicates as the
#: smaller arm has (the filter that DESeq2's authors advise).
_MIN_CELLS, _MIN_COUNTS = 10, 10
#: Results by the digest of what was tested: all tracks and all replicates of a dataset ask for the same.
_RESULTS: dict[str, pd.DataFrame] = {}
_MOST_RESULTS = 256
#: The test that ``pseudobulk_precision`` and ``pseudobulk_recall`` compare with.
REFERENCE = "pydeseq2"
_COLUMNS = ["cell_type", "gene", "log2fc", "p_val", "p_val_adj", "direction"]


@dataclass(frozen=True)
class Pseudobulk:
    """Results of a test of donors.

    Parameters
    ----------
    table
        ``cell_type`` and what :meth:`bench.tasks.deg.donor_tests.DonorTest.table` says; ``p_val_adj`` is Benjamini and
        Hochberg's, NaN where a test does not adjust.
    left_out
        Cell type -> why it was not tested.
    """

    table: pd.DataFrame
    left_out: dict[str, str]


@dataclass(frozen=True)
class Sums:
    """Summed counts of a cell type that can be tested, or why it cannot.

    Parameters
    ----------
    counts
        Samples x genes.
    samples
        ``donor, case`` of the samples.
    paired
        Whether each donor has a sample of both arms.
    reason
        Why the type cannot be tested; empty if it can.
    note
        Which donors are left out, and why.
    """

    counts: pd.DataFrame
    samples: pd.DataFrame
    paired: bool
    reason: str = ""
    note: str = ""


def pseudobulk(counts: sparse.csr_matrix, solution: pd.DataFrame, genes: pd.Index, test: str = REFERENCE) -> Pseudobulk:
    """Test every cell type with enough donors.

    Parameters
    ----------
    counts
        Raw counts, cells x genes in the order of ``solution``.
    test
        Name of one of :data:`bench.tasks.deg.donor_tests.DONOR_TESTS`.
    """
    tables, left_out = [], {}
    missing = donor_test(test).missing
    for design in designs(solution):
        donor = solution["donor"].to_numpy()[design.rows]
        sums = summed(counts[design.rows], donor, design.case, genes)
        if missing or sums.reason:
            left_out[design.name] = missing or sums.reason
        else:
            tables.append(tested_once(sums, test).assign(cell_type=design.name))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_COLUMNS)
    return Pseudobulk(table[_COLUMNS], left_out)


def summed(counts: sparse.csr_matrix, donor: NDArray[np.object_], case: NDArray[np.bool_], genes: pd.Index) -> Sums:
    """Counts of the cells of a type summed by donor and arm, of those samples that are large enough.

    Where most donors who have the type have it in both arms, the design is paired, however few samples are large
    enough: donors without both are left out, and the test is within donors.
    """
    keys = pd.MultiIndex.from_arrays([donor.astype(str), case], names=["donor", "case"])
    sample, found = pd.factorize(keys, sort=True)
    samples = found.to_frame(index=False, name=["donor", "case"]).astype({"case": bool})
    large = np.bincount(sample, minlength=len(samples)) >= _MIN_CELLS
    everyone, kinds = (
        by_arms(some["donor"].to_numpy(object), some["case"].to_numpy()) for some in (samples, samples[large])
    )
    paired, note = 2 * len(everyone["both"]) > sum(map(len, everyone.values())), ""
    if paired and (alone := kinds["case"] + kinds["control"]):
        large &= samples["donor"].isin(kinds["both"]).to_numpy()
        note = f"paired: left out, without {_MIN_CELLS} cells in both arms: {', '.join(alone)}"
    member = sparse.csr_matrix((np.ones(len(sample), np.int64), (sample, np.arange(len(sample)))))
    values = np.asarray((member[large] @ counts).todense(), dtype=np.int64)
    samples = samples[large]
    names = samples["donor"].str.cat(np.where(samples["case"], "case", "control"), sep=":")
    samples = samples.set_index(pd.Index(names, name="sample"))
    n_case, n_control = int(samples["case"].sum()), int((~samples["case"]).sum())
    enough = (values >= _MIN_COUNTS).sum(axis=0) >= max(min(n_case, n_control), 1)
    frame = pd.DataFrame(values, index=samples.index, columns=genes).loc[:, enough]
    reason = ""
    if paired and n_case < MIN_DONORS:
        pairs = count(n_case, "donor")
        reason = f"paired design: {pairs} with {_MIN_CELLS} cells in both arms, {MIN_DONORS} are needed"
    elif min(n_case, n_control) < 2:
        reason = f"{n_case} case and {n_control} control donors with {_MIN_CELLS} cells, 2 of each are needed"
    elif frame.shape[1] < 2:
        reason = f"{frame.shape[1]} genes with {_MIN_COUNTS} counts in enough donors"
    return Sums(frame, samples, paired, reason, note)


def tested_once(sums: Sums, test: str) -> pd.DataFrame:
    """The test of summed counts, from memory if the same was asked before."""
    digest = hashlib.sha256(sums.counts.to_numpy().tobytes())
    facts = (
        test,
        sums.paired,
        list(sums.counts.columns),
        sums.samples["donor"].tolist(),
        sums.samples["case"].tolist(),
    )
    digest.update(repr(facts).encode())
    key = digest.hexdigest()
    if key not in _RESULTS:
        if len(_RESULTS) >= _MOST_RESULTS:
            _RESULTS.clear()
        _RESULTS[key] = donor_test(test).table(sums.counts, sums.samples, sums.paired)
    return _RESULTS[key]
