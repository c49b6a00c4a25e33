"""A test of donors instead of cells: counts summed by donor, tested by DESeq2's model (PyDESeq2)."""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from bench.tasks.deg.design import designs
from bench.tasks.deg.markers import ALPHA, MIN_LOG2FC

if TYPE_CHECKING:
    from bench.tasks.deg.design import TypeDesign

#: Cells of a type that a donor needs to count as a replicate; counts that a gene needs in as many replicates as the
#: smaller arm has (the filter that DESeq2's authors advise).
_MIN_CELLS, _MIN_COUNTS = 10, 10
#: Results by the digest of what was tested: both tracks and all replicates of a dataset ask for the same.
_RESULTS: dict[str, pd.DataFrame] = {}
_MOST_RESULTS = 256


@dataclass(frozen=True)
class Pseudobulk:
    """Results of the test of donors.

    Parameters
    ----------
    table
        ``cell_type, gene, log2fc, p_val, p_val_adj`` (Benjamini-Hochberg, NaN where DESeq2 does not adjust) and
        ``direction``: 1 and -1 of DEGs by the thresholds of the task, else 0.
    left_out
        Cell type -> why it was not tested.
    """

    table: pd.DataFrame
    left_out: dict[str, str]


def pseudobulk(counts: sparse.csr_matrix, solution: pd.DataFrame, genes: pd.Index) -> Pseudobulk:
    """Test every cell type with at least two donors an arm.

    Parameters
    ----------
    counts
        Raw counts, cells x genes in the order of ``solution``.
    """
    tables = [pd.DataFrame(columns=["cell_type", "gene", "log2fc", "p_val", "p_val_adj", "direction"])]
    left_out = {}
    installed = importlib.util.find_spec("pydeseq2") is not None
    for design in designs(solution):
        sums, samples = _sums(counts, design, genes)
        n = samples["case"].value_counts()
        if not installed:
            left_out[design.name] = "PyDESeq2 is not installed: pip install 'scmamba-bench[deg]'"
        elif n.get(True, 0) < 2 or n.get(False, 0) < 2:
            left_out[design.name] = (
                f"{n.get(True, 0)} case and {n.get(False, 0)} control donors with {_MIN_CELLS} cells, 2 of each are "
                "needed"
            )
        elif sums.shape[1] < 2:
            left_out[design.name] = f"{sums.shape[1]} genes with {_MIN_COUNTS} counts in enough donors"
        else:
            tables.append(_tested_once(sums, samples).assign(cell_type=design.name))
    filled = [table for table in tables if len(table)] or tables
    return Pseudobulk(pd.concat(filled, ignore_index=True)[tables[0].columns], left_out)


def _sums(counts: sparse.csr_matrix, design: TypeDesign, genes: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts of samples x genes, of those that are large enough; and what the samples are."""
    n = np.bincount(design.sample, minlength=len(design.samples))
    member = sparse.csr_matrix(
        (np.ones(len(design.rows), np.int64), (design.sample, design.rows)), (len(n), counts.shape[0])
    )
    large = n >= _MIN_CELLS
    summed = np.asarray((member[large] @ counts).todense(), dtype=np.int64)
    samples = design.samples[large].astype({"donor": str})
    names = samples["donor"].str.cat(np.where(samples["case"], "case", "control"), sep=":")
    frame = pd.DataFrame(summed, index=pd.Index(names, name="sample"), columns=genes)
    smaller = min(int(samples["case"].sum()), int((~samples["case"]).sum()))
    enough = (summed >= _MIN_COUNTS).sum(axis=0) >= max(smaller, 1)
    return frame.loc[:, enough], samples.set_index(frame.index)


def _tested_once(sums: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    digest = hashlib.sha256(sums.to_numpy().tobytes())
    digest.update(repr((list(sums.columns), samples["donor"].tolist(), samples["case"].tolist())).encode())
    key = digest.hexdigest()
    if key not in _RESULTS:
        if len(_RESULTS) >= _MOST_RESULTS:
            _RESULTS.clear()
        _RESULTS[key] = _tested(sums, samples)
    return _RESULTS[key]


def _tested(sums: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """DESeq2's Wald test of case against control; within donors, where each has cells of both."""
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference
    from pydeseq2.ds import DeseqStats
    from threadpoolctl import threadpool_limits

    metadata = pd.DataFrame(
        {"arm": np.where(samples["case"], "case", "control"), "donor": samples["donor"]}, index=sums.index
    )
    paired = metadata.groupby("donor")["arm"].nunique().eq(2).all()
    inference = DefaultInference(n_cpus=1)
    # One small problem of 2 unknowns a gene: threads of BLAS would wait for each other thousands of times.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few genes or samples: its fall-backs are those of DESeq2
        data = DeseqDataSet(
            counts=sums,
            metadata=metadata,
            design="~ donor + arm" if paired else "~ arm",
            refit_cooks=True,
            inference=inference,
            quiet=True,
        )
        data.deseq2()
        stats = DeseqStats(data, contrast=["arm", "case", "control"], inference=inference, quiet=True)
        stats.summary()
    results = stats.results_df
    significant = (results["padj"] < ALPHA) & (results["log2FoldChange"].abs() > MIN_LOG2FC)
    table = {
        "gene": results.index,
        "log2fc": results["log2FoldChange"].to_numpy(),
        "p_val": results["pvalue"].to_numpy(),
        "p_val_adj": results["padj"].to_numpy(),
        "direction": np.where(significant, np.sign(results["log2FoldChange"]), 0).astype(int),
    }
    return pd.DataFrame(table)
