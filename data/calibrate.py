"""The built-in cohort against real nuclei, number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, diags

from bench.data.cohort import CohortSpec, simulate

if TYPE_CHECKING:
    from anndata import AnnData

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MEAN_BINS = ((0.03, 0.1), (0.1, 0.3), (0.3, 1.0), (1.0, 5.0))
_MIN_GROUP = 80
_N_PCS = 20
_N_HVG = 2000


def calibrate(real: AnnData, spec: CohortSpec | None = None) -> pd.DataFrame:
    """Compare real counts with a simulated cohort, on the genes both have.

    Parameters
    ----------
    real
        Raw counts with Ensembl IDs as ``var_names`` and ``obs["cell_type"]``, as :func:`bench.data.ingest.read` gives.
    spec
        What to simulate; by default a control cohort of as many cells and donors as ``real``.

    Returns
    -------
    One row per quantity: ``real``, ``simulated`` and their ``ratio`` (simulated over real).
    """
    if spec is None:
        n_donors = real.obs["donor"].nunique() if "donor" in real.obs else 1
        spec = CohortSpec(n_cells=real.n_obs, n_genes=20_000, n_donors=max(n_donors, 1), arms=("CN",))
    simulated = simulate(spec)
    genes = simulated.var_names.intersection(real.var_names)
    symbols = simulated.var.loc[genes, "symbol"]
    table = pd.DataFrame(
        {"real": summarise(real[:, genes], symbols), "simulated": summarise(simulated[:, genes], symbols)}
    )
    table["ratio"] = table["simulated"] / table["real"]
    return table.rename_axis("quantity").reset_index()


def summarise(adata: AnnData, symbols: pd.Series) -> pd.Series:
    """Depth, sparsity, mean-variance trend and spectrum of raw counts."""
    X = csr_matrix(adata.X)
    totals = np.asarray(X.sum(axis=1)).ravel()
    detected = np.diff(X.indptr)
    gene_totals = np.asarray(X.sum(axis=0)).ravel()
    mitochondrial = np.asarray(X[:, symbols.str.startswith("MT-").to_numpy()].sum(axis=1)).ravel() / totals
    facts: dict[str, float] = {"cells": X.shape[0], "genes": X.shape[1], "zero fraction": 1 - X.nnz / np.prod(X.shape)}
    facts |= {f"counts per cell, {q:.0%} quantile": float(np.quantile(totals, q)) for q in _QUANTILES}
    facts |= {f"genes per cell, {q:.0%} quantile": float(np.quantile(detected, q)) for q in _QUANTILES}
    seen_in = np.bincount(X.indices, minlength=X.shape[1])
    top = np.sort(gene_totals)[::-1] / gene_totals.sum()
    facts |= {f"counts in the top {n} genes": float(top[:n].sum()) for n in (10, 100, 1000)}
    facts["genes in at least 1 % of cells"] = int((seen_in >= 0.01 * X.shape[0]).sum())
    facts |= {f"mitochondrial share, {q:.0%} quantile": float(np.quantile(mitochondrial, q)) for q in (0.5, 0.9)}
    return pd.Series(facts | _mean_variance(X) | _within_type_dispersion(adata, X) | _spectrum(X))


def _mean_variance(X: csr_matrix) -> dict[str, float]:
    """Slope and intercept of log variance on log mean over all cells, genes with mean above 0.05."""
    mean = np.asarray(X.mean(axis=0)).ravel()
    variance = np.asarray(X.multiply(X).mean(axis=0)).ravel() - mean**2
    used = mean > 0.05
    slope, intercept = np.polyfit(np.log10(mean[used]), np.log10(variance[used]), 1)
    return {"log10 variance on log10 mean, slope": float(slope), "log10 variance at mean 1": float(intercept)}


def _within_type_dispersion(adata: AnnData, X: csr_matrix) -> dict[str, float]:
    """Overdispersion phi inside a cell type of one donor, depth taken out: E[x(x - 1)] = (1 + phi) (s m)^2."""
    obs = adata.obs
    keys = [column for column in ("donor", "cell_type") if column in obs]
    means, excess, expected = [], [], []
    for rows in obs.groupby(keys, observed=True).indices.values():
        if len(rows) < _MIN_GROUP:
            continue
        x = X[rows].astype(np.float64)
        size = np.asarray(x.sum(axis=1)).ravel()
        size = size / size.mean()
        mean = np.asarray(x.mean(axis=0)).ravel()
        means.append(mean)
        excess.append(np.asarray((x.multiply(x) - x).sum(axis=0)).ravel())
        expected.append(mean**2 * (size**2).sum())
    if not means:
        return {}
    m, e, x = (np.concatenate(v) for v in (means, excess, expected))
    bins = {(low, high): (m >= low) & (m < high) for low, high in _MEAN_BINS}
    return {
        f"overdispersion in a type, mean {low:g}-{high:g}": float(e[used].sum() / x[used].sum() - 1)
        for (low, high), used in bins.items()
        if used.any()
    }


def _spectrum(X: csr_matrix) -> dict[str, float]:
    """Shares of variance of the leading PCs of the most variable genes, log1p of counts per 10,000."""
    from sklearn.decomposition import TruncatedSVD

    totals = np.asarray(X.sum(axis=1)).ravel()
    logged = (diags(1e4 / totals) @ X).tocsr()
    logged.data = np.log1p(logged.data)
    mean = np.asarray(logged.mean(axis=0)).ravel()
    variance = np.asarray(logged.multiply(logged).mean(axis=0)).ravel() - mean**2
    chosen = np.argsort(-variance)[:_N_HVG]
    centred = logged[:, chosen].toarray() - mean[chosen]
    n_pcs = min(_N_PCS, *(n - 1 for n in centred.shape))
    svd = TruncatedSVD(n_pcs, random_state=0).fit(centred)
    shares = np.sort(svd.singular_values_**2)[::-1] / (centred**2).sum()
    groups = {"PC 1": shares[:1], "PCs 2-5": shares[1:5], "PCs 6-10": shares[5:10], "PCs 11-20": shares[10:20]}
    return {f"variance in {name}": float(value.sum()) for name, value in groups.items()}
