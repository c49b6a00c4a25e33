"""The Performer: a pre-norm transformer encoder with FAVOR+ attention; training redraws its random features."""

from __future__ import annotations

import math

import torch
from torch import nn

from bench.methods.nn.models.favor import favor_attention, orthogonal_features


class FavorAttention(nn.Module):
    """Self-attention of every position to every other, with a few heads.

    Parameters
    ----------
    dim, heads, dim_head
        Width of the sequence, heads, and width of a head, which need not be ``dim / heads``.
    maximum_over_batch
        See :func:`favor_attention`.

    Attributes
    ----------
    projection
        The random features, (int(dim_head ln dim_head), dim_head), shared by the heads; a buffer, saved with the model.
    """

    projection: torch.Tensor

    def __init__(self, dim: int, heads: int, dim_head: int, *, maximum_over_batch: bool) -> None:
        super().__init__()
        self.heads, self.maximum_over_batch = heads, maximum_over_batch
        inner = heads * dim_head
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_k = nn.Linear(dim, inner, bias=False)
        self.to_v = nn.Linear(dim, inner, bias=False)
        self.to_out = nn.Linear(inner, dim)
        n_features = max(1, int(dim_head * math.log(dim_head)))
        self.register_buffer("projection", torch.empty(n_features, dim_head, device="cpu"))

    def redraw(self, generator: torch.Generator) -> None:
        """Take new random features."""
        n_features, d = self.projection.shape
        with torch.no_grad():
            self.projection.copy_(orthogonal_features(n_features, d, generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(cells, length, dim) to the same shape."""
        q, k, v = (to(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        out = favor_attention(q, k, v, self.projection, maximum_over_batch=self.maximum_over_batch)
        return self.to_out(out.transpose(1, 2).flatten(2))


class PerformerLayer(nn.Module):
    """Attention, then a feed-forward network with GELU, each normalised before and added after; no dropout."""

    def __init__(self, dim: int, heads: int, dim_head: int, ff_mult: int, *, maximum_over_batch: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = FavorAttention(dim, heads, dim_head, maximum_over_batch=maximum_over_batch)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, ff_mult * dim), nn.GELU(), nn.Linear(ff_mult * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(cells, length, dim) to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))


class Performer(nn.Module):
    """Layers, and a final LayerNorm.

    Parameters
    ----------
    dim, depth, heads, dim_head, ff_mult
        Width, layers, heads a layer, width of a head, width of the feed-forward network in multiples of ``dim``.
    redraw_every
        Forward passes in training mode after which all layers take new random features for the next pass. That pass is
        not counted, as in the official code: with 1,000, passes 1,001, 2,002, ... begin with new ones.
    maximum_over_batch
        See :func:`favor_attention`.

    Attributes
    ----------
    seed, passes
        Buffers. Which features come next follows from these two alone, so that training that is resumed, or that runs
        in several processes, draws the same. The seed itself comes from torch's random state.
    """

    seed: torch.Tensor
    passes: torch.Tensor

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        dim_head: int,
        ff_mult: int,
        *,
        redraw_every: int,
        maximum_over_batch: bool,
    ) -> None:
        super().__init__()
        self.redraw_every = redraw_every
        self.layers = nn.ModuleList(
            PerformerLayer(dim, heads, dim_head, ff_mult, maximum_over_batch=maximum_over_batch) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.register_buffer("seed", torch.randint(2**31, (), device="cpu"))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64, device="cpu"))
        self._redraw()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(cells, length, dim) to the same shape."""
        if self.training:
            self.passes += 1
            if self.passes % (self.redraw_every + 1) == 0:
                self._redraw()
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def _redraw(self) -> None:
        draw = int(self.passes) // (self.redraw_every + 1)
        generator = torch.Generator().manual_seed(int(self.seed) + draw)
        for module in self.modules():
            if isinstance(module, FavorAttention):
                module.redraw(generator)
