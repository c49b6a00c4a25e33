"""kNN-smoothing: sums the counts of similar cells, found in ever smoother data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.method import Context
from bench.methods._shared.imputer import Imputer, log_shares

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.methods._shared.imputer import Block
    from bench.problem import Cells


class KnnSmoothing(Imputer):
    """kNN-smoothing 2.1 of Wagner, Yan and Yanai.

    Parameters
    ----------
    k
        Cells whose counts are summed, the cell itself among them; doubled step by step up to this.
    n_components
        Principal components in which they are sought.
    dither
        Width of the noise added to each component, as a share of its range, so that sums of the same cells part.
    """

    name = "knn_smoothing"
    summary = "Sum of the counts of the 16 most similar cells, found step by step in smoothed data."
    reference = "10.1101/217737"
    citation = """@article{wagner2018knnsmoothing,
    author = {Wagner, Florian and Yan, Yun and Yanai, Itai},
    title = {K-nearest neighbor smoothing for high-throughput single-cell {RNA}-{Seq} data},
    journal = {bioRxiv},
    year = {2018},
    doi = {10.1101/217737},
}"""
    implementation = "port"
    fewest_cells = 3
    caveat = (
        "Our sparse port of version 2.1, whose authors give no default of k: 16 here. Fitted to the tested cells "
        "themselves, in every masking round anew; training cells are not used."
    )

    def __init__(self, k: int = 16, n_components: int = 10, dither: float = 0.03) -> None:
        self.k = k
        self.n_components = n_components
        self.dither = dither

    def fit(self, cells: Cells, ctx: Context) -> Any:
        """Find the cells that are summed, (cells, cells), 0 or 1."""
        import math

        import numpy as np
        from scipy.sparse import csr_matrix, identity
        from sklearn.neighbors import NearestNeighbors

        X = csr_matrix(cells.X, dtype=np.float64)
        n = X.shape[0]
        k = min(self.k, n)
        rng = np.random.default_rng(ctx.seed)
        summed = identity(n, format="csr")
        steps = math.ceil(math.log2(k))
        for step in range(1, steps + 1):
            ctx.progress((step - 1) / (steps + 1), f"step {step} of {steps}")
            scores = _scores(summed, X, min(self.n_components, min(X.shape) - 1), ctx.seed)
            scores += (rng.random(scores.shape) - 0.5) * np.ptp(scores, axis=0) * self.dither
            n_neighbors = min(2**step, k)
            nearest = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=ctx.threads).fit(scores).kneighbors(scores)[1]
            ends = np.arange(n + 1) * n_neighbors
            summed = csr_matrix((np.ones(n * n_neighbors), nearest.ravel(), ends), shape=(n, n))
        return summed

    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """Sum the counts of some cells at a time."""
        import numpy as np

        from bench.blocks import row_blocks

        n_cells, n_genes = counts.shape
        for rows in row_blocks(counts.shape):
            values = (model[rows] @ counts).toarray().astype(np.float32)
            yield rows, slice(0, n_genes), log_shares(values)
            ctx.progress(rows.stop / n_cells, "sums")


def _scores(summed: csr_matrix, X: csr_matrix, n_components: int, seed: int) -> np.ndarray:
    """Principal components of the smoothed cells: median-normalised, Freeman-Tukey transformed, centred.

    Randomised (Halko et al. 2011) over blocks of cells, so that the smoothed matrix is never whole in memory.
    """
    import numpy as np
    from scipy.linalg import qr, svd

    from bench.blocks import row_blocks

    totals = np.asarray(summed @ X.sum(axis=1)).ravel()
    scale = np.median(totals) / totals

    def transformed(rows: slice) -> csr_matrix:
        part = summed[rows] @ X
        part.data *= np.repeat(scale[rows], np.diff(part.indptr))
        part.data = np.sqrt(part.data) + np.sqrt(part.data + 1) - 1  # 1 off, so that 0 stays 0; centring removes it
        return part

    n, g = X.shape
    parts = list(row_blocks(X.shape))
    mean = sum(np.asarray(transformed(rows).sum(axis=0)).ravel() for rows in parts) / n
    size = min(n_components + 10, n, g)
    basis = np.random.default_rng(seed).normal(size=(g, size))
    for _ in range(5):
        basis = qr(basis, mode="economic")[0]
        product = np.zeros((g, size))
        for rows in parts:
            part = transformed(rows)
            image = part @ basis - mean @ basis
            product += part.T @ image - np.outer(mean, image.sum(axis=0))
        basis = product
    basis = qr(basis, mode="economic")[0]
    image = np.concatenate([transformed(rows) @ basis - mean @ basis for rows in parts])
    components, values, _ = svd(image, full_matrices=False)
    return components[:, :n_components] * values[:n_components]
