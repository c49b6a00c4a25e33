"""Exact negative binomial counts at the cost of the molecules drawn, not of cells x genes.

A negative binomial gene with mean m and overdispersion phi is a Poisson number of bursts, ln(1 + phi m) / phi on
average, whose sizes follow the logarithmic distribution with parameter phi m / (1 + phi m). The bursts of all genes of
a droplet are drawn together: Poisson many candidates, one gene each from an alias table (Walker 1977) of the means,
kept with probability ln(1 + phi m) / (phi m). Sizes: Kemp (1981), algorithm LK.
"""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def alias_table(weights):
    """Alias table of each row of ``weights``: probabilities and aliases."""
    n_rows, n = weights.shape
    probability = np.ones((n_rows, n), dtype=np.float32)
    alias = np.zeros((n_rows, n), dtype=np.int32)
    small = np.empty(n, dtype=np.int32)
    large = np.empty(n, dtype=np.int32)
    for row in range(n_rows):
        scaled = weights[row] * (n / weights[row].sum())
        n_small, n_large = 0, 0
        for i in range(n):
            if scaled[i] < 1.0:
                small[n_small] = i
                n_small += 1
            else:
                large[n_large] = i
                n_large += 1
        while n_small > 0 and n_large > 0:
            n_small -= 1
            i, j = small[n_small], large[n_large - 1]
            probability[row, i] = scaled[i]
            alias[row, i] = j
            scaled[j] -= 1.0 - scaled[i]
            if scaled[j] < 1.0:
                n_large -= 1
                small[n_small] = j
                n_small += 1
    return probability, alias


@numba.njit(cache=True, nogil=True)
def _burst_size(q, rng):
    if q < 1e-12:
        return 1
    v = rng.random()
    if v >= q:
        return 1
    p = 1.0 - math.exp(math.log1p(-q) * rng.random())
    if v <= p * p:
        return int(1.0 + math.log(v) / math.log(p)) if v > 0.0 else 1
    return 2 if v <= p else 1


@numba.njit(cache=True, nogil=True)
def _draw(counts, n_draws, probability, alias, rng):
    n = probability.shape[0]
    for _ in range(n_draws):
        u = rng.random() * n
        j = min(int(u), n - 1)
        if u - j >= probability[j]:
            j = alias[j]
        counts[j] += 1


@numba.njit(cache=True, nogil=True)
def _draw_bursts(counts, n_draws, size, rate, phi, probability, alias, rng):
    n = probability.shape[0]
    for _ in range(n_draws):
        u = rng.random() * n
        j = min(int(u), n - 1)
        if u - j >= probability[j]:
            j = alias[j]
        x = size * rate[j] * phi[j]
        if x < 1e-9:
            counts[j] += 1
        elif rng.random() * x < math.log1p(x):
            counts[j] += _burst_size(x / (1.0 + x), rng)


@numba.njit(cache=True, nogil=True)
def sample_droplets(groups, sizes, n_draws, n_ambient, rate, phi, probability, alias, soup, soup_alias, dropout, rng):
    """Counts of a library's droplets.

    Parameters
    ----------
    groups
        Droplets x 2: profile of each nucleus, -1 where there is none.
    sizes
        Droplets x 2: expected counts of each nucleus over the whole transcriptome.
    n_draws, n_ambient
        Candidate molecules of each nucleus, molecules from the soup.
    rate, probability, alias
        Profiles x genes: expectation per unit of size, and its alias table.
    phi
        Overdispersion of each gene.
    soup, soup_alias
        Alias table of the library's ambient profile.
    dropout
        Largest probability of losing a detected gene.

    Returns
    -------
    Data, indices and index pointer of a CSR matrix.
    """
    n, n_genes = groups.shape[0], rate.shape[1]
    counts = np.zeros(n_genes, dtype=np.int32)
    indptr = np.zeros(n + 1, dtype=np.int64)
    data = np.empty(max(1024, n * 256), dtype=np.int32)
    indices = np.empty(data.shape[0], dtype=np.int32)
    used = 0
    for c in range(n):
        for k in range(2):
            g = groups[c, k]
            if g >= 0:
                _draw_bursts(counts, n_draws[c, k], sizes[c, k], rate[g], phi, probability[g], alias[g], rng)
        _draw(counts, n_ambient[c], soup, soup_alias, rng)
        if used + n_genes > data.shape[0]:
            length = 2 * data.shape[0] + n_genes
            larger = np.empty(length, dtype=np.int32)
            larger[:used] = data[:used]
            data = larger
            larger = np.empty(length, dtype=np.int32)
            larger[:used] = indices[:used]
            indices = larger
        for j in range(n_genes):
            value = counts[j]
            if value == 0:
                continue
            counts[j] = 0
            if dropout > 0.0:
                mean = 0.0
                for k in range(2):
                    if groups[c, k] >= 0:
                        mean += sizes[c, k] * rate[groups[c, k], j]
                if rng.random() * (1.0 + mean) < dropout:
                    continue
            data[used] = value
            indices[used] = j
            used += 1
        indptr[c + 1] = used
    return data[:used].copy(), indices[:used].copy(), indptr
