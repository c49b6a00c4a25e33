"""Addition to the residual and RMSNorm of the sum, in one pass on CPU."""

from __future__ import annotations

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from bench.methods.nn.kernels import norm_kernel
from bench.methods.nn.kernels.cpu_tensors import arrays, threads_of_torch


def add_and_normalise(
    h: torch.Tensor, residual: torch.Tensor | None, norm: nn.RMSNorm
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add ``h`` to the residual and normalise the sum x: ``x / sqrt(mean(x^2) + eps) * weight`` over the last axis.

    Parameters
    ----------
    h
        (batch, length, d_model). Float32 and half precision on CPU go to a compiled kernel, all else to torch.
    residual
        Of the same shape, in float32 or wider; None for the first block, which has nothing to add to.
    norm
        Its weight, (d_model,), and its eps.

    Returns
    -------
    The normalised sum, and the sum itself, which is the next residual; both at least float32.
    """
    if h.device.type == "cpu" and h.dtype != torch.float64:
        return _CpuAddNorm.apply(h.float(), residual, norm.weight.float(), norm.eps)
    total = h.to(torch.promote_types(h.dtype, torch.float32)) if residual is None else residual + h
    return norm(total), total


class _CpuAddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, residual, weight, eps):
        h, weight = h.contiguous(), weight.contiguous()
        rows, total, normed = h.view(-1, h.shape[-1]), torch.empty_like(h), torch.empty_like(h)
        scales = h.new_empty(len(rows))
        before = torch.zeros_like(h) if residual is None else residual.contiguous()
        with threads_of_torch():
            given = arrays(rows, before.view_as(rows), weight)
            made = arrays(total.view_as(rows), normed.view_as(rows), scales)
            norm_kernel.forward(*[*given, eps, *made])
        ctx.save_for_backward(total, scales, weight)
        ctx.first = residual is None
        return normed, total

    @staticmethod
    @once_differentiable
    def backward(ctx, dnormed, dtotal):
        total, scales, weight = ctx.saved_tensors
        rows, dsum = total.view(-1, total.shape[-1]), torch.empty_like(total)
        dweight = total.new_zeros(-(-len(rows) // norm_kernel.ROWS), len(weight))
        flat = (x.contiguous().view_as(rows) for x in (dnormed, dtotal))
        with threads_of_torch():
            norm_kernel.backward(*arrays(rows, scales, weight, *flat, dsum.view_as(rows), dweight))
        return dsum, None if ctx.first else dsum, dweight.sum(0), None
