"""Depthwise causal convolution followed by SiLU, in either direction along the sequence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from bench.methods.nn.kernels import conv_kernel
from bench.methods.nn.kernels.cpu_tensors import arrays, first_channels, threads_of_torch, whole_lanes


def causal_conv_silu(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, reverse: bool = False
) -> torch.Tensor:
    """Convolve each channel with its own few taps over the present and the past, then apply SiLU.

    Parameters
    ----------
    x
        (batch, length, channels). Float32 and half precision on CPU go to a compiled kernel, all else to torch.
    weight
        (channels, taps); the last tap is for the present.
    bias
        (channels,).
    reverse
        The past is then what comes later in the sequence; the result stays in the order of the input.
    """
    if x.device.type == "cpu" and x.dtype != torch.float64:
        return _CpuConv.apply(x.float(), weight.float(), bias.float(), reverse).to(x.dtype)
    past = weight.shape[1] - 1
    padded = F.pad(x.transpose(1, 2), (0, past) if reverse else (past, 0))
    taps = weight.flip(1) if reverse else weight
    return F.silu(F.conv1d(padded, taps[:, None].to(x.dtype), bias.to(x.dtype), groups=x.shape[-1])).transpose(1, 2)


class _CpuConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, reverse):
        ctx.channels, ctx.flags = x.shape[-1], (bool(reverse),)
        x, bias, taps = whole_lanes(x), whole_lanes(bias), whole_lanes(weight.flip(1).T)
        out = torch.empty_like(x)
        with threads_of_torch():
            conv_kernel.forward(*arrays(x, taps, bias, out), *ctx.flags)
        ctx.save_for_backward(x, taps, bias)
        return first_channels(out, ctx.channels)

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        x, taps, bias = ctx.saved_tensors
        tasks = len(x) * -(-x.shape[1] // conv_kernel.ROWS)
        dx, dtaps, dbias = torch.empty_like(x), x.new_zeros(tasks, *taps.shape), x.new_zeros(tasks, *bias.shape)
        with threads_of_torch():
            conv_kernel.backward(*arrays(x, taps, bias, whole_lanes(dout), dx, dtaps, dbias), *ctx.flags)
        c = ctx.channels
        return first_channels(dx, c), dtaps.sum(0).flip(0).T[:c], dbias.sum(0)[:c], None
