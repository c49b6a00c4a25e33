"""Over-imputation: zeros that are no dropouts and yet are filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.problem import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.problem import Problem

#: A type must have this many cells for a gene that none of them has to count as silent in it.
MIN_CELLS = 50
#: A gene must be in this share of another type's cells: a gene that is rare everywhere says nothing.
MARKER_SHARE = 0.2
#: Above one count per 100,000, here on the scale ln(1 + counts per 10,000), a zero is turned on.
ON = float(np.log1p(0.1))
_ROWS = 1024


def zeros_turned_on(problem: Problem, expression: Any) -> tuple[Score, pd.DataFrame]:
    """Share of zeros above one count per 100,000 after imputation: of markers of other types, and of all.

    A marker of other types is a gene with counts in at least 20 % of the cells of some type and in none of the cells of
    this one. Both are told from the counts, so a gene may be silent in a type by chance: shares compare methods on one
    dataset, not datasets.
    """
    X = problem.inputs.cells.X
    coarse = (
        problem.solution["cell_type"] if "cell_type" in problem.solution else pd.Series(pd.NA, index=range(X.shape[0]))
    )
    code, names = pd.factorize(coarse)
    silent = _silent(X, code, len(names))
    n = dict.fromkeys(("markers", "all"), 0)
    on = dict.fromkeys(("markers", "all"), 0)
    for start in range(0, X.shape[0], _ROWS):
        rows = np.arange(start, min(start + _ROWS, X.shape[0]))
        zero = ~X[rows].astype(bool).toarray()
        raised = zero & (np.asarray(expression[slice(rows[0], rows[-1] + 1)]) > ON)
        n["all"] += int(zero.sum())
        on["all"] += int(raised.sum())
        foreign = silent[code[rows]] & (code[rows] >= 0)[:, None]
        n["markers"] += int((zero & foreign).sum())
        on["markers"] += int((raised & foreign).sum())
    words = {"markers": "markers of other types that no cell of the type has", "all": "all zeros"}
    table = pd.DataFrame(
        [{"what": words[key], "n": n[key], "share": on[key] / n[key] if n[key] else np.nan} for key in n]
    )
    share = on["markers"] / n["markers"] if n["markers"] else np.nan
    why = "" if n["markers"] else f"no type of {MIN_CELLS} cells lacks a gene that another type has"
    return Score("zeros_turned_on", float(share), n=X.shape[0], detail=why), table


def _silent(X: sparse.csr_matrix, code: NDArray[np.intp], n_types: int) -> NDArray[np.bool_]:
    """(types + 1, genes): genes that no cell of a type has although they mark another; the last row is nobody's."""
    known = code >= 0
    member = sparse.csr_matrix(
        (np.ones(known.sum()), (code[known], np.flatnonzero(known))), shape=(n_types + 1, X.shape[0])
    )
    having = (member @ X.astype(bool).astype(np.float64)).toarray()
    size = np.asarray(member.sum(axis=1)).ravel()
    marks = ((having >= MARKER_SHARE * np.maximum(size, 1)[:, None]) & (size >= MIN_CELLS)[:, None]).any(axis=0)
    silent: NDArray[np.bool_] = (having == 0) & (size >= MIN_CELLS)[:, None] & marks
    silent[-1] = False
    return silent
