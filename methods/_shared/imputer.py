"""Parts of imputers: cells and genes without counts, when to learn anew, and output by blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from bench.method import Context, Method

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.problem import Cells, Inputs, Prediction

    #: Rows, columns and values of a part of the result, float32, ln(1 + counts per 10,000).
    Block = tuple[slice, slice, np.ndarray]


class Imputer(Method):
    """Learns from cells, then says what every gene of every cell is expected to be.

    Genes without counts in the cells that are learned from, and cells without counts, take no part: they are zero.

    Attributes
    ----------
    inductive
        What is learned from the training cells serves other cells: learn once where there are such cells. Otherwise
        (and where there are none) learn from the cells themselves, in every masking round anew: a model that has
        seen an entry in one round must not be asked for it in another.
    """

    tasks = ("imputation", "integration", "deg")
    inductive: ClassVar[bool] = False
    #: Fewest cells with counts that can be learned from.
    fewest_cells: ClassVar[int] = 3

    @abstractmethod
    def fit(self, cells: Cells, ctx: Context) -> Any:
        """Learn from cells and genes all of which have counts."""

    @abstractmethod
    def blocks(self, model: Any, counts: csr_matrix, ctx: Context) -> Iterator[Block]:
        """The result for cells with counts, in the genes the model was learned on."""

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Expected ln(1 + counts per 10,000) of every gene of every cell."""
        import numpy as np

        X = inputs.cells.X
        rows = np.flatnonzero(np.asarray(X.sum(axis=1)).ravel() > 0)
        if len(rows) < X.shape[0]:
            ctx.note(f"{X.shape[0] - len(rows):,} cells without counts are returned as zero")
        with ctx.phase("fit"):
            learned_from = inputs.train if self.inductive else None
            if learned_from is None or not hasattr(self, "_learned"):
                self._learned = self._learn(learned_from or inputs.cells, ctx)
            genes, model = self._learned
        unknown = np.setdiff1d(np.unique(X.indices[X.data > 0]), genes)
        if len(unknown):
            ctx.note(
                f"{len(unknown):,} genes have counts in the cells and none in those learned from: returned as zero"
            )
        if len(genes) < X.shape[1]:
            ctx.note(f"{X.shape[1] - len(genes):,} genes without counts are returned as zero")
        out = ctx.empty(X.shape)
        with ctx.phase("predict"):
            counts = X if len(rows) == X.shape[0] else X[rows]
            counts = counts if len(genes) == X.shape[1] else counts[:, genes]
            for some_cells, some_genes, values in self.blocks(model, counts, ctx):
                _place(out, rows[some_cells], genes[some_genes], values)
                ctx.written(out)
        return {"expression": out}

    def _learn(self, cells: Cells, ctx: Context) -> tuple[np.ndarray, Any]:
        """Genes that have counts, and the model of them."""
        import numpy as np

        from bench.errors import NotApplicableError
        from bench.problem import Cells

        filled = np.flatnonzero(np.asarray(cells.X.sum(axis=1)).ravel() > 0)
        genes = np.flatnonzero(np.asarray(cells.X.sum(axis=0)).ravel() > 0)
        if len(filled) < self.fewest_cells or len(genes) < 2:
            raise NotApplicableError(
                f"{self.name} needs at least {self.fewest_cells} cells and 2 genes with counts to learn from, "
                f"there are {len(filled)} and {len(genes)}"
            )
        known = cells if len(filled) == cells.X.shape[0] else cells.take(filled)
        if len(genes) < cells.X.shape[1]:
            known = Cells(known.X[:, genes], known.obs, known.var.iloc[genes])
        return genes, self.fit(known, ctx)


def log_shares(values: np.ndarray) -> np.ndarray:
    """ln(1 + CP10K) of non-negative amounts (cells, genes); a row of zeros stays zero. Overwrites ``values``."""
    import numpy as np

    from bench.normalise import CP10K

    total = values.sum(axis=1, keepdims=True, dtype=np.float64)
    values *= np.divide(CP10K, total, out=np.zeros_like(total), where=total > 0).astype(values.dtype)
    return np.log1p(values, out=values)


def _place(out: np.ndarray, rows: np.ndarray, genes: np.ndarray, values: np.ndarray) -> None:
    import numpy as np

    if not len(rows) or not len(genes):
        return
    whole = genes[-1] - genes[0] == len(genes) - 1 and rows[-1] - rows[0] == len(rows) - 1
    if whole:
        out[rows[0] : rows[-1] + 1, genes[0] : genes[-1] + 1] = values
    else:
        out[np.ix_(rows, genes)] = values
