"""What scMamba's convolution kernel gains over plain torch and torch.compile on CPU.

Whole forward passes and whole training steps (masked expression loss, forward and backward) of a preset, with another
operator in place of the kernel. Variants take turns within one process after a warm-up, and their median CPU seconds
are printed: a busy machine stretches these less than the wall clock. Peak memory is that of a process of its own for
each variant, with one step.

    python benchmarks/conv_kernel.py --preset tiny --genes 2500 --cells 16 --repeats 15
    python benchmarks/conv_kernel.py --preset paper --bf16 --repeats 3

On two cores of an AMD EPYC with torch 2.13, one cell of 19,306 genes at the paper's size, and 16 of 2,500 at the tiny::

    CPU seconds, median                paper, bf16                      tiny, float32
                               forward       step     peak MB      forward        step
    kernel                     1.61          5.77        3163      0.025          0.079
    conv1d                     2.37 (+47%)   8.38 (+45%) 4151      0.035 (+36%)   0.122 (+53%)
    shifts                     1.92 (+19%)   7.35 (+27%) 4313      0.030 (+18%)   0.100 (+26%)
    conv1d, compiled           2.04 (+27%)   7.67 (+33%) 4230      0.035 (+39%)   0.114 (+43%)
    shifts, compiled           1.62 ( +1%)   6.89 (+19%) 3553      0.026 ( +2%)   0.103 (+30%)

A kernel for the sum and RMSNorm, measured in the same runs, gained 2 % of a step at the paper's size, 5 % at the small
and 6 % at the tiny over plain torch and nothing over torch.compile, and was removed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads would count as work

import torch
import torch.nn.functional as F
from torch._dynamo.exc import BackendCompilerFailed

from bench.methods.nn.kernels.conv import causal_conv_silu
from bench.methods.nn.kernels.cpu_tensors import keep_freed_memory
from bench.methods.nn.models import mixer
from bench.methods.nn.models.scmamba import ScMambaConfig, masked_expression_model

GENES = 19_306


def conv1d(x, weight, bias, *, reverse=False):
    past = weight.shape[1] - 1
    padded = F.pad(x.transpose(1, 2), (0, past) if reverse else (past, 0))
    taps = weight.flip(1) if reverse else weight
    return F.silu(F.conv1d(padded, taps[:, None], bias, groups=x.shape[-1])).transpose(1, 2)


def shifted(x, weight, bias, *, reverse=False):
    """A product for each tap, added up."""
    length, past = x.shape[1], weight.shape[1] - 1
    padded = F.pad(x, (0, 0, 0, past) if reverse else (0, 0, past, 0))
    taps = weight.flip(1) if reverse else weight
    total = torch.addcmul(bias, padded[:, :length], taps[:, 0])
    for j in range(1, past + 1):
        total = torch.addcmul(total, padded[:, j : j + length], taps[:, j])
    return F.silu(total)


def in_float32(operator: Callable) -> Callable:
    """As the kernel: not in half precision under autocast."""

    def call(*args, **options):
        with torch.autocast("cpu", enabled=False):
            return operator(*args, **options)

    return call


VARIANTS: dict[str, Callable] = {
    "kernel": causal_conv_silu,
    "conv1d": in_float32(conv1d),
    "shifts": in_float32(shifted),
    "conv1d, compiled": in_float32(torch.compile(conv1d, dynamic=False)),
    "shifts, compiled": in_float32(torch.compile(shifted, dynamic=False)),
}


class Work:
    """A model and cells to train it on, with the operator of one variant at a time."""

    def __init__(self, preset: str, genes: int, cells: int, *, bf16: bool) -> None:
        keep_freed_memory()  # as training does
        torch.manual_seed(0)
        self.bf16 = bf16
        self.model = masked_expression_model(ScMambaConfig.from_preset(preset, genes))
        shape = (cells, genes)
        self.cells = torch.rand(shape) * 5 * (torch.rand(shape) < 0.1)
        self.masked = (self.cells > 0) & (torch.rand(shape) < 0.15)

    def use(self, variant: str) -> None:
        """Put the operator of a variant in place."""
        mixer.causal_conv_silu = VARIANTS[variant]

    def forward(self) -> torch.Tensor:
        """Expression that the model predicts."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            return self.model(self.cells, self.masked)

    def loss(self) -> torch.Tensor:
        """Squared error of masked genes."""
        return (self.forward().float() - self.cells)[self.masked].square().mean()

    @torch.no_grad()
    def predict(self) -> None:
        """One forward pass, as in prediction."""
        self.forward()

    def step(self) -> None:
        """One forward and backward pass."""
        self.loss().backward()
        self.model.zero_grad()

    def results(self) -> list[torch.Tensor]:
        """Output, and the gradient of every parameter."""
        grads = torch.autograd.grad(self.loss(), list(self.model.parameters()), allow_unused=True)
        return [self.forward().detach(), *(g for g in grads if g is not None)]


def cpu_seconds(call: Callable[[], None]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def peak_mb(variant: str) -> float:
    """Peak memory of a process of its own that trains one step."""
    command = [sys.executable, *sys.argv, "--child", variant]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--genes", type=int, default=GENES)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16, as the larger presets train")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = Work(options.preset, options.genes, options.cells, bf16=options.bf16)
    if options.child:
        work.use(options.child)
        work.step()
        status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory, too
        print(int(status.partition("VmHWM:")[2].split()[0]) / 2**10)
        return
    usable, expected = [], None
    for name in VARIANTS:
        work.use(name)
        try:
            found = work.results()
        except BackendCompilerFailed as error:  # torch.compile wants a C++ compiler
            print(f"{name}: does not run here: {str(error).splitlines()[0][:100]}")
            continue
        work.predict()
        usable.append(name)
        expected = expected or found
        far = [
            ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item() for a, b in zip(found, expected, strict=True)
        ]
        print(f"{name:20s} largest difference over largest value: output {far[0]:.1e}, gradients {max(far[1:]):.1e}")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in usable}
    for _ in range(options.repeats):
        for name in usable:
            work.use(name)
            times[name].append((cpu_seconds(work.predict), cpu_seconds(work.step)))
    base = [statistics.median(t) for t in zip(*times[usable[0]], strict=True)]
    print(f"{'CPU seconds, median':20s} {'forward':>16s} {'step':>16s} {'peak MB':>8s}")
    for name in usable:
        medians = [statistics.median(t) for t in zip(*times[name], strict=True)]
        cells = (f"{m:8.3f} ({m / b - 1:+5.0%})" for m, b in zip(medians, base, strict=True))
        print(f"{name:20s} {'  '.join(cells)} {peak_mb(name):8.0f}")


if __name__ == "__main__":
    main()
