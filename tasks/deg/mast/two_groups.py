"""The hurdle model of MAST (Finak et al. 2015) for two groups of cells, from sums: any number of contrasts at once.

A gene is expressed in a cell or not (logistic regression), and where it is, its level is normal (least squares). Of
two groups, both depend on the cells only through how many express the gene, and the sum and sum of squares of those:
the numbers are those of a fit to the cells, not an approximation.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, erfc, expit

from bench.tasks.deg.mast.logistic import fit_one_group, fit_two_groups
from bench.tasks.deg.mast.prior import variance_priors
from bench.tasks.deg.mast.sums import GroupSums, group_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FIELDS", "GroupSums", "group_sums", "two_group_lrt"]

#: What :func:`two_group_lrt` can return per pair and gene.
FIELDS = (
    *("p", "p_discrete", "p_continuous", "chi2", "chi2_discrete", "chi2_continuous"),
    *("df", "df_discrete", "df_continuous"),
    *("intercept_discrete", "intercept_continuous", "coef_discrete", "coef_continuous", "se_discrete", "se_continuous"),
    *("logFC", "var_logFC", "logFC_low", "logFC_high"),
)
#: Pairs times genes that are computed at once.
_CHUNK = 1 << 20
#: Sums of squares about the mean below this share of the sum of squares are rounding errors of equal values.
_ROUNDING = 1e-12
#: Likelihood ratios below this are rounding errors: those seen are below 1e-13, true ones far above.
_RATIO_ROUNDING = 1e-12
Z95 = 1.959963984540054


def two_group_lrt(
    sums: GroupSums,
    case: NDArray[np.intp],
    control: NDArray[np.intp],
    *,
    tested: NDArray[np.bool_] | None = None,
    ebayes: bool = True,
    prior: tuple[float, float] | None = None,
    fields: Collection[str] = FIELDS,
) -> dict[str, NDArray[np.float64]]:
    """Likelihood ratio test of case against control by MAST 1.32.0 (``zlm(~condition)``, ``lrTest``), for many pairs.

    Parameters
    ----------
    sums
        From :func:`group_sums`.
    case, control
        Groups (rows of ``sums``) of each pair, (pairs,). The two must not share cells.
    tested
        Genes that are tested, (pairs, genes) or (genes,): the prior of the variances is that of these genes, the others
        are NaN. None: all.
    ebayes
        Shrink the variances of the continuous part to the prior of all tested genes.
    prior
        (variance, degrees of freedom) instead of the most likely.
    fields
        Of :data:`FIELDS`, what to return; name few where pairs x genes are many.

    Returns
    -------
    Arrays of shape (pairs, genes) by field, and the ``prior_variance`` and ``prior_df`` of shape (pairs,). Effects are
    case less control; ``p`` is of the hurdle model. A part that cannot be tested has chi2 0 and df 0; p is 1 where the
    df of both are 0 (a gene expressed nowhere). Coefficients that cannot be estimated are NaN, as is the logFC then.

    Raises
    ------
    ValueError
        If a group is empty.
    """
    case, control = np.atleast_1d(np.asarray(case, np.intp)), np.atleast_1d(np.asarray(control, np.intp))
    if not (sums.n[case].all() and sums.n[control].all()):
        raise ValueError("a group without cells cannot be tested")
    n_genes = sums.detected.shape[1]
    mask = np.broadcast_to(True if tested is None else tested, (len(case), n_genes))
    out = {name: np.full((len(case), n_genes), np.nan) for name in FIELDS if name in set(fields)}
    priors = np.empty((len(case), 2))
    step = max(1, _CHUNK // max(1, n_genes))
    for start in range(0, len(case), step):
        chunk = slice(start, start + step)
        pair, gene = np.nonzero(mask[chunk])
        case_sums, control_sums = _flat(sums, case[chunk][pair], gene), _flat(sums, control[chunk][pair], gene)
        ends = np.concatenate([[0], np.cumsum(mask[chunk].sum(axis=1))])
        priors[chunk] = _priors(case_sums, control_sums, ends, ebayes, prior)
        result = _discrete(case_sums, control_sums) | _continuous(case_sums, control_sums, *priors[chunk][pair].T)
        _add_tests(result)
        if any("logFC" in name for name in out):
            _add_fold_change(result)
        for name, values in out.items():
            values[chunk][pair, gene] = result[name]
    return out | {"prior_variance": priors[:, 0], "prior_df": priors[:, 1]}


def _flat(sums: GroupSums, group: NDArray[np.intp], gene: NDArray[np.intp]) -> GroupSums:
    """Sums of one gene of one group each: only what is tested is computed."""
    values = (v[group, gene] for v in (sums.detected, sums.total, sums.squares, sums.linear))
    return GroupSums(sums.n[group], *values)


def spread_about_mean(squares: NDArray, total: NDArray, n: NDArray) -> NDArray[np.float64]:
    """Sum of squares about the mean of ``n`` values, 0 where that is only rounding."""
    about = squares - total * total / np.maximum(n, 1)
    return np.where(about > _ROUNDING * squares, about, 0.0)


def _priors(
    case: GroupSums, control: GroupSums, ends: NDArray[np.int64], ebayes: bool, prior: tuple[float, float] | None
) -> NDArray[np.float64]:
    if prior is not None or not ebayes:
        return np.broadcast_to(np.array(prior if prior is not None and ebayes else (0.0, 0.0)), (len(ends) - 1, 2))
    detected = case.detected + control.detected
    about = spread_about_mean(case.squares + control.squares, case.total + control.total, detected)
    return variance_priors(ends, detected - 1, about)


def _discrete(case: GroupSums, control: GroupSums) -> dict[str, NDArray[np.float64]]:
    fit, null = np.empty((case.n.size, 6)), np.empty(case.n.size)
    fit_two_groups(control.n, control.detected, case.n, case.detected, fit)
    fit_one_group(control.n + case.n, control.detected + case.detected, null)
    intercept, effect, deviance, var0, cov, var1 = fit.T
    df = np.isfinite(deviance).astype(float)
    return {
        "chi2_discrete": np.where(df > 0, above_rounding(null - deviance), 0.0),
        "df_discrete": df,
        "intercept_discrete": intercept,
        "coef_discrete": effect,
        "se_discrete": np.sqrt(var1),
        # Variance of the linear predictor in either group, and their covariance.
        "_var0": var0,
        "_var1": var0 + 2 * cov + var1,
        "_cov": var0 + cov,
    }


def _continuous(
    case: GroupSums, control: GroupSums, v: NDArray[np.float64], d: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    m1, m0 = case.detected, control.detected
    n = m0 + m1
    rank = (m0 > 0).astype(float) + (m1 > 0)
    residual = spread_about_mean(case.squares, case.total, m1) + spread_about_mean(control.squares, control.total, m0)
    about = spread_about_mean(case.squares + control.squares, case.total + control.total, n)
    converged = n > rank
    with np.errstate(divide="ignore", invalid="ignore"):
        mean1, mean0 = case.total / m1, control.total / m0  # NaN where the group does not express
        chi2 = n * (np.log(about + v * d) - np.log(residual + v * d))
        variance = np.where(converged, (residual + v * d) / (n - rank + d), np.nan)
        testable = (n - rank > 1) & (rank == 2)
        intercept = np.where(m0 > 0, mean0, mean1)
        return {
            "chi2_continuous": np.where(testable, above_rounding(chi2), 0.0),
            "df_continuous": testable.astype(float),
            "intercept_continuous": np.where(converged, intercept, np.nan),
            "coef_continuous": np.where(converged, mean1 - mean0, np.nan),
            "se_continuous": np.sqrt(variance * (1 / m0 + 1 / m1)) * np.where(rank == 2, 1, np.nan),
            "_u0": variance / m0,
            "_u1": variance / m1,
        }


def _add_tests(result: dict[str, NDArray[np.float64]]) -> None:
    """The hurdle test and the p-values."""
    result["chi2"] = result["chi2_discrete"] + result["chi2_continuous"]
    result["df"] = result["df_discrete"] + result["df_continuous"]
    for part in ("", "_discrete", "_continuous"):
        result[f"p{part}"] = chi2_sf(result[f"chi2{part}"], result[f"df{part}"])


def _add_fold_change(result: dict[str, NDArray[np.float64]]) -> None:
    """The change of the expected expression and its interval (delta method)."""
    u0 = result["intercept_continuous"]
    u1 = u0 + result["coef_continuous"]
    eta0 = result["intercept_discrete"]
    v0, v1 = expit(eta0), expit(eta0 + result["coef_discrete"])
    slope0, slope1 = v0 * (1 - v0), v1 * (1 - v1)
    var_v0, var_v1 = slope0**2 * result["_var0"], slope1**2 * result["_var1"]
    result["logFC"] = u1 * v1 - u0 * v0
    variance = result["_u0"] * var_v0 + u0**2 * var_v0 + v0**2 * result["_u0"]
    variance += result["_u1"] * var_v1 + u1**2 * var_v1 + v1**2 * result["_u1"]
    variance -= 2 * u0 * u1 * slope0 * slope1 * result["_cov"]
    variance = np.where(np.isfinite(result["logFC"]), variance, np.nan)
    result["var_logFC"] = variance
    half = Z95 * np.sqrt(variance)
    result["logFC_low"], result["logFC_high"] = result["logFC"] - half, result["logFC"] + half


def above_rounding(statistic: NDArray[np.float64]) -> NDArray[np.float64]:
    """A likelihood ratio with what is but rounding (1e-14 or so, of either sign) taken for 0.

    The p-value falls from 1 like the root of the statistic, so rounding would show in its seventh digit.
    """
    return np.where(np.abs(statistic) < _RATIO_ROUNDING, 0.0, statistic)


def chi2_sf(statistic: NDArray[np.float64], df: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper tail of chi-squared, exact far into the tail; 1 for 0 degrees of freedom."""
    x = np.maximum(statistic, 0.0)
    p = np.select([df == 1, df == 2], [erfc(np.sqrt(x / 2)), np.exp(-x / 2)], 1.0)
    more = df > 2
    if more.any():
        p[more] = chdtrc(df[more], x[more])
    return p
