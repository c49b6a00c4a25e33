"""Proportion of artificial nearest neighbours (pANN), exactly, without a neighbour list or an N x N array.

pANN only needs *how many* of a cell's k nearest points are artificial. So each row is bracketed by a lower and an upper
distance, estimated from a fixed random sample of points; while a leaf of points is in cache, points below the bracket
are counted and those inside it kept; the k-th distance is then selected among the few kept. Leaves (of a median-split
tree) whose bounding box lies beyond the upper distance are skipped. A row whose bracket turns out wrong is done over in
full, so the result depends neither on the sample nor on the tree.

Order of neighbours: by distance, and equal distances by position with real cells first, then the first one (the cell
itself, or a duplicate of it) is left out. That is the stable order of DoubletFinder 2.0.6.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np

_LEAF = 256  # points whose distances are held at a time
_ROWS = 64  # rows that share a pass over the points
_SELECT_UP_TO = 2048  # points up to which the threshold is selected among all distances at once
_SPREAD = 4.0  # half-width of the bracket in standard errors of the sampled rank
_DIMS = 5  # coordinates per pass of the distance loop; the rest is padded with zeros
_ROWS_PER_CALL = 1 << 14  # between two progress messages


@numba.njit(inline="always")
def _distances(points, row, others, start, stop, out):
    """Squared distances of point ``row`` to ``others[:, start:stop]`` (a coordinate a line, lines a multiple of 5)."""
    for d in range(0, points.shape[0], _DIMS):
        x0, x1, x2 = points[d, row], points[d + 1, row], points[d + 2, row]
        x3, x4 = points[d + 3, row], points[d + 4, row]
        p0, p1, p2 = others[d, start:stop], others[d + 1, start:stop], others[d + 2, start:stop]
        p3, p4 = others[d + 3, start:stop], others[d + 4, start:stop]
        if d == 0:
            for j in range(stop - start):
                out[j] = 0.0
        for j in range(stop - start):
            d0, d1, d2, d3, d4 = x0 - p0[j], x1 - p1[j], x2 - p2[j], x3 - p3[j], x4 - p4[j]
            out[j] += d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4


@numba.njit
def _artificial_among(real, artificial, rank):
    """Artificial distances among the ``rank`` smallest of both, real ones first where they are equal."""
    both = np.concatenate((real, artificial))
    threshold = np.partition(both, rank - 1)[rank - 1]
    up_to = 0
    for value in real:
        up_to += value <= threshold
    below = 0
    for value in artificial:
        below += value < threshold
    return max(below, rank - up_to)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _count_exact(points, n_real, rank, first, out):
    n = points.shape[1]
    for i in numba.prange(len(out)):
        distance = np.empty(n, points.dtype)
        _distances(points, first + i, points, 0, n, distance)
        out[i] = _artificial_among(distance[:n_real], distance[n_real:], rank)


@numba.njit
def _scan(distance, size, low, high, distances, n_distances):
    """Count what is below the bracket, append what is in it."""
    below = 0
    for j in range(size):
        below += distance[j] < low
    for j in range(size):
        value = distance[j]
        distances[n_distances] = value
        n_distances += (value >= low) & (value <= high)
    return below, n_distances


@numba.njit(inline="always")
def _gap(low, high, box_low, box_high):
    """Squared distance between two boxes, a hair too small so that rounding never loses a point."""
    total = 0.0
    for d in range(len(low)):
        total += max(0.0, box_low[d] - high[d], low[d] - box_high[d]) ** 2
    return total * (1 - 1e-9)


@numba.njit
def _brackets(points, first, sample, low_rank, high_rank, low, high):
    """Fill ``low`` and ``high`` with the distances at two ranks of the sample, for consecutive rows."""
    n_sample = sample.shape[1]
    distance = np.empty(n_sample)
    for r in range(len(low)):
        _distances(points, first + r, sample, 0, n_sample, distance)
        ordered = np.partition(distance, min(high_rank, n_sample - 1))
        high[r] = ordered[high_rank] if high_rank < n_sample else np.inf
        low[r] = np.partition(ordered[: high_rank + 1], low_rank)[low_rank] if low_rank >= 0 else -1.0


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _count_bracketed(points, leaves, boxes, n_real, rank, first, out, sample, ranks, capacity):
    """As :func:`_count_exact` but -1 in ``out`` for rows whose bracket missed."""
    for block in numba.prange((len(out) + _ROWS - 1) // _ROWS):
        begin = block * _ROWS
        size = min(_ROWS, len(out) - begin)
        row = first + begin
        low, high = np.empty(size), np.empty(size)
        _brackets(points, row, sample, ranks[0], ranks[1], low, high)
        widest = high.max()
        coords = np.ascontiguousarray(points[:, row : row + size].T)
        block_low, block_high = coords[0].copy(), coords[0].copy()
        for r in range(1, size):
            block_low, block_high = np.minimum(block_low, coords[r]), np.maximum(block_high, coords[r])
        distance = np.empty(_LEAF)
        bracketed = np.empty((size, capacity + _LEAF))
        below, n_kept = np.zeros((size, 2), np.int64), np.zeros((size, 2), np.int64)
        for leaf in range(len(leaves) - 1):
            start, stop = leaves[leaf], leaves[leaf + 1]
            kind = int(start >= n_real)
            if _gap(block_low, block_high, boxes[leaf, 0], boxes[leaf, 1]) > widest:
                continue
            for r in range(size):
                n = n_kept[r, 0] + n_kept[r, 1]
                if n > capacity or _gap(coords[r], coords[r], boxes[leaf, 0], boxes[leaf, 1]) > high[r]:
                    continue
                _distances(points, row + r, points, start, stop, distance)
                count, end = _scan(distance, stop - start, low[r], high[r], bracketed[r], n)
                below[r, kind] += count
                n_kept[r, kind] += end - n
        for r in range(size):
            left_over = rank - below[r].sum()
            n = n_kept[r].sum()
            if n > capacity or left_over < 1 or left_over > n:
                out[begin + r] = -1
            else:
                real, artificial = bracketed[r, : n_kept[r, 0]], bracketed[r, n_kept[r, 0] : n]
                out[begin + r] = below[r, 1] + _artificial_among(real, artificial, left_over)


def _leaf_order(coords: np.ndarray, members: np.ndarray) -> list[np.ndarray]:
    """Split ``members`` at the median of their widest coordinate until none has more than a leaf of them."""
    if len(members) <= _LEAF:
        return [members]
    inside = coords[members]
    half = len(members) // 2
    order = np.argpartition(inside[:, inside.var(axis=0).argmax()], half)
    return _leaf_order(coords, members[order[:half]]) + _leaf_order(coords, members[order[half:]])


def _padded(coords: np.ndarray) -> np.ndarray:
    """Coordinates as the kernels want them: one coordinate a line, lines of zeros up to a multiple of five."""
    points = np.zeros((-(-max(coords.shape[1], 1) // _DIMS) * _DIMS, len(coords)))
    points[: coords.shape[1]] = coords.T
    return points


def _bracket(n: int, n_sample: int, rank: int) -> tuple[int, int, int]:
    """Ranks in the sample that bracket ``rank`` of ``n``, and how many points to expect between them (with room)."""
    share = rank / n
    middle = share * n_sample
    spread = _SPREAD * np.sqrt(n_sample * share * (1 - share)) + 3
    low, high = int(middle - spread) if middle > spread else -1, int(np.ceil(middle + spread))
    return low, high, int(1.5 * n / n_sample * (min(high, n_sample) - max(low, 0))) + _LEAF


def count_artificial(
    coords: np.ndarray, n_real: int, k: int, progress: Callable[[float], None] = lambda fraction: None
) -> np.ndarray:
    """Number of artificial points among the ``k`` nearest neighbours of each real one.

    Parameters
    ----------
    coords
        Points x coordinates; the first ``n_real`` are real, the rest artificial.
    n_real
        Number of real points.
    k
        Neighbours, 1 <= k < number of points.
    progress
        Told the share of the rows done.

    Returns
    -------
    One count per real point. Time grows with points squared, memory with points.
    """
    points = _padded(coords)
    n = points.shape[1]
    counts = np.empty(n_real, np.int64)
    if n <= _SELECT_UP_TO:
        _count_exact(points, n_real, k + 1, 0, counts)
        return counts
    members = _leaf_order(coords, np.arange(n_real)) + _leaf_order(coords, np.arange(n_real, n))
    members = [leaf for leaf in members if len(leaf)]
    order = np.concatenate(members)
    leaves = np.cumsum([0, *map(len, members)])
    points = np.ascontiguousarray(points[:, order])
    boxes = np.array([[points[:, a:b].min(axis=1), points[:, a:b].max(axis=1)] for a, b in pairwise(leaves)])
    n_sample = round(n ** (2 / 3))  # so that selecting in the sample costs as much as selecting in the bracket
    chosen = np.sort(np.random.default_rng(0).choice(n, n_sample, replace=False))
    sample = np.ascontiguousarray(points[:, chosen])
    low, high, capacity = _bracket(n, n_sample, k + 1)
    for first in range(0, n_real, _ROWS_PER_CALL):
        out = np.empty(min(_ROWS_PER_CALL, n_real - first), np.int64)
        ranks = np.array([low, high])
        _count_bracketed(points, leaves, boxes, n_real, k + 1, first, out, sample, ranks, capacity)
        for missed in np.flatnonzero(out < 0):
            _count_exact(points, n_real, k + 1, first + missed, out[missed : missed + 1])
        counts[order[first : first + len(out)]] = out
        progress((first + len(out)) / n_real)
    return counts


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _all_distances(points, first, out):
    for i in range(len(out)):
        _distances(points, first + i, points, 0, points.shape[1], out[i])


@numba.njit(nogil=True, cache=True)
def _merge_counts(distances, n_real, ks, out):
    for row in range(len(distances)):
        real, artificial = distances[row, :n_real], distances[row, n_real:]
        a = 0
        step = 0
        for c in range(len(ks)):
            while step <= ks[c]:
                r = step - a
                if r >= len(real) or (a < len(artificial) and artificial[a] < real[r]):
                    a += 1
                step += 1
            out[row, c] = a


def count_artificial_each(coords: np.ndarray, n_real: int, ks: np.ndarray, threads: int = 1) -> np.ndarray:
    """:func:`count_artificial` for several ``k`` at once, by sorting each row: real points x ``ks`` (rising)."""
    points = _padded(coords)
    counts = np.empty((n_real, len(ks)), np.int64)
    rows = max(1, (1 << 21) // points.shape[1])

    def do(first: int) -> None:
        block = np.empty((min(rows, n_real - first), points.shape[1]))
        _all_distances(points, first, block)
        block[:, :n_real].sort(axis=1)
        block[:, n_real:].sort(axis=1)
        _merge_counts(block, n_real, ks, counts[first : first + rows])

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(do, first) for first in range(0, n_real, rows)]:
            done.result()
    return counts
