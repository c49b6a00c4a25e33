"""The selective scan, and the choice of what computes it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Literal

import torch

from bench.errors import BenchError
from bench.methods.nn.kernels.scan_cpu import CpuScan
from bench.methods.nn.kernels.scan_reference import selective_scan_reference

Backend = Literal["auto", "cuda", "cpu", "reference"]
_CUDA_KERNEL = "mamba_ssm.ops.selective_scan_interface"
#: After release 2.3.2 mamba-ssm is built without the kernel unless the flag is set; earlier ones ignore it.
_INSTALL = "MAMBA_KEEP_CUDA_BUILD=TRUE pip install mamba-ssm --no-build-isolation"


def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    *,
    reverse: bool = False,
    backend: Backend = "auto",
) -> torch.Tensor:
    """Run the input-dependent linear recurrence of Mamba over the second axis.

    For each channel c and state n: ``h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t`` and
    ``y_t = sum_n C_t h_t + D u_t``; with ``z`` the result is ``y * SiLU(z)``.

    Parameters
    ----------
    u, delta, z
        Input, step size and gate, (batch, length, channels).
    A
        Transition rates (channels, states), negative for a state that decays. Diagonal, real.
    B, C
        Input and output maps, (batch, length, states), shared by the channels.
    D, delta_bias
        Weight of the input in the output, and what is added to ``delta``, (channels,).
    delta_softplus
        Whether ``delta``, bias included, goes through softplus first.
    reverse
        Run from the last position to the first; the result stays in the order of the input.
    backend
        ``cuda``: the kernel of mamba-ssm. ``cpu``: ours, float32 throughout. ``reference``: a loop in torch, in the
        dtype of its input, for tests and float64. ``auto``: the first that is fit for these tensors.

    Returns
    -------
    (batch, length, channels), in the dtype of ``u``.

    Raises
    ------
    BenchError
        The shapes do not fit together, or the backend asked for is not there.

    References
    ----------
    Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, arXiv 2312.00752. As in its code, B is
    discretised by Euler's rule (delta B).
    """
    _check_shapes(u, delta, A, B, C, D, z, delta_bias)
    tensors = (u, delta, A, B, C, D, z, delta_bias)
    chosen = _backend_for(u) if backend == "auto" else backend
    if chosen == "reference":
        return selective_scan_reference(*tensors, delta_softplus, reverse=reverse)
    if chosen == "cuda":
        return _scan_cuda(*tensors, delta_softplus, reverse)
    if u.device.type != "cpu":
        raise BenchError(
            "The CPU scan got a tensor of another device",
            where=str(u.device),
            fix="use backend='auto' or move it to the CPU",
        )
    singles = (None if x is None else x.float() for x in tensors)
    return CpuScan.apply(*singles, delta_softplus, reverse).to(u.dtype)


def _backend_for(u: torch.Tensor) -> Backend:
    if u.dtype == torch.float64:
        return "reference"
    if u.device.type == "cuda" and _cuda_kernel() is not None:
        return "cuda"
    return "cpu" if u.device.type == "cpu" else "reference"


@cache
def _cuda_kernel():
    """``selective_scan_fn`` of mamba-ssm, or None where that package or its kernel is not installed."""
    try:
        interface = import_module(_CUDA_KERNEL)
    except ImportError:
        return None
    return interface.selective_scan_fn if interface.selective_scan_cuda is not None else None


def _scan_cuda(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse) -> torch.Tensor:
    """mamba-ssm's kernel, which has channels before length and knows one direction only."""
    kernel = _cuda_kernel()
    if kernel is None:
        raise BenchError("mamba-ssm or its kernel is missing", where="selective_scan(backend='cuda')", fix=_INSTALL)

    def turned(x):
        return None if x is None else (x.flip(1) if reverse else x).transpose(1, 2).contiguous()

    def single(x):
        return None if x is None else x.float()

    y = kernel(
        turned(u),
        turned(delta),
        A.float(),
        turned(B),
        turned(C),
        single(D),
        turned(z),
        single(delta_bias),
        delta_softplus,
    ).transpose(1, 2)
    return y.flip(1) if reverse else y


def _check_shapes(u, delta, A, B, C, D, z, delta_bias) -> None:
    if u.ndim != 3:
        raise BenchError("u must be (batch, length, channels)", where=f"u has shape {tuple(u.shape)}")
    batch, length, channels = u.shape
    if A.ndim != 2:
        raise BenchError("A must be (channels, states)", where=f"A has shape {tuple(A.shape)}")
    states = A.shape[1]
    shapes = {"delta": u.shape, "z": u.shape, "A": (channels, states), "D": (channels,), "delta_bias": (channels,)}
    shapes |= {"B": (batch, length, states), "C": (batch, length, states)}
    tensors = {"delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z, "delta_bias": delta_bias}
    for name, tensor in tensors.items():
        if tensor is not None and tuple(tensor.shape) != tuple(shapes[name]):
            raise BenchError(
                f"{name} must have shape {tuple(shapes[name])}",
                where=f"it has {tuple(tensor.shape)}, with u of shape {tuple(u.shape)}",
                fix="length comes before channels here, unlike in mamba-ssm",
            )
