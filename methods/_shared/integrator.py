"""Parts of integration tools: batches, cells and genes without counts, components that they start from."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from bench.errors import NotApplicableError
from bench.method import Context, Method

if TYPE_CHECKING:
    import numpy as np

    from bench.problem import Cells, Inputs, Prediction


class Integrator(Method):
    """Embeds cells so that kinds stay apart and batches do not.

    Genes and cells without counts take no part; such cells lie at the mean of the others.

    Attributes
    ----------
    needs_batches
        Whether one batch leaves nothing to do.
    fewest_cells, fewest_in_batch
        Fewest cells with counts, altogether and of each batch.
    """

    tasks = ("integration",)
    needs_batches: ClassVar[bool] = True
    fewest_cells: ClassVar[int] = 3
    fewest_in_batch: ClassVar[int] = 1

    @abstractmethod
    def embed(self, cells: Cells, batch: np.ndarray, ctx: Context) -> np.ndarray:
        """Coordinates (cells, dimensions) of cells and genes all of which have counts; ``batch`` is that of a cell."""

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Embed every cell."""
        import numpy as np

        from bench.problem import Cells

        cells = inputs.cells
        filled = np.flatnonzero(np.asarray(cells.X.sum(axis=1)).ravel() > 0)
        genes = np.flatnonzero(np.asarray(cells.X.sum(axis=0)).ravel() > 0)
        if len(filled) < self.fewest_cells or len(genes) < 2:
            raise NotApplicableError(
                f"{self.name} needs {self.fewest_cells} cells and 2 genes with counts, there are {len(filled)} and "
                f"{len(genes)}"
            )
        known = Cells(cells.X[filled][:, genes], cells.obs.iloc[filled], cells.var.iloc[genes])
        found = np.asarray(self.embed(known, self._batches(known), ctx), dtype=np.float32)
        out = np.repeat(found.mean(axis=0, keepdims=True), len(cells.obs), axis=0)
        out[filled] = found
        if len(filled) < len(out):
            ctx.note(f"{len(out) - len(filled):,} cells without counts lie at the mean of the others")
        return {"embedding": out}

    def _batches(self, cells: Cells) -> np.ndarray:
        """Batch of every cell where batches are shown, else its donor."""
        column = "batch" if "batch" in cells.obs else "donor"
        names = cells.obs[column].astype(str)
        size = names.value_counts()
        if self.needs_batches and len(size) < 2:
            raise NotApplicableError(f"all cells are of one {column}: there is nothing to integrate")
        small = size[size < self.fewest_in_batch]
        if len(small):
            raise NotApplicableError(
                f"{self.name} needs {self.fewest_in_batch} cells of every {column}: "
                + ", ".join(f"{name} has {n}" for name, n in sorted(small.items())[:5]),
                fix="mark the cells of small batches `exclude`, or join batches",
            )
        return names.to_numpy(dtype=object)


def principal_components(cells: Cells, n_genes: int, n_components: int) -> np.ndarray:
    """Leading components of log-normalised counts of the most variable genes, centred, not scaled; exact.

    Raises
    ------
    NotApplicableError
        If nothing varies.
    """
    import numpy as np

    from bench.methods._shared.pca import fit_components, project, variable_genes
    from bench.normalise import log1p_cp10k

    X = log1p_cp10k(cells.X)
    components = fit_components(X, variable_genes(X, n_genes), n_components=n_components)
    if not components.vectors.size:
        raise NotApplicableError("all cells are alike: there are no principal components")
    highest = np.abs(components.vectors).argmax(axis=0)
    sign = np.sign(components.vectors[highest, np.arange(components.vectors.shape[1])])
    return project(components, X) * sign
