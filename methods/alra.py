"""ALRA: a low-rank matrix whose biological zeros are put back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.method import Context
from bench.methods._shared.imputer import Imputer

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.methods._shared.imputer import Block
    from bench.problem import Cells

#: As many singular values are looked at, and those from the 80th on taken for noise.
_LOOKED_AT, _NOISE_FROM = 100, 80


class Alra(Imputer):
    """Adaptively thresholded low-rank approximation (ALRA) of ln(1 + counts per 10,000).

    Parameters
    ----------
    rank
        Of the approximation; 0 for the authors' rule: the last singular value that is followed by a gap of more than
        six standard deviations of the gaps among the 80th to 100th.
    quantile
        A gene's approximation is zero up to the magnitude of this quantile of it.
    """

    name = "alra"
    summary = "Low-rank approximation, thresholded gene by gene so that biological zeros stay zero."
    reference = "10.1038/s41467-021-27729-z"
    citation = """@article{linderman2022alra,
    author = {Linderman, George C. and Zhao, Jun and Roulis, Manolis and Bielecki, Piotr and Flavell, Richard A. and
        Nadler, Boaz and Kluger, Yuval},
    title = {Zero-preserving imputation of single-cell {RNA}-seq data},
    journal = {Nature Communications},
    volume = {13},
    pages = {192},
    year = {2022},
    doi = {10.1038/s41467-021-27729-z},
}"""
    licence = "MIT"
    implementation = "port"
    fewest_cells = 20
    caveat = (
        "Our port of the authors' R code, by blocks of genes. As there, an observed value never becomes zero, but else "
        "takes the scaled low-rank value, and all genes and cells come back. Fitted to the tested cells themselves, in "
        "every masking round anew; training cells are not used. With fewer than 100 cells or genes the authors have no "
        "rule for the rank: the last fifth of the singular values is taken for noise."
    )

    def __init__(self, rank: int = 0, quantile: float = 0.001) -> None:
        if rank < 0 or rank != int(rank):
            raise BenchError(f"rank is {rank}", where=self.name, fix="give a whole number; 0: by the authors' rule")
        if not 0 <= quantile <= 1:
            raise BenchError(f"quantile is {quantile}", where=self.name, fix="give a share between 0 and 1")
        self.rank = rank
        self.quantile = quantile

    def fit(self, cells: Cells, ctx: Context) -> Any:
        """Scores of the cells (cells, rank) and loadings of the genes (rank, genes), on normalised counts."""
        from sklearn.utils.extmath import randomized_svd

        from bench.normalise import log1p_cp10k

        normalised = log1p_cp10k(cells.X)
        most = min(normalised.shape) - 1
        looked_at = min(_LOOKED_AT, most)
        rank = self.rank or chosen_rank(randomized_svd(normalised, looked_at, n_iter=2, random_state=ctx.seed)[1])
        ctx.log.info("rank %d", rank)
        ctx.progress(0.3, "rank")
        if rank > most:
            shape = f"{normalised.shape[0]:,} cells of {normalised.shape[1]:,} genes"
            ctx.note(f"rank {rank} is more than {shape} can have: {most} was taken")
        u, s, vt = randomized_svd(normalised, min(rank, most), n_iter=10, random_state=ctx.seed)
        return u * s, vt

    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """Threshold, scale and fill some genes at a time."""
        from bench.blocks import row_blocks
        from bench.normalise import log1p_cp10k

        columns = log1p_cp10k(counts).tocsc()
        n_cells, n_genes = counts.shape
        for genes in row_blocks((n_genes, n_cells)):
            values = zeros_put_back(model[0] @ model[1][:, genes], columns[:, genes].toarray(), self.quantile)
            yield slice(0, n_cells), genes, values
            ctx.progress(0.5 + 0.5 * genes.stop / n_genes, "genes")


def chosen_rank(singular: np.ndarray) -> int:
    """The authors' rule; at least 1."""
    import numpy as np

    if len(singular) < 3:  # fewer than two gaps: none is wider than the others
        return 1
    gaps = -np.diff(singular)
    noise = gaps[min(_NOISE_FROM, len(singular) * _NOISE_FROM // _LOOKED_AT) - 2 :]
    wide = np.flatnonzero(gaps - noise.mean() > 6 * noise.std(ddof=1))
    return int(wide[-1]) + 1 if len(wide) else 1


def zeros_put_back(approximated: np.ndarray, observed: np.ndarray, quantile: float) -> np.ndarray:
    """Threshold genes of a low-rank approximation, give them the observed mean and spread, put observed values back.

    Parameters
    ----------
    approximated, observed
        (cells, genes), normalised expression.

    Returns
    -------
    (cells, genes), float32. Non-zero values of a gene have the mean and standard deviation of its observed ones.
    """
    import numpy as np

    kept = approximated > np.abs(np.quantile(approximated, quantile, axis=0))
    seen = observed > 0
    mean, spread = _moments(approximated, kept)
    wanted_mean, wanted_spread = _moments(observed, seen)
    scaled = (kept.sum(axis=0) > 1) & (seen.sum(axis=0) > 1) & (spread > 0)
    factor = np.where(scaled, wanted_spread / np.where(scaled, spread, 1), 1)
    shift = np.where(scaled, wanted_mean - mean * factor, 0)
    values = np.where(kept, np.maximum(approximated * factor + shift, 0), 0)
    return np.where(seen & (values == 0), observed, values).astype(np.float32)


def _moments(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) of some entries of each column; 0 where there are none, or one."""
    import numpy as np

    n = where.sum(axis=0)
    mean = (values * where).sum(axis=0) / np.maximum(n, 1)
    return mean, np.sqrt((((values - mean) * where) ** 2).sum(axis=0) / np.maximum(n - 1, 1))
