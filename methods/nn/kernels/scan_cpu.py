"""The compiled CPU scan as a differentiable function of torch tensors."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from bench.methods.nn.kernels import scan_kernel
from bench.methods.nn.kernels.cpu_tensors import arrays, first_channels, rounded_up, threads_of_torch, whole_lanes
from bench.methods.nn.kernels.lanes import LANES

_LOG2E = 1.4426950408889634


class CpuScan(torch.autograd.Function):
    """``selective_scan`` on float32 CPU tensors; arguments in the same order, ``reverse`` last."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse):
        """Scan, and keep the inputs and every 64th state for the backward pass."""
        batch, length, channels = u.shape
        states = A.shape[1]
        u, delta = whole_lanes(u), whole_lanes(delta)
        A = whole_lanes(A.T * _LOG2E)
        B, C = B.contiguous(), C.contiguous()
        zeros = u.new_zeros(u.shape[-1])
        skip = zeros if D is None else whole_lanes(D)
        bias = zeros if delta_bias is None else whole_lanes(delta_bias)
        gate = u.new_empty(batch, 1, 1) if z is None else whole_lanes(z)
        out = torch.empty_like(u)
        saved = u.new_empty(batch, -(-length // scan_kernel.CHUNK), states, u.shape[-1])
        ctx.flags = (bool(delta_softplus), z is not None, bool(reverse))
        with threads_of_torch():
            scan_kernel.forward(*arrays(u, delta, A, B, C, skip, gate, bias), *ctx.flags, *arrays(out, saved))
        ctx.save_for_backward(u, delta, A, B, C, skip, gate, bias, saved)
        ctx.channels = channels
        return first_channels(out, channels)

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        """Gradients of all tensors, whichever of them are asked for: they share one pass."""
        u, delta, A, B, C, skip, gate, bias, saved = ctx.saved_tensors
        batch, length, width = u.shape
        states = A.shape[0]
        tasks = -(-width // (LANES * scan_kernel.BLOCKS))
        du, ddelta, dz = torch.empty_like(u), torch.empty_like(u), torch.empty_like(gate)
        dA, dD, dbias = (u.new_empty(batch, *shape) for shape in ((states, width), (width,), (width,)))
        dB, dC = (u.new_zeros(batch * tasks, length, rounded_up(states)) for _ in range(2))
        grads = (du, ddelta, dA, dB, dC, dD, dz, dbias)
        with threads_of_torch():
            scan_kernel.backward(
                *arrays(u, delta, A, B, C, skip, gate, bias), *ctx.flags, *arrays(saved, whole_lanes(dout), *grads)
            )
        c = ctx.channels
        dB, dC = ((x if tasks == 1 else x.view(batch, tasks, length, -1).sum(1))[..., :states] for x in (dB, dC))
        dA, dD, dbias = dA.sum(0).T[:c], dD.sum(0)[:c], dbias.sum(0)[:c]
        gradients = (first_channels(du, c), first_channels(ddelta, c), dA, dB, dC, dD, first_channels(dz, c), dbias)
        return *(x if needed else None for x, needed in zip(gradients, ctx.needs_input_grad, strict=False)), None, None
