"""The bidirectional Mamba mixer ("v2" of Vision Mamba), its pre-norm block, and the stack of blocks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from bench.methods.nn.kernels.conv import causal_conv_silu
from bench.methods.nn.kernels.norm import add_and_normalise
from bench.methods.nn.kernels.scan import selective_scan

_DT_MIN, _DT_MAX, _DT_FLOOR = 1e-3, 1e-1, 1e-4


class Direction(nn.Module):
    """Parameters that each direction has of its own: convolution, step size, A, B, C and D.

    Parameters
    ----------
    d_inner, d_state, d_conv, dt_rank
        Channels, states per channel, taps of the convolution, rank of the map to the step size.
    reverse
        Whether it reads the sequence from its end.
    zero_dt_bias
        Start with a step-size bias of 0 (a step of 0.69, hence a very short memory) in place of one that gives steps
        log-uniform in [0.001, 0.1].
    """

    def __init__(
        self, d_inner: int, d_state: int, d_conv: int, dt_rank: int, *, reverse: bool, zero_dt_bias: bool
    ) -> None:
        super().__init__()
        self.reverse = reverse
        self.split = (dt_rank, d_state, d_state)
        bound = d_conv**-0.5
        self.conv_weight = nn.Parameter(torch.empty(d_inner, d_conv).uniform_(-bound, bound))
        self.conv_bias = nn.Parameter(torch.empty(d_inner).uniform_(-bound, bound))
        self.x_proj = nn.Linear(d_inner, sum(self.split), bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        nn.init.uniform_(self.dt_proj.weight, -(dt_rank**-0.5), dt_rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(torch.zeros(d_inner) if zero_dt_bias else _log_uniform_dt_bias(d_inner))
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Convolve, scan and gate ``x``; both arguments and the result are (batch, length, d_inner)."""
        x = causal_conv_silu(x, self.conv_weight, self.conv_bias, reverse=self.reverse)
        dt, B, C = self.x_proj(x).split(self.split, dim=-1)
        # In float32 under autocast too: so narrow a product gains nothing from bfloat16, and the scan is spared a copy.
        with torch.autocast(x.device.type, enabled=False):
            # Its bias is added in the scan. The copy makes autograd multiply so few columns the fast way round.
            delta = dt.to(x.dtype) @ self.dt_proj.weight.T.contiguous()
        A = -torch.exp(self.A_log)
        return selective_scan(
            x, delta, A, B, C, self.D, z=z, delta_bias=self.dt_proj.bias, delta_softplus=True, reverse=self.reverse
        )


class BidirectionalMixer(nn.Module):
    """Two selective scans, one from either end, between shared input and output projections; their outputs are added.

    Parameters
    ----------
    d_model, d_state, d_conv, expand
        Width of the sequence, states per channel, taps of the convolution, channels inside per channel outside.
    n_layers
        Layers of the whole stack: the output projection starts smaller by the square root of it.
    zero_backward_dt_bias
        See :class:`Direction`; applies to the backward one only.

    References
    ----------
    Zhu et al., Vision Mamba, arXiv 2401.09417.
    """

    def __init__(
        self, d_model: int, d_state: int, d_conv: int, expand: int, n_layers: int, *, zero_backward_dt_bias: bool
    ) -> None:
        super().__init__()
        d_inner, dt_rank = expand * d_model, math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        sizes = (d_inner, d_state, d_conv, dt_rank)
        self.from_start = Direction(*sizes, reverse=False, zero_dt_bias=False)
        self.from_end = Direction(*sizes, reverse=True, zero_dt_bias=zero_backward_dt_bias)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        with torch.no_grad():
            self.out_proj.weight.div_(math.sqrt(n_layers))

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) to the same shape."""
        if torch.is_autocast_enabled(u.device.type):
            u = u.to(torch.get_autocast_dtype(u.device.type))  # once for both products
        to_x, to_z = self.in_proj.weight.chunk(2)
        # Two products in place of one: x and z are then each contiguous, and the scan needs no copies of them.
        x, z = wide(F.linear(u, to_x)), wide(F.linear(u, to_z))
        return self.out_proj(self.from_start(x, z) + self.from_end(x, z))


class Block(nn.Module):
    """Add to the residual, normalise, mix; the residual is kept in float32 whatever the rest is computed in."""

    def __init__(self, mixer: nn.Module, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(d_model, eps=eps)
        self.mixer = mixer

    def forward(self, h: torch.Tensor, residual: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Output of the mixer, and the residual that does not hold it yet."""
        normed, residual = add_and_normalise(h, residual, self.norm)
        return self.mixer(normed), residual


class Encoder(nn.Module):
    """Blocks around the given mixers, then the last addition and a final RMSNorm."""

    def __init__(self, mixers: list[nn.Module], d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(mixer, d_model, eps) for mixer in mixers)
        self.norm = nn.RMSNorm(d_model, eps=eps)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) to the same shape."""
        residual = None
        for block in self.blocks:
            h, residual = block(h, residual)
        return add_and_normalise(h, residual, self.norm)[0]


def wide(x: torch.Tensor) -> torch.Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _log_uniform_dt_bias(channels: int) -> torch.Tensor:
    """Inverse softplus of step sizes drawn log-uniformly."""
    low, high = math.log(_DT_MIN), math.log(_DT_MAX)
    dt = torch.exp(torch.rand(channels) * (high - low) + low).clamp(min=_DT_FLOOR)
    return dt + torch.log(-torch.expm1(-dt))
