"""Between torch tensors and the compiled CPU kernels: whole vectors of channels, arrays, threads."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import torch
import torch.nn.functional as F

from bench.methods.nn.kernels.lanes import LANES

_numba_config: Any = numba.config  # its fields are set at run time
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """From now on this process keeps the memory that it frees, for its next allocations; only where glibc is used.

    For processes that train: glibc hands every block of more than 32 MB back to the system as soon as it is freed, and
    the system zeroes the pages of each new one, which takes a quarter of a training step's CPU time at the paper's
    size. The price is a higher peak there, 3.6 GB in place of 2.9.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


@contextmanager
def threads_of_torch() -> Iterator[None]:
    """Numba uses as many threads as torch does, as far as it was started with enough of them."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(torch.get_num_threads(), _numba_config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def rounded_up(n: int) -> int:
    """The next multiple of the vector width."""
    return -(-n // LANES) * LANES


def whole_lanes(x: torch.Tensor) -> torch.Tensor:
    """Pad channels, the last axis, with zeros to whole vectors; rows of the result are adjacent in memory."""
    missing = rounded_up(x.shape[-1]) - x.shape[-1]
    return (F.pad(x, (0, missing)) if missing else x).contiguous()


def first_channels(x: torch.Tensor, channels: int) -> torch.Tensor:
    """Without what ``whole_lanes`` added. Not a view of all if nothing was: autograd adds in place to what it owns."""
    return x if x.shape[-1] == channels else x[..., :channels]


def arrays(*tensors: torch.Tensor) -> list:
    """The tensors as numpy arrays of the same memory."""
    return [tensor.numpy() for tensor in tensors]
