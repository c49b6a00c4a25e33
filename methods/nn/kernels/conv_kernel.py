"""Depthwise causal convolution and SiLU in one pass on CPU, compiled by numba: float32, (batch, length, channels).

``weight`` is (taps, channels), tap j for the value j steps ago. Channels must be a multiple of 16. With ``reverse`` the
past is what comes later in the sequence. One task is ``ROWS`` neighbouring steps with all their channels, read in the
order in which they lie in memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from bench.methods.nn.kernels.lanes import LANES, load, sigmoid, spread, store, zeros

ROWS = 64  # steps per task
_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(error_model="numpy")
def _at(k, length, channels, first, reverse):
    """Flat position of a block of channels at step k."""
    return (length - 1 - k if reverse else k) * channels + first


@njit(error_model="numpy")
def _in_memory_order(start, stop, reverse):
    """Steps from ``start`` to ``stop``, ascending in memory: rows read downwards come a third more slowly."""
    return range(stop - 1, start - 1, -1) if reverse else range(start, stop, 1)


@njit(error_model="numpy")
def _before_silu(x, weight, bias, k, first, reverse):
    length, channels = x.shape
    total = load(bias, first)
    for j in range(min(weight.shape[0], k + 1)):
        total = total + load(weight, j * channels + first) * load(x, _at(k - j, length, channels, first, reverse))
    return total


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def forward(x, weight, bias, out, reverse):
    """Fill ``out``, of the shape of ``x``."""
    batch, length, channels = x.shape
    tasks = (length + ROWS - 1) // ROWS
    for task in prange(batch * tasks):
        i, start = task // tasks, task % tasks * ROWS
        for k in _in_memory_order(start, min(start + ROWS, length), reverse):
            for first in range(0, channels, LANES):
                s = _before_silu(x[i], weight, bias, k, first, reverse)
                store(out[i], _at(k, length, channels, first, reverse), s * sigmoid(s))


@njit(error_model="numpy")
def _backward_rows(x, weight, bias, reverse, start, dout, dx, dweight, dbias):
    length, channels = x.shape
    taps = weight.shape[0]
    stop, reached = min(start + ROWS, length), min(start + ROWS + taps - 1, length)
    ds = zeros((reached - start) * channels // LANES)
    for k in _in_memory_order(start, reached, reverse):  # beyond the task's own steps as far as these are still felt
        for first in range(0, channels, LANES):
            s = _before_silu(x, weight, bias, k, first, reverse)
            open_by = sigmoid(s)
            slope = open_by * (spread(_ONE) + s * (spread(_ONE) - open_by))
            d = load(dout, _at(k, length, channels, first, reverse)) * slope
            store(ds, (k - start) * channels + first, d)
    for k in _in_memory_order(start, stop, reverse):
        for first in range(0, channels, LANES):
            d, total = load(ds, (k - start) * channels + first), spread(_ZERO)
            store(dbias, first, load(dbias, first) + d)
            for j in range(min(taps, k + 1)):
                tap, past = j * channels + first, load(x, _at(k - j, length, channels, first, reverse))
                store(dweight, tap, load(dweight, tap) + d * past)
            for j in range(min(taps, reached - k)):
                total = total + load(weight, j * channels + first) * load(ds, (k - start + j) * channels + first)
            store(dx, _at(k, length, channels, first, reverse), total)


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def backward(x, weight, bias, dout, dx, dweight, dbias, reverse):
    """Fill the gradients given ``dout``.

    Those of weight and bias come as zeros, with the batch times the tasks per sequence as their first axis, over which
    they are still to be summed.
    """
    batch, length, _ = x.shape
    tasks = (length + ROWS - 1) // ROWS
    for task in prange(batch * tasks):
        i, start = task // tasks, task % tasks * ROWS
        _backward_rows(x[i], weight, bias, reverse, start, dout[i], dx[i], dweight[task], dbias[task])
