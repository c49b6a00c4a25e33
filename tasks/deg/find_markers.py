"""FindMarkers as Seurat does it: fold changes, the filters before the test, Bonferroni over all genes, order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import DataError, NotApplicableError
from bench.tasks.deg.mast.sums import GroupSums, group_sums
from bench.tasks.deg.mast.two_groups import two_group_lrt
from bench.tasks.deg.mast.zlm import positive_columns, zlm
from bench.tasks.deg.wilcoxon import rank_sum_p
from bench.words import listing

if TYPE_CHECKING:
    from numpy.typing import NDArray

Seurat = Literal[4, 5]
Test = Literal["mast", "wilcox"]

COLUMNS = ("gene", "p_val", "avg_log2FC", "pct_1", "pct_2", "p_val_adj")
#: Default filters of each version: (min.pct, logfc.threshold).
FILTERS: dict[Seurat, tuple[float, float]] = {4: (0.1, 0.25), 5: (0.01, 0.1)}
#: Seurat refuses smaller groups (min.cells.group).
MIN_CELLS = 3


@dataclass(frozen=True)
class FoldChanges:
    """Of every pair and gene: arrays of shape (pairs, genes).

    Parameters
    ----------
    pct_1, pct_2
        Share of the case and of the control cells that express, rounded to 3 digits as R does.
    avg_log2FC
        log2 of the ratio of mean CP10K, with a pseudocount of 1 (Seurat 4) or of 1 / cells of the group (Seurat 5).
    tested
        Whether the gene passes the filters, so that Seurat would test it.
    """

    pct_1: NDArray[np.float64]
    pct_2: NDArray[np.float64]
    avg_log2FC: NDArray[np.float64]
    tested: NDArray[np.bool_]


def fold_changes(
    sums: GroupSums,
    case: NDArray[np.intp],
    control: NDArray[np.intp],
    *,
    seurat: Seurat = 4,
    min_pct: float | None = None,
    logfc_threshold: float | None = None,
) -> FoldChanges:
    """Fold changes and filters of many pairs of groups at once; the thresholds are the version's unless given."""
    arms = np.atleast_1d(case), np.atleast_1d(control)
    pct_1, pct_2 = (_shares(sums.detected[groups], sums.n[groups]) for groups in arms)
    extra = 1.0 if seurat == 5 else 0.0
    means = [(sums.linear[groups] + extra) / sums.n[groups, None] + (1.0 - extra) for groups in arms]
    change = np.log2(means[0]) - np.log2(means[1])
    default_pct, default_change = FILTERS[seurat]
    enough = np.maximum(pct_1, pct_2) >= (default_pct if min_pct is None else min_pct)
    large = np.abs(change) >= (default_change if logfc_threshold is None else logfc_threshold)
    return FoldChanges(pct_1, pct_2, change, enough & large)


def find_markers(
    X: Any,
    genes: Sequence[str] | pd.Index,
    case: NDArray[np.intp],
    control: NDArray[np.intp],
    *,
    test: Test = "mast",
    covariates: pd.DataFrame | None = None,
    seurat: Seurat = 4,
    min_pct: float | None = None,
    logfc_threshold: float | None = None,
) -> pd.DataFrame:
    """Differentially expressed genes of two groups of cells, as Seurat's ``FindMarkers`` gives them.

    Parameters
    ----------
    X
        ln(1 + CP10K) of cells x genes, sparse or dense (see :func:`bench.tasks.deg.mast.sums.group_sums`).
    genes
        Names of its columns.
    case, control
        Rows of ``X`` of each group (``ident.1``, ``ident.2``).
    test
        ``mast``: the hurdle likelihood ratio test, its variance prior over the genes that pass the filters;
        ``wilcox``: the rank-sum test.
    covariates
        Of the rows of ``X``: columns that the hurdle model takes beside the group (``latent.vars``).
    seurat
        Version: default thresholds and the fold change's pseudocount differ.
    min_pct, logfc_threshold
        Filters before the test; None: the version's default.

    Returns
    -------
    One row per tested gene in the order of :func:`ranked`; columns :data:`COLUMNS`. ``p_val_adj`` is Bonferroni over
    all genes of ``X``, tested or not. ``attrs["dropped"]`` names the covariates, or levels of them, that could not be
    estimated beside the others.

    Raises
    ------
    NotApplicableError
        If a group has fewer than 3 cells.
    DataError
        If the covariates determine the group, so that it cannot be tested.
    """
    if covariates is not None and test != "mast":
        raise DataError(f"the test {test!r} takes no covariates", fix="use the test 'mast' or leave them out")
    check_groups(case, control)
    members = np.concatenate([case, control])
    pattern = (np.ones(len(members)), members, [0, len(case), len(members)])
    sums = group_sums(X, sparse.csr_matrix(pattern, shape=(2, X.shape[0])))
    pair = (np.array([0]), np.array([1]))
    change = fold_changes(sums, *pair, seurat=seurat, min_pct=min_pct, logfc_threshold=logfc_threshold)
    p = np.full(len(genes), np.nan)
    dropped: tuple[str, ...] = ()
    tested = np.flatnonzero(change.tested[0])
    if test == "mast" and covariates is None:
        p = two_group_lrt(sums, *pair, tested=change.tested, fields=("p",))["p"][0]
    elif len(tested):
        is_case = np.arange(len(members)) < len(case)
        expression = positive_columns(X[members][:, tested])
        if covariates is None:
            p[tested] = rank_sum_p(expression, is_case)
        else:
            p[tested], dropped = _adjusted_p(expression, is_case, covariates.iloc[members])
    columns = (genes, p, change.avg_log2FC[0], change.pct_1[0], change.pct_2[0], np.minimum(1, p * len(genes)))
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    table = ranked(table[change.tested[0]], seurat)
    table.attrs["dropped"] = dropped
    return table


def ranked(table: pd.DataFrame, seurat: Seurat) -> pd.DataFrame:
    """Rows by rising p; of equal p as they come in version 4, by falling difference of the shares in version 5."""
    keys = (-(table["pct_1"] - table["pct_2"]).abs(), table["p_val"]) if seurat == 5 else (table["p_val"],)
    return table.iloc[np.lexsort(keys)].reset_index(drop=True)


def check_groups(case: NDArray[np.intp], control: NDArray[np.intp]) -> None:
    """Refuse groups that Seurat refuses."""
    for name, rows in (("case", case), ("control", control)):
        if len(rows) < MIN_CELLS:
            raise NotApplicableError(f"{len(rows)} {name} cells, Seurat tests no fewer than {MIN_CELLS}")


def _adjusted_p(
    expression: sparse.csc_matrix, is_case: NDArray[np.bool_], covariates: pd.DataFrame
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Hurdle p of the group, the covariates first in the design, so that one which determines it is noticed."""
    obs, formula = coded(covariates)
    fit = zlm(expression, obs.assign(case=is_case.astype(float)), f"{formula} + case")
    lost = left_out(covariates, is_case, fit.dropped)
    return fit.lrt("case")["p"], lost


def coded(covariates: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Covariates that vary, under names that a formula can hold, and their formula."""
    varied = {name: f"x{j}" for j, name in enumerate(covariates) if covariates[name].nunique(dropna=False) > 1}
    return covariates[list(varied)].rename(columns=varied), "~ " + (" + ".join(varied.values()) or "1")


def left_out(covariates: pd.DataFrame, is_case: NDArray[np.bool_], dropped: Sequence[str]) -> tuple[str, ...]:
    """Covariates that are constant, or whose columns in the design are ``dropped``: the others determine these.

    Of a covariate that lost some of its levels only, these are named: ``donor (1 of 7 levels: D6)``.

    Raises
    ------
    DataError
        If the group itself is dropped.
    """
    varied = [name for name in covariates if covariates[name].nunique(dropna=False) > 1]
    if "case" in dropped:
        arms = [name for name in varied if pd.Series(is_case).groupby(covariates[name].to_numpy()).nunique().max() == 1]
        fix = f"leave out {listing(arms)}: no value of it is in both arms" if arms else "leave one of them out"
        raise DataError(
            f"the covariates ({', '.join(map(str, varied))}) determine which cells are case and which control",
            fix=fix + "; what differs between people of one arm each takes a test of donors, not of cells",
        )
    names = []
    for j, name in enumerate(covariates):
        columns = [column for column in dropped if column.split("[")[0] == f"x{j}"]
        n_levels = covariates[name].nunique()
        if name not in varied or columns == [f"x{j}"] or (columns and len(columns) == n_levels - 1):
            names.append(str(name))
        elif columns:
            levels = ", ".join(column.partition("[T.")[2].removesuffix("]") for column in columns)
            names.append(f"{name} ({len(columns)} of {n_levels} levels: {levels})")
    return tuple(names)


def _shares(detected: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded shares of groups x genes, each looked up among those that a group of that size can have."""
    shares = np.empty_like(detected)
    for size in np.unique(n):
        rows = n == size
        shares[rows] = _round3(np.arange(size + 1) / size)[detected[rows].astype(np.intp)]
    return shares


def _round3(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """R 4's ``round(x, 3)``: the nearer of the two candidates in floating point, the even one of equally near."""
    below = np.floor(x * 1000)
    low, high = below / 1000, np.ceil(x * 1000) / 1000
    down = (x - low < high - x) | ((x - low == high - x) & (below % 2 == 0))
    return np.where(down, low, high)
