"""MAGIC: diffusion of expression over a graph of similar cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.method import Context, python_package
from bench.methods._shared.imputer import Imputer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.methods._shared.imputer import Block
    from bench.problem import Cells


class Magic(Imputer):
    """MAGIC of magic-impute, on square roots of counts per 10,000 as in its tutorial.

    Parameters
    ----------
    knn
        Neighbours from which the width of a cell's kernel follows; three times as many are connected.
    t
        Steps of diffusion.
    n_pca
        Components in which neighbours are sought; fewer where cells or genes are fewer.
    decay
        How steeply the kernel falls.
    """

    name = "magic"
    summary = "Diffusion of expression over a graph of similar cells (magic-impute)."
    reference = "10.1016/j.cell.2018.05.061"
    citation = """@article{vandijk2018magic,
    author = {van Dijk, David and Sharma, Roshan and Nainys, Juozas and Yim, Kristina and Kathail, Pooja and others},
    title = {Recovering gene interactions from single-cell data using data diffusion},
    journal = {Cell},
    volume = {174},
    number = {3},
    pages = {716--729},
    year = {2018},
    doi = {10.1016/j.cell.2018.05.061},
}"""
    licence = "GPL-2.0-only"
    implementation = "official"
    requires = (python_package("magic-impute", extra="imputation"),)
    fewest_cells = 8
    caveat = (
        "Fitted to the tested cells themselves, in every masking round anew, as the paper does; training cells are not "
        "used. The package makes the diffusion operator; we apply it to blocks of genes, which gives the numbers of "
        "its exact solver without the dense matrix. Its square-root scale is undone for ln(1 + CP10K), and values are "
        "not scaled to 10,000 a cell again."
    )

    def __init__(self, knn: int = 5, t: int = 3, n_pca: int = 100, decay: float = 1.0) -> None:
        self.knn = knn
        self.t = t
        self.n_pca = n_pca
        self.decay = decay

    def fit(self, cells: Cells, ctx: Context) -> Any:
        """The diffusion operator (cells, cells)."""
        import warnings

        import magic
        import numpy as np

        from bench.normalise import cp10k

        roots = cp10k(cells.X)
        np.sqrt(roots.data, out=roots.data)
        ctx.progress(0.0, "graph of cells")
        operator = magic.MAGIC(
            knn=min(self.knn, (roots.shape[0] - 1) // 3),
            t=self.t,
            decay=self.decay,
            n_pca=min(self.n_pca, min(roots.shape) - 1),
            n_jobs=ctx.threads,
            random_state=ctx.seed,
            verbose=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return operator.fit(roots).diff_op.tocsr()

    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """Diffuse some genes at a time."""
        import numpy as np

        from bench.blocks import row_blocks
        from bench.normalise import cp10k

        columns = cp10k(counts).tocsc()
        n_cells, n_genes = counts.shape
        for genes in row_blocks((n_genes, n_cells)):
            values = np.sqrt(columns[:, genes].toarray())
            for _ in range(self.t):
                values = model @ values
            yield slice(0, n_cells), genes, np.log1p(values**2)
            ctx.progress(genes.stop / n_genes, "diffusion")
