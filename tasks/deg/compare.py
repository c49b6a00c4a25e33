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
    found, reference = _signs(drawn), _signs(full)[0]
    tables = []
    for direction, signs in DIRECTIONS.items():
        of_draw, of_full = (np.where(np.isin(values, signs), values, 0) for values in (found, reference))
        n_deg, shares = agreement(of_draw, of_full)
        table = {
            "draw": np.arange(len(n_deg)),
            "direction": direction,
            "n_deg": np.where(drawn.defined, n_deg, np.nan),
            **{name: np.where(drawn.defined, values, np.nan) for name, values in shares.items()},
            "rank_correlation": rank,
        }
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def agreement(
    found: NDArray[np.integer], reference: NDArray[np.integer]
) -> tuple[NDArray[np.intp], dict[str, NDArray[np.float64]]]:
    """Numbers of DEGs found, and shares of them that agree; NaN where there is nothing to take a share of.

    Parameters
    ----------
    found
        (draws, genes): 1 of DEGs that are up, -1 of those that are down, else 0.
    reference
        (genes,): alike.

    Returns
    -------
    (draws,) each: numbers, and ``overlap`` (share of the reference that is found, in the same direction),
    ``precision`` (share of what is found that is in the reference) and ``jaccard``.
    """
    n_found, n_reference = (found != 0).sum(axis=1), np.full(len(found), (reference != 0).sum())
    shared = ((found == reference) & (reference != 0)).sum(axis=1)
    return n_found, {
        "overlap": _share(shared, n_reference),
        "precision": _share(shared, n_found),
        "jaccard": _share(shared, n_found + n_reference - shared),
    }


def share_of_both(signs: NDArray[np.integer]) -> NDArray[np.float64]:
    """(draws,): share of the DEGs of two halves together that both have; 0 where neither has any.

    Parameters
    ----------
    signs
        (draws, 2, genes): 1 of DEGs that are up, -1 of those that are down, else 0.
    """
    same = ((signs[:, 0] == signs[:, 1]) & (signs[:, 0] != 0)).sum(axis=1)
    either = (signs != 0).sum(axis=(1, 2))
    return np.where(either > 0, 2 * same / np.maximum(either, 1), 0.0)


def _signs(markers: Markers) -> NDArray[np.int8]:
    return markers.deg(1).astype(np.int8) - markers.deg(-1).astype(np.int8)


def _share(part: NDArray[np.intp], whole: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _rank_correlation(drawn: Markers, full: Markers) -> NDArray[np.float64]:
    genes = full.tested[0]
    correlation = np.full(len(drawn.defined), np.nan)
    if full.defined[0] and genes.sum() >= 3:
        correlation[drawn.defined] = rank_correlation(drawn.log2fc[drawn.defined][:, genes], full.log2fc[0, genes])
    return correlation


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's correlation of each row of ``a`` with ``b`` (genes,); NaN where either is constant."""
    ranks, others = rankdata(a, axis=1), rankdata(b)
    ranks -= ranks.mean(axis=1, keepdims=True)
    others -= others.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation: NDArray[np.float64] = ranks @ others / np.sqrt((ranks**2).sum(axis=1) * (others**2).sum())
    return correlation
