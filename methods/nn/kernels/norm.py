"""Addition to the residual and RMSNorm of the sum."""

from __future__ import annotations

import torch
from torch import nn


def add_and_normalise(
    h: torch.Tensor, residual: torch.Tensor | None, norm: nn.RMSNorm
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add ``h`` to the residual and normalise the sum x: ``x / sqrt(mean(x^2) + eps) * weight`` over the last axis.

    Parameters
    ----------
    h
        (batch, length, d_model).
    residual
        Of the same shape, in float32 or wider; None for the first block, which has nothing to add to.
    norm
        Its weight, (d_model,), and its eps.

    Returns
    -------
    The normalised sum, and the sum itself, which is the next residual; both at least float32.
    """
    total = h.to(torch.promote_types(h.dtype, torch.float32)) if residual is None else residual + h
    return norm(total), total
