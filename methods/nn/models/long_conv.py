"""The two convolutions of Hyena, per channel along the last axis: one with a filter over all lags, one with few taps.

Both are differentiable functions with a backward pass of their own: torch's for real FFTs goes through complex ones of
full length, and its depthwise convolution is several times slower on CPU than a sum of shifted copies.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch.autograd.function import once_differentiable

from bench.errors import BenchError


def two_sided_convolution(u: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Every output reads every input: ``y_i = sum_j filter(i - j) u_j`` with j over the whole sequence.

    Parameters
    ----------
    u
        (batch, channels, length), float32 or float64.
    filters
        (channels, 2 length - 1): the values at lags -(length - 1) to length - 1; negative lags read what comes later.

    Returns
    -------
    (batch, channels, length), by FFT in length x log(length) time.

    Raises
    ------
    BenchError
        The filters are not for this length.
    """
    lags = 2 * u.shape[-1] - 1
    if filters.shape != (u.shape[1], lags):
        raise BenchError(
            f"The filters must be {u.shape[1]} x {lags}, a value for each channel and lag",
            where=f"they are {tuple(filters.shape)}, for an input of {tuple(u.shape)}",
            fix="evaluate them at the lags of this length",
        )
    return _TwoSidedConvolution.apply(u, filters)


class _TwoSidedConvolution(torch.autograd.Function):
    """A circular convolution of at least 2 length - 1 points keeps all lags apart; more zeros are not needed."""

    @staticmethod
    def forward(ctx, u, filters):
        length = u.shape[-1]
        points = next_fast_len(2 * length - 1, real=True)
        # Lag 0 comes first and negative lags last, as the circle has it: outputs are then where their inputs are.
        circular = F.pad(filters, (0, points - filters.shape[-1])).roll(1 - length, -1)
        u_f, filters_f = torch.fft.rfft(u, n=points), torch.fft.rfft(circular)
        ctx.save_for_backward(u_f, filters_f)
        ctx.length, ctx.points = length, points
        return torch.fft.irfft(u_f * filters_f, n=points)[..., :length]

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        u_f, filters_f = ctx.saved_tensors
        length, points = ctx.length, ctx.points
        dy_f = torch.fft.rfft(dy, n=points)
        du = torch.fft.irfft(dy_f * filters_f.conj(), n=points)[..., :length]
        circular = torch.fft.irfft((dy_f * u_f.conj()).sum(0), n=points)
        return du, circular.roll(length - 1, -1)[..., : 2 * length - 1]


def short_convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, past: int) -> torch.Tensor:
    """``y_i = bias + sum_j weight_j x_(i + j - past)``, zeros beyond both ends.

    Parameters
    ----------
    x
        (batch, channels, length).
    weight, bias
        (channels, taps) and (channels,).
    past
        How many taps come before the one of the present: all but one make it causal, half of them centre it.
    """
    return _ShortConvolution.apply(x, weight, bias, past)


class _ShortConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, past):
        ctx.save_for_backward(x, weight)
        ctx.past = past
        y = torch.addcmul(bias[:, None], x, weight[:, past, None])
        for j in _other_taps(weight, past):
            target, source = _overlap(x.shape[-1], j - past)
            y[..., target].addcmul_(x[..., source], weight[:, j, None])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dx, dweight = dy * weight[:, ctx.past, None], torch.empty_like(weight)
        dweight[:, ctx.past] = (dy * x).sum((0, 2))
        for j in _other_taps(weight, ctx.past):
            target, source = _overlap(x.shape[-1], j - ctx.past)
            dx[..., source].addcmul_(dy[..., target], weight[:, j, None])
            dweight[:, j] = (dy[..., target] * x[..., source]).sum((0, 2))
        return dx, dweight, dy.sum((0, 2)), None


def _other_taps(weight: torch.Tensor, past: int) -> list[int]:
    return [j for j in range(weight.shape[1]) if j != past]


def _overlap(length: int, offset: int) -> tuple[slice, slice]:
    """Positions that have a neighbour at ``offset``, and those neighbours."""
    ahead, behind = max(offset, 0), max(-offset, 0)
    return slice(behind, max(length - ahead, behind)), slice(ahead, max(length - behind, ahead))
