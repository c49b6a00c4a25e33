"""The selective scan on CPU, compiled by numba: forward and backward over (batch, length, channels) in float32.

One task is one sequence and a few neighbouring channels, 16 at a time; their state, (states, 16), never leaves the
cache. The forward pass keeps the state before every ``CHUNK``-th step; the backward pass goes through the chunks from
the last to the first, recomputes the states within each, and so needs memory proportional to length x channels only.
Sums over channels (gradients of B and C) are kept apart per task and added up at the end in a fixed order, so that
results do not depend on the number of threads.

With ``reverse`` step k reads and writes position ``length - 1 - k``: no flipped copy is made. Channels must be a
multiple of 16. ``A`` is (states, channels) and already multiplied by log2(e).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from bench.methods.nn.kernels.lanes import LANES, exp2, lane_sums, load, sigmoid, softplus, spread, store, zeros

CHUNK = 64  # steps between two saved states
BLOCKS = 4  # blocks of 16 channels whose gradients of B and C are added up as they come
_ZERO, _ONE, _LN2 = np.float32(0), np.float32(1), np.float32(0.6931471805599453)


@njit(error_model="numpy")
def _rates(A, first):
    """The block's columns of ``A`` side by side: a power of two apart, they would push each other out of the cache."""
    states, channels = A.shape
    rates = zeros(states)
    for n in range(states):
        store(rates, n * LANES, load(A, n * channels + first))
    return rates


@njit(error_model="numpy")
def _forward_block(u, delta, A, B, C, D, z, bias, softplus_delta, gated, reverse, first, out, saved):
    length, channels = u.shape
    states = A.shape[0]
    h, rates = zeros(states), _rates(A, first)
    shift, skip = load(bias, first), load(D, first)
    for k in range(length):
        t = length - 1 - k if reverse else k
        if k % CHUNK == 0:
            for n in range(states):
                store(saved, (k // CHUNK * states + n) * channels + first, load(h, n * LANES))
        at = t * channels + first
        step = load(delta, at) + shift
        if softplus_delta:
            step = softplus(step)
        x = load(u, at)
        drive = step * x
        y = skip * x
        for n in range(states):
            decay = exp2(step * load(rates, n * LANES))
            state = decay * load(h, n * LANES) + spread(B[t, n]) * drive
            store(h, n * LANES, state)
            y = y + spread(C[t, n]) * state
        if gated:
            gate = load(z, at)
            y = y * gate * sigmoid(gate)
        store(out, at, y)


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def forward(u, delta, A, B, C, D, z, bias, softplus_delta, gated, reverse, out, saved):
    """Fill ``out`` (batch, length, channels) and ``saved`` (batch, chunks, states, channels).

    Without a gate ``z`` is not read but must have the batch's size.
    """
    batch, _, channels = u.shape
    blocks = channels // LANES
    for task in prange(batch * blocks):
        i, first = task // blocks, task % blocks * LANES
        _forward_block(
            u[i], delta[i], A, B[i], C[i], D, z[i], bias, softplus_delta, gated, reverse, first, out[i], saved[i]
        )


@njit(error_model="numpy")
def _recompute(u, delta, rates, B, C, D, bias, softplus_delta, reverse, first, saved, chunk, h, decays, steps, y):
    """States before and after each step of a chunk, decays and step sizes, and ``y`` before the gate."""
    length, channels = u.shape
    states = B.shape[1]
    shift, skip = load(bias, first), load(D, first)
    for n in range(states):
        store(h, n * LANES, load(saved, (chunk * states + n) * channels + first))
    for j in range(min(CHUNK, length - chunk * CHUNK)):
        k = chunk * CHUNK + j
        t = length - 1 - k if reverse else k
        at = t * channels + first
        step = load(delta, at) + shift
        if softplus_delta:
            step = softplus(step)
        x = load(u, at)
        drive = step * x
        output = skip * x
        for n in range(states):
            offset = (j * states + n) * LANES
            decay = exp2(step * load(rates, n * LANES))
            state = decay * load(h, offset) + spread(B[t, n]) * drive
            store(decays, offset, decay)
            store(h, offset + states * LANES, state)
            output = output + spread(C[t, n]) * state
        store(steps, j * LANES, step)
        store(y, j * LANES, output)


@njit(error_model="numpy")
def _backward_block(
    u,
    delta,
    A,
    B,
    C,
    D,
    z,
    bias,
    softplus_delta,
    gated,
    reverse,
    first,
    saved,
    dout,
    du,
    ddelta,
    dA,
    dB,
    dC,
    dD,
    dz,
    dbias,
):
    length, channels = u.shape
    states, padded = A.shape[0], dB.shape[1]
    shift, skip = load(bias, first), load(D, first)
    h, decays, steps, y = zeros((CHUNK + 1) * states), zeros(CHUNK * states), zeros(CHUNK), zeros(CHUNK)
    rates = _rates(A, first)
    carry, dA_sum, dB_lanes, dC_lanes = zeros(states), zeros(states), zeros(padded), zeros(padded)
    zero = spread(_ZERO)
    dD_sum, dbias_sum = zero, zero
    for chunk in range(saved.shape[0] - 1, -1, -1):
        _recompute(u, delta, rates, B, C, D, bias, softplus_delta, reverse, first, saved, chunk, h, decays, steps, y)
        for j in range(min(CHUNK, length - chunk * CHUNK) - 1, -1, -1):
            k = chunk * CHUNK + j
            t = length - 1 - k if reverse else k
            at = t * channels + first
            x, step, dy = load(u, at), load(steps, j * LANES), load(dout, at)
            if gated:
                gate = load(z, at)
                open_by = sigmoid(gate)
                slope = open_by * (spread(_ONE) + gate * (spread(_ONE) - open_by))
                store(dz, at, dy * load(y, j * LANES) * slope)
                dy = dy * gate * open_by
            drive = step * x
            ddrive, dexponent = zero, zero
            for n in range(states):
                offset = (j * states + n) * LANES
                dstate = load(carry, n * LANES) + spread(C[t, n]) * dy
                store(dC_lanes, n * LANES, dy * load(h, offset + states * LANES))
                store(dB_lanes, n * LANES, dstate * drive)
                ddrive = ddrive + spread(B[t, n]) * dstate
                passed_on = dstate * load(decays, offset)
                store(carry, n * LANES, passed_on)
                ddecay = passed_on * load(h, offset)
                dexponent = dexponent + ddecay * load(A, n * channels + first)
                store(dA_sum, n * LANES, load(dA_sum, n * LANES) + ddecay * step)
            for n in range(0, padded, LANES):
                store(dB, t * padded + n, load(dB, t * padded + n) + lane_sums(dB_lanes, n * LANES))
                store(dC, t * padded + n, load(dC, t * padded + n) + lane_sums(dC_lanes, n * LANES))
            dstep = spread(_LN2) * dexponent + ddrive * x
            if softplus_delta:
                dstep = dstep * sigmoid(load(delta, at) + shift)
            store(du, at, ddrive * step + dy * skip)
            store(ddelta, at, dstep)
            dD_sum = dD_sum + dy * x
            dbias_sum = dbias_sum + dstep
    for n in range(states):
        store(dA, n * channels + first, load(dA_sum, n * LANES))
    store(dD, first, dD_sum)
    store(dbias, first, dbias_sum)


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def backward(
    u, delta, A, B, C, D, z, bias, softplus_delta, gated, reverse, saved, dout, du, ddelta, dA, dB, dC, dD, dz, dbias
):
    """Fill the gradients of everything ``forward`` read, given ``dout``.

    ``dA``, ``dD`` and ``dbias`` have the batch as their first axis; ``dB`` and ``dC``, given as zeros, the batch times
    the tasks per sequence, with states rounded up to a multiple of 16. All are still to be summed over that axis.
    """
    batch, _, channels = u.shape
    blocks = channels // LANES
    tasks = dB.shape[0] // batch
    for task in prange(batch * tasks):
        i = task // tasks
        for block in range(task % tasks * BLOCKS, min((task % tasks + 1) * BLOCKS, blocks)):
            _backward_block(
                u[i], delta[i], A, B[i], C[i], D, z[i], bias, softplus_delta, gated, reverse, block * LANES, saved[i],
                dout[i], du[i], ddelta[i], dA[i], dB[task], dC[task], dD[i], dz[i], dbias[i],
            )  # fmt: skip
