"""Tests of donors instead of cells: four ways to test sums of counts, each a package or a few lines of its own.

Every test gets counts of samples x genes and, row by row, whose they are. They are handed on as bare arrays, with a
design made of the same rows: edgepython takes samples by position and forgets their names.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.errors import UnknownNameError
from bench.tasks.deg.markers import ALPHA, MIN_LOG2FC

#: ``run(sums, samples, paired)``: log2 fold change, p and adjusted p of every gene.
_Run = Callable[[pd.DataFrame, pd.DataFrame, bool], tuple[NDArray[np.float64], ...]]
#: Added to both terms of a logarithm of counts per million, as voom does.
_HALF_COUNT = 0.5


@dataclass(frozen=True)
class DonorTest:
    """A test of donors.

    Parameters
    ----------
    summary
        The model, and its reference.
    packages
        That it needs (extra ``deg``), with their licences.
    """

    name: str
    summary: str
    packages: dict[str, str]
    run: _Run

    @property
    def missing(self) -> str:
        """Say which package is not there; empty if all are."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"{', '.join(absent)} not installed: pip install 'scmamba-bench[deg]'" if absent else ""

    def table(self, sums: pd.DataFrame, samples: pd.DataFrame, paired: bool) -> pd.DataFrame:
        """Test every gene.

        Parameters
        ----------
        sums
            Counts of samples x genes.
        samples
            ``donor`` and ``case``, indexed as ``sums``.
        paired
            Whether each donor has a sample of both arms, which are then compared within it.

        Returns
        -------
        ``gene, log2fc, p_val, p_val_adj`` and ``direction``: 1 and -1 of DEGs by the thresholds of the task, else 0.
        """
        if not sums.index.equals(samples.index):
            raise ValueError("sums and samples must have the same rows in the same order")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few genes or samples: their fall-backs are those of the R packages
            log2fc, p, adjusted = self.run(sums, samples, paired)
        with np.errstate(invalid="ignore"):
            significant = (adjusted < ALPHA) & (np.abs(log2fc) > MIN_LOG2FC)
        direction = np.where(significant, np.sign(np.nan_to_num(log2fc)), 0).astype(int)
        columns = {"gene": sums.columns, "log2fc": log2fc, "p_val": p, "p_val_adj": adjusted, "direction": direction}
        return pd.DataFrame(columns)


def design_matrix(samples: pd.DataFrame, paired: bool) -> NDArray[np.float64]:
    """Columns of the intercept, of donors but the first where they are paired, and, last, of the case arm."""
    columns = [np.ones(len(samples))]
    if paired:
        donors = sorted(samples["donor"].unique())[1:]
        columns += [(samples["donor"] == donor).to_numpy(float) for donor in donors]
    return np.column_stack([*columns, samples["case"].to_numpy(float)])


def _pydeseq2(sums: pd.DataFrame, samples: pd.DataFrame, paired: bool) -> tuple[NDArray[np.float64], ...]:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference
    from pydeseq2.ds import DeseqStats
    from threadpoolctl import threadpool_limits

    arm = np.where(samples["case"], "case", "control")
    metadata = pd.DataFrame({"arm": arm, "donor": samples["donor"]}, index=sums.index)
    inference = DefaultInference(n_cpus=1)
    # One small problem of 2 unknowns a gene: threads of BLAS would wait for each other thousands of times.
    with threadpool_limits(1):
        data = DeseqDataSet(
            counts=sums,
            metadata=metadata,
            design="~ donor + arm" if paired else "~ arm",
            refit_cooks=True,
            inference=inference,
            quiet=True,
        )
        data.deseq2()
        results = DeseqStats(data, contrast=["arm", "case", "control"], inference=inference, quiet=True)
        results.summary()
    found = results.results_df.reindex(sums.columns)
    return tuple(found[name].to_numpy(float) for name in ("log2FoldChange", "pvalue", "padj"))


def _normalised(sums: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, object]]:
    """Counts of genes x samples, library sizes by TMM, and edgepython's object of both."""
    import edgepython

    counts = np.ascontiguousarray(sums.to_numpy().T)
    data = edgepython.calc_norm_factors(edgepython.make_dgelist(counts))
    sizes = (data["samples"]["lib.size"] * data["samples"]["norm.factors"]).to_numpy(float)
    return counts, sizes, data


def _edgepython(sums: pd.DataFrame, samples: pd.DataFrame, paired: bool) -> tuple[NDArray[np.float64], ...]:
    import edgepython

    design = design_matrix(samples, paired)
    # Its exact test would take the baseline by alphabet: the case's coefficient says which arm is which.
    fit = edgepython.glm_ql_fit(_normalised(sums)[2], design)
    table = edgepython.glm_ql_ftest(fit, coef=design.shape[1] - 1)["table"]
    p = table["PValue"].to_numpy(float)
    return table["logFC"].to_numpy(float), p, adjusted_p(p)


def _limma_voom(sums: pd.DataFrame, samples: pd.DataFrame, paired: bool) -> tuple[NDArray[np.float64], ...]:
    import pylimma

    design = design_matrix(samples, paired)
    counts, sizes, _ = _normalised(sums)
    fit = pylimma.e_bayes(pylimma.lm_fit(pylimma.voom(counts.astype(float), design, lib_size=sizes), design))
    # Without `coef` the table is of an F test that takes in the intercept.
    table = pylimma.top_table(fit, coef=design.shape[1] - 1, number=np.inf, sort_by="none")
    return tuple(table[name].to_numpy(float) for name in ("log_fc", "p_value", "adj_p_value"))


def _wilcoxon(sums: pd.DataFrame, samples: pd.DataFrame, paired: bool) -> tuple[NDArray[np.float64], ...]:
    counts = sums.to_numpy(float)
    size = counts.sum(axis=1, keepdims=True)
    level = np.log2((counts + _HALF_COUNT) / (size + 1) * 1e6)
    case = samples["case"].to_numpy(bool)
    if paired:
        order = [np.flatnonzero(arm)[np.argsort(samples["donor"].to_numpy()[arm])] for arm in (case, ~case)]
        difference = level[order[0]] - level[order[1]]
        p, change = stats.wilcoxon(difference, axis=0).pvalue, difference.mean(axis=0)
    else:
        p = stats.mannwhitneyu(level[case], level[~case], axis=0).pvalue
        change = level[case].mean(axis=0) - level[~case].mean(axis=0)
    return change, p, adjusted_p(p)


def adjusted_p(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's; NaN stays NaN and does not count as a test."""
    result, tested = np.full(len(p), np.nan), ~np.isnan(p)
    result[tested] = stats.false_discovery_control(np.clip(p[tested], 0.0, 1.0))
    return result


DONOR_TESTS = {
    test.name: test
    for test in (
        DonorTest(
            "pydeseq2",
            "DESeq2's Wald test (Love et al. 2014, doi:10.1186/s13059-014-0550-8)",
            {"pydeseq2": "MIT"},
            _pydeseq2,
        ),
        DonorTest(
            "edgepython",
            "edgeR's quasi-likelihood F test, TMM (Chen et al. 2016, doi:10.12688/f1000research.8987.2)",
            {"edgepython": "GPL-3.0-or-later"},
            _edgepython,
        ),
        DonorTest(
            "limma-voom",
            "limma's moderated t of voom weights, TMM (Law et al. 2014, doi:10.1186/gb-2014-15-2-r29)",
            {"pylimma": "GPL-3.0-or-later", "edgepython": "GPL-3.0-or-later"},
            _limma_voom,
        ),
        DonorTest(
            "donor-wilcoxon",
            "Wilcoxon's test of log counts per million, rank-sum, or signed-rank of pairs "
            "(Li et al. 2022, doi:10.1186/s13059-022-02648-4)",
            {},
            _wilcoxon,
        ),
    )
}


def donor_test(name: str) -> DonorTest:
    """The test of a name.

    Raises
    ------
    bench.errors.UnknownNameError
        If there is none.
    """
    if name not in DONOR_TESTS:
        raise UnknownNameError("test of donors", name, DONOR_TESTS)
    return DONOR_TESTS[name]
