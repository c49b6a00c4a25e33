"""Agreement of the DEGs of a draw with those of the full data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tasks.deg.markers import Markers

#: Direction -> signs of the log fold change.
DIRECTIONS = {"up": (1,), "down": (-1,), "both": (1, -1)}


def compare(drawn: Markers, full: Markers) -> pd.DataFrame:
    """Compare the DEGs of each draw with those of the full data.

    Parameters
    ----------
    drawn
        A pair per draw.
    full
        One pair.

    Returns
    -------
    A row a draw and direction (up, down, both; a gene must change in the same direction): ``draw``, ``direction``,
    ``n_deg`` (of the draw), ``overlap`` (share of the full data's DEGs that the draw finds), ``precision`` (share of
    the draw's that the full data have), ``jaccard``, ``rank_correlation`` (Spearman's, of the log fold changes of the
    genes tested in the full data; the same for all directions). NaN where there is no DEG to take a share of, and in
    draws with fewer than 3 cells in an arm.
    """
    rank = _rank_correlation(drawn, full)
    of_draw = {sign: drawn.deg(sign) for sign in (1, -1)}
    of_full = {sign: full.deg(sign)[0] for sign in (1, -1)}
    tables = []
    for direction, signs in DIRECTIONS.items():
        n_draw = np.sum([of_draw[s].sum(axis=1) for s in signs], axis=0)
        n_full = sum(int(of_full[s].sum()) for s in signs)
        shared = np.sum([(of_draw[s] & of_full[s]).sum(axis=1) for s in signs], axis=0)
        table = {
            "draw": np.arange(len(n_draw)),
            "direction": direction,
            "n_deg": np.where(drawn.defined, n_draw, np.nan),
            "overlap": _share(shared, np.full(len(n_draw), n_full), drawn.defined),
            "precision": _share(shared, n_draw, drawn.defined),
            "jaccard": _share(shared, n_draw + n_full - shared, drawn.defined),
            "rank_correlation": rank,
        }
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def _share(part: NDArray[np.intp], whole: NDArray[np.intp], defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=(whole > 0) & defined)


def _rank_correlation(drawn: Markers, full: Markers) -> NDArray[np.float64]:
    genes = full.tested[0]
    correlation = np.full(len(drawn.defined), np.nan)
    if not full.defined[0] or genes.sum() < 3:
        return correlation
    ranks = rankdata(drawn.log2fc[drawn.defined][:, genes], axis=1)
    full_ranks = rankdata(full.log2fc[0, genes])
    ranks -= ranks.mean(axis=1, keepdims=True)
    full_ranks -= full_ranks.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation[drawn.defined] = ranks @ full_ranks / np.sqrt((ranks**2).sum(axis=1) * (full_ranks**2).sum())
    return correlation
