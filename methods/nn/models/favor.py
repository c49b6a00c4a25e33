"""FAVOR+: softmax attention estimated with positive random features, in time and memory linear in the length."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.autograd.function import once_differentiable

# Features (positions x random features) that exist at any one time: about what a processor's cache holds, or what keeps
# a GPU busy. All of them, for a cell of 19,306 genes with 10 heads of 266 features, would be 205 MB each for q and k.
_CPU_TILE, _GPU_TILE = 2**19, 2**26


def favor_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    projection: torch.Tensor,
    *,
    eps: float = 1e-4,
    maximum_over_batch: bool = False,
) -> torch.Tensor:
    r"""Estimate ``softmax(q k^T / sqrt(d)) v`` without ever comparing two positions.

    With random rows w of ``projection`` and x scaled by d^(-1/4), exp(q.k) is the mean over w of f(q) f(k), where
    f(x) = exp(w.x - |x|^2/2) is positive. Attention is then f(q) (f(k)^T v), divided by f(q) (f(k)^T 1). As in the
    official code, the largest w.x is subtracted in each exponent and ``eps`` is added to each feature after that: the
    maximum cancels, except beside ``eps``. So it is no constant, and its gradient belongs to that of q and k.

    Parameters
    ----------
    q, k, v
        (cells, heads, length, d), the last axis of ``v`` of any size. Half precision is computed in float32.
    projection
        (features, d), see :func:`orthogonal_features`.
    eps
        Added to each feature.
    maximum_over_batch
        The maximum for the keys. False: one for each cell and head, so that a cell's result is its own. True: one over
        all cells and heads of the batch, as in the official code; results then depend weakly on the batch.

    Returns
    -------
    torch.Tensor
        (cells, heads, length, columns of v), in the precision of ``v``. Backward recomputes the features, so that
        memory is that of q, k and v.

    References
    ----------
    Choromanski et al., Rethinking attention with Performers, arXiv 2009.14794.
    """
    dtype = torch.promote_types(v.dtype, torch.float32)
    with torch.autocast(v.device.type, enabled=False):
        flat = [x.to(dtype).flatten(0, 1) for x in (q, k, v)]
        out = _Favor.apply(*flat, projection.to(dtype), eps, maximum_over_batch)
    return out.to(v.dtype).unflatten(0, v.shape[:2])


def orthogonal_features(n_features: int, d: int, generator: torch.Generator) -> torch.Tensor:
    """Random rows (n_features, d), float32, each distributed as a standard normal vector.

    Within each block of ``d`` rows they are orthogonal to each other, which estimates with less variance than
    independent rows.
    """
    blocks = []
    for _ in range(-(-n_features // d)):
        basis, triangle = torch.linalg.qr(torch.randn(d, d, generator=generator, device="cpu"))
        # Without the signs (the official code) the first entry of each block would always be negative: LAPACK's choice.
        blocks.append((basis * triangle.diagonal().sign()).T)
    lengths = torch.randn(n_features, d, generator=generator, device="cpu").norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:n_features] * lengths


class _Favor(torch.autograd.Function):
    """Over (cells x heads, length, d), tile by tile.

    ``features`` below are without ``eps``, whose share is a sum over positions or features that is added once.
    """

    @staticmethod
    def forward(ctx, q, k, v, projection, eps, maximum_over_batch):
        ctx.eps, ctx.maximum_over_batch = eps, maximum_over_batch
        scaled = projection * q.shape[-1] ** -0.25
        memory, top = _remember(k, v, scaled, maximum_over_batch)
        memory += eps * _with_ones(v).sum(1, keepdim=True)
        out, below, shift = torch.empty_like(v), v.new_empty(*v.shape[:2], 1), q.new_empty(*q.shape[:2], 1)
        for tile in _tiles(q, len(projection)):
            n, _ = tile
            exponents = q[tile] @ scaled.T
            shift[tile] = exponents.amax(-1, keepdim=True) + _half_square(q[tile])
            features = exponents.sub_(shift[tile]).exp_()
            sums = torch.baddbmm(eps * memory[n].sum(1, keepdim=True), features, memory[n])
            below[tile] = sums[..., -1:]
            torch.div(sums[..., :-1], below[tile], out=out[tile])
        ctx.save_for_backward(q, k, v, scaled, memory, top, out, below, shift)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        q, k, v, scaled, memory, top, out, below, shift = ctx.saved_tensors
        with torch.autocast(q.device.type, enabled=False):
            dq, dk, dv, dmemory = (torch.empty_like(x) for x in (q, k, v, memory))
            dmemory.zero_()
            for tile in _tiles(q, len(scaled)):
                n, _ = tile
                exponents = q[tile] @ scaled.T
                largest = exponents.argmax(-1, keepdim=True)
                features = exponents.sub_(shift[tile]).exp_()
                dsums = torch.cat([dout[tile], -(dout[tile] * out[tile]).sum(-1, keepdim=True)], -1) / below[tile]
                dmemory[n].baddbmm_(features.mT, dsums)
                dmemory[n] += ctx.eps * dsums.sum(1, keepdim=True)
                dexponents = features.mul_(dsums @ memory[n].mT)
                total = dexponents.sum(-1, keepdim=True)
                dexponents.scatter_add_(-1, largest, -total)
                dq[tile] = _through_exponent(dexponents, total, q[tile], scaled)
            highest, total = q.new_empty(*k.shape[:2], 1), q.new_empty(*k.shape[:2], 1)
            for tile in _tiles(k, len(scaled)):
                n, _ = tile
                exponents = k[tile] @ scaled.T
                highest[tile] = exponents.amax(-1, keepdim=True)
                features = exponents.sub_(_half_square(k[tile]) + top[n]).exp_()
                dv[tile] = (features @ dmemory[n] + ctx.eps * dmemory[n].sum(1, keepdim=True))[..., :-1]
                dexponents = features.mul_(_with_ones(v[tile]) @ dmemory[n].mT)
                total[tile] = dexponents.sum(-1, keepdim=True)
                dk[tile] = _through_exponent(dexponents, total[tile], k[tile], scaled)
            over = (0, 1) if ctx.maximum_over_batch else 1
            _through_maximum(dk, -total.sum(over, keepdim=True), highest == highest.amax(over, keepdim=True), k, scaled)
        return dq, dk, dv, None, None, None


def _remember(k, v, scaled, maximum_over_batch):
    """Sum over positions of features(k)^T [v, 1], and the maximum subtracted from their exponents.

    One pass: what was summed so far is scaled down whenever a larger maximum comes.
    """
    memory = v.new_zeros(len(v), len(scaled), v.shape[-1] + 1)
    top = k.new_full((len(k), 1, 1), -math.inf)
    for tile in _tiles(k, len(scaled)):
        n, _ = tile
        exponents = k[tile] @ scaled.T
        larger = torch.maximum(top[n], exponents.amax((1, 2), keepdim=True))
        memory[n] *= (top[n] - larger).exp()
        top[n] = larger
        features = exponents.sub_(_half_square(k[tile]) + larger).exp_()
        memory[n].baddbmm_(features.mT, _with_ones(v[tile]))
    if maximum_over_batch:
        memory *= (top - top.amax()).exp()
        top = top.amax().expand_as(top)
    return memory, top


def _through_exponent(dexponents, total, x, scaled):
    """Gradient of x given that of w.x, whose sum over features also is that of -|x|^2/2: ``total``."""
    return torch.baddbmm(x * (-(x.shape[-1] ** -0.5) * total), dexponents, scaled.expand(len(x), -1, -1))


def _through_maximum(dk, dmaximum, has_it, k, scaled):
    """Add to ``dk`` the gradient of the maximum over keys and features, in equal shares where several attain it.

    ``dmaximum`` (cells x heads, 1, 1), or one for all of them; ``has_it`` (cells x heads, length, 1): the keys.
    """
    n, position, _ = has_it.nonzero(as_tuple=True)
    exponents = k[n, position] @ scaled.T
    attain = (exponents == exponents.amax(-1, keepdim=True)).to(k.dtype)
    of = torch.zeros_like(n) if len(dmaximum) == 1 else n
    n_attain = k.new_zeros(len(dmaximum)).index_add_(0, of, attain.sum(-1))
    dk[n, position] += (dmaximum[:, 0, 0] / n_attain)[of, None] * (attain @ scaled)


def _half_square(x: torch.Tensor) -> torch.Tensor:
    """|x|^2 / 2 of the scaled vectors, (cells x heads, length, 1)."""
    return x.square().sum(-1, keepdim=True) * (x.shape[-1] ** -0.5 / 2)


def _with_ones(v: torch.Tensor) -> torch.Tensor:
    return torch.cat([v, v.new_ones(*v.shape[:-1], 1)], -1)


def _tiles(x: torch.Tensor, n_features: int) -> Iterator[tuple[slice, slice]]:
    """Whole sequences together while they are short, parts of one while they are long."""
    rows = max(1, (_CPU_TILE if x.device.type == "cpu" else _GPU_TILE) // n_features)
    sequences, length = x.shape[:2]
    together = max(1, rows // max(1, length))
    for n in range(0, sequences, together):
        for start in range(0, length, rows):
            yield slice(n, n + together), slice(start, start + rows)
