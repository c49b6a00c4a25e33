"""The bidirectional Hyena operator and its implicit filter, the pre-norm block with an MLP, the stack of blocks."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from bench.methods.nn.models.long_conv import short_convolution, two_sided_convolution
from bench.methods.nn.models.mixer import wide

Bands = Literal["linspace", "constant"]
ShortFilter = Literal["causal", "centred"]

_LOWEST_BAND, _N_BANDS = 1e-4, 2
_SHORT_TAPS = 3
_SINE_FREQUENCY = 10.0
# The window of the slowest channel has decayed to a hundredth at lag 1.5, that of the fastest at lag 0.3.
_DECAYED, _SLOWEST, _FASTEST = 0.01, 1.5, 0.3


class ImplicitFilter(nn.Module):
    """A filter that is not a table of values but a small network from the lag to one value per channel.

    The lag enters as itself and as cosine and sine of two bands; three layers with a sine follow, whose trained
    frequencies they share, and a linear map to the channels. A window makes distant lags weaker, at a rate that
    differs between channels.

    Parameters
    ----------
    channels, width
        Filters, and width of the network inside.
    bands
        ``linspace``: bands from 1e-4 to 1 periods per unit of lag, as in HyenaDNA. ``constant``: all are 1e-4, which
        leaves cosine and sine almost without information, as in CellPainTR.
    window_shift
        What the window keeps of every lag, however distant.
    """

    def __init__(self, channels: int, width: int, *, bands: Bands, window_shift: float) -> None:
        super().__init__()
        self.bands, self.window_shift = bands, window_shift
        self.first = nn.Linear(1 + 2 * _N_BANDS, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.frequency = nn.Parameter(torch.full((width,), _SINE_FREQUENCY))
        self.last = nn.Linear(width, channels, bias=False)
        self.skip = nn.Parameter(torch.randn(channels))

    def forward(self, lags: torch.Tensor) -> torch.Tensor:
        """Values at ``lags``, (channels, lags): of all lags from -(length - 1) to length - 1, in their unit."""
        # In bfloat16 thousands of neighbouring lags would be one.
        with torch.autocast(lags.device.type, enabled=False):
            h = torch.sin(self.frequency * self.first(self._features(lags)))
            for layer in self.inner:
                h = torch.sin(self.frequency * layer(h))
            filters = (self.last.weight @ h.T) * self._window(lags)
        # The skip connection, which adds each input times a weight of the channel to its own output.
        at_lag_0 = F.one_hot(torch.tensor(len(lags) // 2), len(lags)).to(filters)
        return filters + self.skip[:, None] * at_lag_0

    def _features(self, lags: torch.Tensor) -> torch.Tensor:
        """(lags, 5)."""
        highest = _N_BANDS - 1 if self.bands == "linspace" else _LOWEST_BAND
        bands = torch.linspace(_LOWEST_BAND, highest, _N_BANDS, dtype=lags.dtype, device=lags.device)
        angles = 2 * math.pi * lags[:, None] * bands
        return torch.cat([lags[:, None], angles.cos(), -angles.sin()], dim=1)

    def _window(self, lags: torch.Tensor) -> torch.Tensor:
        """(channels, lags); the same on both sides, where a signed lag would let one side grow without bound."""
        slowest, fastest = (math.log(_DECAYED) / reach for reach in (_SLOWEST, _FASTEST))
        rates = torch.linspace(slowest, fastest, self.last.out_features, dtype=lags.dtype, device=lags.device)
        return torch.exp(rates[:, None] * lags.abs()) + self.window_shift


class HyenaOperator(nn.Module):
    """Hyena of order 2, bidirectional: ``x0 * (filter convolved with (x1 * v))``.

    The three are linear maps of the input, each followed by a convolution with three taps per channel.

    Parameters
    ----------
    d_model
        Channels.
    filters
        Gives the long filter.
    short_filter
        ``causal``: the three taps read the present and the two positions before it, as in the sources, which left it so
        where the long filter reads both sides. ``centred``: one position on either side.

    References
    ----------
    Poli et al., Hyena hierarchy, arXiv 2302.10866. Nguyen et al., HyenaDNA, arXiv 2306.15794.
    """

    def __init__(self, d_model: int, filters: ImplicitFilter, *, short_filter: ShortFilter) -> None:
        super().__init__()
        self.filters = filters
        self.past = _SHORT_TAPS - 1 if short_filter == "causal" else _SHORT_TAPS // 2
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        bound = _SHORT_TAPS**-0.5
        self.short_weight = nn.Parameter(torch.empty(3 * d_model, _SHORT_TAPS).uniform_(-bound, bound))
        self.short_bias = nn.Parameter(torch.empty(3 * d_model).uniform_(-bound, bound))
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, u: torch.Tensor, lags: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) to the same shape; ``lags`` as :func:`lags_of` gives them for this length."""
        # Length comes last from here on, and float32 under autocast too: the FFTs want both.
        to_z = self.in_proj.weight.expand(len(u), -1, -1)
        z = torch.baddbmm(self.in_proj.bias[:, None], to_z, u.transpose(1, 2))
        z = short_convolution(wide(z), self.short_weight, self.short_bias, self.past)
        x0, x1, v = z.chunk(3, dim=1)
        y = x0 * two_sided_convolution(x1 * v, self.filters(lags))
        return self.out_proj(y.transpose(1, 2))


class Block(nn.Module):
    """Hyena, then an MLP on every position by itself; each reads a LayerNorm of the residual and is added to it.

    The residual is kept in float32 whatever the rest is computed in.
    """

    def __init__(self, operator: HyenaOperator, d_model: int, expand: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model, eps=eps)
        self.operator = operator
        self.mlp_norm = nn.LayerNorm(d_model, eps=eps)
        self.widen = nn.Linear(d_model, expand * d_model)
        self.narrow = nn.Linear(expand * d_model, d_model)

    def forward(self, residual: torch.Tensor, lags: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model), at least float32, to the same."""
        residual = residual + self.operator(self.norm(residual), lags)
        inside = F.gelu(self.widen(self.mlp_norm(residual)), approximate="tanh")
        return residual + self.narrow(inside)


class Encoder(nn.Module):
    """Dropout of the embeddings, blocks around the given operators, and a final LayerNorm.

    Parameters
    ----------
    operators, d_model, expand
        One operator a block; width outside, and the MLP's width inside per width outside.
    embed_dropout
        Share of the embeddings' entries dropped in training.
    lag_unit
        Positions that make a lag of 1. It belongs to the model, not to the sequence: with a few more or fewer positions
        (the [CLS]) a filter still has the same value at the same number of positions.
    """

    def __init__(
        self, operators: list[HyenaOperator], d_model: int, expand: int, *, embed_dropout: float, lag_unit: int
    ) -> None:
        super().__init__()
        self.lag_unit = lag_unit
        self.dropout = nn.Dropout(embed_dropout)
        self.blocks = nn.ModuleList(Block(operator, d_model, expand) for operator in operators)
        self.norm = nn.LayerNorm(d_model, eps=1e-5)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) to the same shape."""
        residual = self.dropout(wide(h))
        lags = lags_of(residual, self.lag_unit)
        for block in self.blocks:
            residual = block(residual, lags)
        return self.norm(residual)


def lags_of(sequence: torch.Tensor, unit: int) -> torch.Tensor:
    """All lags between positions of a (batch, length, channels) tensor, ascending, in units of so many positions."""
    length = sequence.shape[1]
    return torch.arange(1 - length, length, device=sequence.device).to(sequence.dtype) / unit
