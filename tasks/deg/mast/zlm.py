"""The hurdle model of MAST for any design: ``zlm(formula)``, likelihood ratio and Wald tests, log fold changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from formulaic import model_matrix
from scipy import sparse
from scipy.special import expit

from bench.errors import DataError
from bench.tasks.deg.mast.irls import logistic_fits
from bench.tasks.deg.mast.ols import least_squares
from bench.tasks.deg.mast.prior import variance_prior
from bench.tasks.deg.mast.two_groups import Z95, above_rounding, chi2_sf, spread_about_mean

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Zlm:
    """A fitted hurdle model of every gene.

    Parameters
    ----------
    coefficients
        Names of the columns of the design that can be estimated, the intercept first.
    terms
        Which of them belong to each term of the formula.
    dropped
        Columns that the cells cannot tell from earlier ones (donors nested in batches), left out of the design.
    design
        Cells x coefficients.
    expression
        Cells x genes, positive values alone.
    prior
        Variance and degrees of freedom of the prior of the residual variances; (0, 0): none.
    coef_discrete, coef_continuous
        (genes, coefficients); NaN where not estimable.
    vcov_discrete, vcov_continuous
        Their covariance matrices, (genes, coefficients, coefficients).
    deviance_discrete, rss, rank
        (genes,): deviance of the logistic part, residual sum of squares and rank of the continuous part.
    """

    coefficients: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]
    dropped: tuple[str, ...]
    design: Array
    expression: sparse.csc_matrix
    prior: tuple[float, float]
    coef_discrete: Array
    coef_continuous: Array
    vcov_discrete: Array
    vcov_continuous: Array
    deviance_discrete: Array
    rss: Array
    rank: NDArray[np.intp]

    @property
    def expressed(self) -> Array:
        """Cells that express each gene."""
        return np.diff(self.expression.indptr).astype(float)

    @property
    def df_residual(self) -> Array:
        """Degrees of freedom of the continuous part."""
        return np.maximum(self.expressed - self.rank, 0)

    @property
    def dispersion(self) -> Array:
        """Residual variance of the continuous part, by maximum likelihood, after shrinkage; NaN where not fitted."""
        return np.where(self.df_residual > 0, _dispersion(self.rss, self.expressed, self.prior), np.nan)

    def lrt(self, term: str) -> dict[str, Array]:
        """Likelihood ratio test of a term, or of one coefficient: the model is fitted again without its columns.

        Returns
        -------
        ``chi2``, ``df`` and ``p`` of the hurdle model, and with ``_discrete`` and ``_continuous`` of its parts. A part
        that cannot be tested has chi2 0 and df 0.
        """
        columns = self._columns(term)
        rest = np.delete(self.design, columns, axis=1)
        _, _, deviance = _discrete(rest, self.expression)
        _, _, rss, rank = least_squares(rest, self.expression)
        n = self.expressed
        with np.errstate(divide="ignore", invalid="ignore"):
            null, full = _dispersion(rss, n, self.prior), _dispersion(self.rss, n, self.prior)
            change = n * (np.log(null) - np.log(full))
        testable = (self.df_residual > 1) & (n - rank > 1) & (self.rank > rank)
        fitted = np.isfinite(self.deviance_discrete)
        return _tests(
            np.where(fitted, above_rounding(deviance - self.deviance_discrete), 0.0),
            np.where(fitted, len(columns), 0.0),
            np.where(testable, above_rounding(change), 0.0),
            np.where(testable, self.rank - rank, 0.0),
        )

    def wald(self, coefficient: str) -> dict[str, Array]:
        """Wald test of one coefficient; a part that is fitted counts 1 df, also where it has no such coefficient."""
        j = self._column(coefficient)
        chi2 = [
            np.nan_to_num(coef[:, j] ** 2 / vcov[:, j, j])
            for coef, vcov in (
                (self.coef_discrete, self.vcov_discrete),
                (self.coef_continuous, self.vcov_continuous),
            )
        ]
        fitted = np.isfinite(self.deviance_discrete), self.df_residual > 0
        return _tests(chi2[0], fitted[0].astype(float), chi2[1], fitted[1].astype(float))

    def log_fold_change(self, coefficient: str) -> dict[str, Array]:
        """Change of the expected expression with one coefficient, the others 0 (delta method, 95 % interval).

        Returns
        -------
        ``logFC``, ``var_logFC``, ``logFC_low``, ``logFC_high``, each (genes,), in units of the expression values.
        """
        contrasts = np.zeros((2, len(self.coefficients)))
        contrasts[:, 0] = 1
        contrasts[1, self._column(coefficient)] += 1
        needed = contrasts.any(axis=0)
        contrasts = contrasts[:, needed]

        def of(coef: Array, vcov: Array) -> tuple[Array, Array]:
            vcov = vcov[:, needed][:, :, needed]
            return coef[:, needed] @ contrasts.T, contrasts @ vcov @ contrasts.T

        u, var_u = of(self.coef_continuous, self.vcov_continuous)
        eta, var_eta = of(self.coef_discrete, self.vcov_discrete)
        v = expit(eta)
        slope = v * (1 - v)
        var_v = slope[:, :, None] * var_eta * slope[:, None, :]
        products = var_u * var_v + u[:, :, None] * u[:, None, :] * var_v + v[:, :, None] * v[:, None, :] * var_u
        change = u[:, 1] * v[:, 1] - u[:, 0] * v[:, 0]
        variance = products[:, 0, 0] + products[:, 1, 1] - products[:, 0, 1] - products[:, 1, 0]
        variance = np.where(np.isfinite(change), variance, np.nan)
        half = Z95 * np.sqrt(variance)
        return {"logFC": change, "var_logFC": variance, "logFC_low": change - half, "logFC_high": change + half}

    def _columns(self, term: str) -> tuple[int, ...]:
        if term in self.terms and self.terms[term]:
            return self.terms[term]
        return (self._column(term),)

    def _column(self, coefficient: str) -> int:
        if coefficient in self.coefficients[1:]:
            return self.coefficients.index(coefficient)
        names = ", ".join(self.coefficients[1:]) or "none"
        if coefficient in self.terms or coefficient in self.dropped:
            raise DataError(
                f"{coefficient!r} cannot be estimated: the other covariates of these cells determine it",
                fix="leave out the covariate that is nested in it or that it is nested in",
            )
        raise DataError(f"the model has no term or coefficient {coefficient!r}", fix=f"known: {names}")


def zlm(
    X: Any, obs: pd.DataFrame, formula: str, *, ebayes: bool = True, prior: tuple[float, float] | None = None
) -> Zlm:
    """Fit MAST's hurdle model to every gene (``zlm`` of MAST 1.32.0, ``method="bayesglm"``).

    Parameters
    ----------
    X
        Expression of cells x genes on a log scale, not negative, sparse or dense.
    obs
        Covariates of the cells.
    formula
        Such as ``~ condition + cngeneson + batch``, with an intercept; text and categories get treatment contrasts
        against their first level. Formulas are Python expressions of ``obs``: do not take them from strangers.
    ebayes
        Shrink the variances of the continuous part to a prior of all genes.
    prior
        (variance, degrees of freedom) instead of the most likely.

    Raises
    ------
    DataError
        If a covariate has missing values or the formula has no intercept.
    """
    matrix = design_matrix(obs, formula)
    full = np.asarray(matrix, dtype=np.float64)
    names = tuple(matrix.model_spec.column_names)
    if names[0] != "Intercept":
        raise DataError("the design needs an intercept", where=formula, fix="do not take it away from the formula")
    estimable = independent_columns(full)
    design = np.ascontiguousarray(full[:, estimable])
    expression = positive_columns(X)
    if not ebayes:
        prior = (0.0, 0.0)
    n = np.diff(expression.indptr).astype(float)
    if prior is None:
        total, squares = (np.asarray(e.sum(axis=0)).ravel() for e in (expression, expression.multiply(expression)))
        prior = variance_prior(n - 1, spread_about_mean(squares, total, n))
    coef_discrete, vcov_discrete, deviance = _discrete(design, expression)
    coef, inverse, rss, rank = least_squares(design, expression)
    df = np.maximum(n - rank, 0)
    coef[df == 0] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(df > 0, (rss + prior[0] * prior[1]) / (df + prior[1]), np.nan)
    return Zlm(
        coefficients=tuple(names[j] for j in estimable),
        terms={
            str(term): tuple(estimable.index(j) for j in columns if j in estimable)
            for term, columns in matrix.model_spec.term_indices.items()
            if str(term) != "1"
        },
        dropped=tuple(name for j, name in enumerate(names) if j not in estimable),
        design=design,
        expression=expression,
        prior=prior,
        coef_discrete=coef_discrete,
        coef_continuous=coef,
        vcov_discrete=vcov_discrete,
        vcov_continuous=variance[:, None, None] * inverse,
        deviance_discrete=deviance,
        rss=rss,
        rank=rank,
    )


def design_matrix(obs: pd.DataFrame, formula: str) -> Any:
    """The columns of a formula, see :func:`zlm`."""
    try:
        return model_matrix(formula, obs, na_action="raise")
    except ValueError as error:
        raise DataError(
            f"the design cannot be built: {error}", where=formula, fix="fill in or drop those cells"
        ) from error


def positive_columns(X: Any) -> sparse.csc_matrix:
    """The positive values of a matrix in float64, by columns."""
    expression = sparse.csc_matrix(X, dtype=np.float64)
    if (expression.data <= 0).any():
        if (expression.data < 0).any():
            raise DataError("negative expression", fix="give ln(1 + counts per 10,000), which is never negative")
        expression = expression.copy()
        expression.eliminate_zeros()
    return expression


def independent_columns(design: Array) -> list[int]:
    """Columns that are not linear combinations of earlier ones (R's criterion, 1e-7 of their length)."""
    independent: list[int] = []
    basis = np.empty((len(design), 0))
    for j, column in enumerate(design.T):
        residual = column - basis @ (basis.T @ column)
        residual -= basis @ (basis.T @ residual)
        length = np.linalg.norm(residual)
        if length > 1e-7 * np.linalg.norm(column):
            independent.append(j)
            basis = np.column_stack([basis, residual / length])
    return independent


def _discrete(design: Array, expression: sparse.csc_matrix) -> tuple[Array, Array, Array]:
    pattern = sparse.csc_matrix(
        (np.ones_like(expression.data), expression.indices, expression.indptr), shape=expression.shape
    )
    return logistic_fits(design, np.diff(expression.indptr).astype(float), pattern.T @ design)


def _dispersion(rss: Array, n: Array, prior: tuple[float, float]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rss + prior[0] * prior[1]) / (n + prior[1])


def _tests(chi2_discrete: Array, df_discrete: Array, chi2_continuous: Array, df_continuous: Array) -> dict[str, Array]:
    chi2, df = chi2_discrete + chi2_continuous, df_discrete + df_continuous
    parts = {
        "": (chi2, df),
        "_discrete": (chi2_discrete, df_discrete),
        "_continuous": (chi2_continuous, df_continuous),
    }
    return {
        f"{name}{part}": values
        for part, (statistic, freedom) in parts.items()
        for name, values in (("chi2", statistic), ("df", freedom), ("p", chi2_sf(statistic, freedom)))
    }
