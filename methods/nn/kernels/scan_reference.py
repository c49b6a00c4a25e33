"""The selective scan as its recurrence reads, one step at a time: what the kernels are tested against."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def selective_scan_reference(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, *, reverse=False
) -> torch.Tensor:
    """Same as :func:`bench.methods.nn.selective_scan`, in the dtype of the inputs and on any device."""
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        delta = F.softplus(delta)
    batch, length, channels = u.shape
    h = u.new_zeros(batch, channels, A.shape[1])
    outputs: list[torch.Tensor] = [h] * length
    for k in range(length):
        t = length - 1 - k if reverse else k
        decay = torch.exp(delta[:, t, :, None] * A)
        h = decay * h + (delta[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        outputs[t] = (h * C[:, t, None, :]).sum(-1)
    y = torch.stack(outputs, dim=1) if length else torch.zeros_like(u)
    if D is not None:
        y = y + u * D
    return y if z is None else y * F.silu(z)
