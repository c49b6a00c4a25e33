"""Depthwise causal convolution and SiLU in one pass on CPU, compiled by numba: float32, (batch, length, channels).

``weight`` is (taps, channels), tap j for the value j steps ago. Channels must be a multiple of 16. With ``reverse`` the
past is what comes later in the sequence.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from bench.methods.nn._lanes import LANES, load, sigmoid, spread, store, zeros

_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(error_model="numpy")
def _at(k, length, channels, first, reverse):
    """Flat position of the block's channels at step k."""
    return (length - 1 - k if reverse else k) * channels + first


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
    blocks = channels // LANES
    for task in prange(batch * blocks):
        i, first = task // blocks, task % blocks * LANES
        for k in range(length):
            s = _before_silu(x[i], weight, bias, k, first, reverse)
            store(out[i], _at(k, length, channels, first, reverse), s * sigmoid(s))


@njit(error_model="numpy")
def _backward_block(x, weight, bias, reverse, first, dout, dx, dweight, dbias):
    length, channels = x.shape
    taps = weight.shape[0]
    ds = zeros(length)
    dbias_sum = spread(_ZERO)
    for k in range(length):
        s = _before_silu(x, weight, bias, k, first, reverse)
        open_by = sigmoid(s)
        slope = open_by * (spread(_ONE) + s * (spread(_ONE) - open_by))
        d = load(dout, _at(k, length, channels, first, reverse)) * slope
        store(ds, k * LANES, d)
        dbias_sum = dbias_sum + d
    store(dbias, first, dbias_sum)
    for j in range(taps):
        dtap = spread(_ZERO)
        for k in range(j, length):
            dtap = dtap + load(ds, k * LANES) * load(x, _at(k - j, length, channels, first, reverse))
        store(dweight, j * channels + first, dtap)
    for k in range(length):
        total = spread(_ZERO)
        for j in range(min(taps, length - k)):
            total = total + load(weight, j * channels + first) * load(ds, (k + j) * LANES)
        store(dx, _at(k, length, channels, first, reverse), total)


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def backward(x, weight, bias, dout, dx, dweight, dbias, reverse):
    """Fill the gradients given ``dout``; those of weight and bias have the batch as their first axis."""
    batch, _, channels = x.shape
    blocks = channels // LANES
    for task in prange(batch * blocks):
        i, first = task // blocks, task % blocks * LANES
        _backward_block(x[i], weight, bias, reverse, first, dout[i], dx[i], dweight[i], dbias[i])
