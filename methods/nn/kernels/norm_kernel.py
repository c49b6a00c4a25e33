"""Sum and RMSNorm of rows on CPU, compiled by numba: float32, (rows, d_model).

One task is ``ROWS`` rows; each is read from memory once. Sums over a row may be taken in any order, which lets LLVM use
vectors; the order is fixed once compiled, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

ROWS = 64  # rows per task
_ONE = np.float32(1)
_ANY_ORDER = {"reassoc", "contract"}


@njit(error_model="numpy", fastmath=_ANY_ORDER)
def _forward_row(h, residual, weight, eps, total, normed):
    squares = np.float32(0)
    for c in range(len(h)):
        x = h[c] + residual[c]
        total[c] = x
        squares += x * x
    scale = _ONE / np.sqrt(squares / np.float32(len(h)) + np.float32(eps))
    for c in range(len(h)):
        normed[c] = total[c] * scale * weight[c]
    return scale


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def forward(h, residual, weight, eps, total, normed, scales):
    """Fill ``total`` and ``normed`` (rows, d_model) and, for the backward pass, each row's factor, ``scales``."""
    rows = len(h)
    for task in prange((rows + ROWS - 1) // ROWS):
        for i in range(task * ROWS, min((task + 1) * ROWS, rows)):
            scales[i] = _forward_row(h[i], residual[i], weight, eps, total[i], normed[i])


@njit(error_model="numpy", fastmath=_ANY_ORDER)
def _backward_row(total, scale, weight, dnormed, dtotal, dsum, dweight):
    dot = np.float32(0)
    for c in range(len(total)):
        dweight[c] += dnormed[c] * total[c] * scale
        dot += dnormed[c] * weight[c] * total[c]
    shrink = dot * scale * scale / np.float32(len(total))
    for c in range(len(total)):
        dsum[c] = dtotal[c] + scale * (dnormed[c] * weight[c] - shrink * total[c])


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def backward(total, scales, weight, dnormed, dtotal, dsum, dweight):
    """Fill the gradient of the sum, and add to that of the weight, given as zeros, (tasks, d_model)."""
    rows = len(total)
    for task in prange((rows + ROWS - 1) // ROWS):
        for i in range(task * ROWS, min((task + 1) * ROWS, rows)):
            _backward_row(total[i], scales[i], weight, dnormed[i], dtotal[i], dsum[i], dweight[task])
