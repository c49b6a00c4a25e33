"""The check that the rows of returned expression are in the order of the cells, judged by the visible counts.

Read by methods' processes too, which may run an older Python: nothing here but numpy and the exchange code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import InvalidOutputError
from bench.exchange.expression_scale import are_counts
from bench.normalise import log1p_cp10k

if TYPE_CHECKING:
    from bench.blocks import Rows
    from bench.problem import Inputs

#: Cells whose own counts are compared with what was returned for them, to notice another order; fewer say nothing.
_ORDER_CELLS, _ORDER_FEWEST, _ORDER_GENES = 200, 30, 2000


def check_order(matrix: Rows, inputs: Inputs, name: str) -> None:
    """Refuse a result whose rows belong to other cells.

    What is returned for a cell resembles the cell's own counts more than another's, unless it is the same for many
    cells (means). So: rows that resemble their own counts no more often than a random other cell's, although nearly
    each has a best match of its own among the cells, are in another order.
    """
    n = matrix.shape[0]
    if n < _ORDER_FEWEST:
        return
    visible = inputs.cells.X
    visible = log1p_cp10k(visible) if are_counts(visible) else visible
    total = np.asarray(visible.sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-total, kind="stable")[:_ORDER_GENES])
    rng = np.random.default_rng(0)
    cells = np.sort(rng.choice(n, min(n, _ORDER_CELLS), replace=False))
    returned = matrix[cells][:, genes].astype(np.float64)
    returned -= returned.mean(axis=1, keepdims=True)
    reference = visible[:, genes].astype(np.float64)
    mean = np.asarray(reference.mean(axis=1)).ravel()
    spread = np.sqrt(np.maximum(np.asarray(reference.power(2).mean(axis=1)).ravel() - mean**2, 1e-12))
    alike = (reference @ returned.T).T / spread  # returned is centred, so the mean of reference drops out
    own = alike[np.arange(len(cells)), cells]
    other = alike[np.arange(len(cells)), (cells + rng.integers(1, n, len(cells))) % n]
    distinct = len(np.unique(alike.argmax(axis=1))) / len(cells)
    if np.mean(own > other) < 0.6 and distinct > 0.8:
        raise InvalidOutputError(
            f"the rows of {name!r} are not in the order of the cells: only {np.mean(own > other):.0%} resemble the "
            "cell's own counts more than a random other cell's",
            fix="return the rows in the order of inputs.cells",
        )
