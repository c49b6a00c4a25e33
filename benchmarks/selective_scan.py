"""Selective scan at the paper's size on CPU: ours against mambapy's parallel scan and a loop over steps.

One sequence of 19,306 genes, 512 channels, 16 states, float32; step sizes through softplus with a bias, skip and gate
included. Every implementation runs in a process of its own, after a warm-up on a short sequence. Seconds are the best
of its repeats; memory is how far the peak of the process rose above what it held with the inputs in place. CPU seconds
are printed beside the wall clock because a busy machine stretches the latter. The loop's backward pass is left out: it
does not end within minutes.

    python benchmarks/selective_scan.py                  # all three; needs mambapy and 10 GB for a minute
    python benchmarks/selective_scan.py --only ours      # one of ours, mambapy, loop
    python benchmarks/selective_scan.py --length 2000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import torch
import torch.nn.functional as F

from bench.methods.nn.kernels.scan import selective_scan

LENGTH, CHANNELS, STATES = 19_306, 512, 16
REPEATS = {"ours": 15, "mambapy": 2, "loop": 3}
Tensors = dict[str, torch.Tensor]


def inputs(length: int) -> Tensors:
    """Tensors of the size and spread that scMamba's first layer has at the start of training."""
    torch.manual_seed(0)
    sequence, channels = (1, length, CHANNELS), (CHANNELS,)
    return {
        "u": torch.randn(sequence),
        "delta": torch.randn(sequence) * 0.5,
        "A": -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1),
        "B": torch.randn(1, length, STATES),
        "C": torch.randn(1, length, STATES),
        "D": torch.ones(channels),
        "z": torch.randn(sequence),
        "delta_bias": torch.empty(channels).uniform_(-6.9, -2.3),
    }


def ours(u, delta, A, B, C, D, z, delta_bias):
    return selective_scan(u, delta, A, B, C, D, z, delta_bias, True, backend="cpu")


def mambapy(u, delta, A, B, C, D, z, delta_bias):
    from mambapy.mamba import MambaBlock

    # The method uses nothing of the block it belongs to.
    return MambaBlock.selective_scan(None, u, F.softplus(delta + delta_bias), A, B, C, D) * F.silu(z)


def loop(u, delta, A, B, C, D, z, delta_bias):
    """As transformers does without a kernel: all decays and inputs, (batch, channels, length, states), then steps."""
    delta = F.softplus(delta + delta_bias).transpose(1, 2)[..., None]
    decay = torch.exp(delta * A[:, None])
    drive = delta * B[:, None] * u.transpose(1, 2)[..., None]
    h, outputs = torch.zeros_like(decay[:, :, 0]), []
    for t in range(u.shape[1]):
        h = decay[:, :, t] * h + drive[:, :, t]
        outputs.append((h @ C[:, t, :, None])[..., 0])
    return (torch.stack(outputs, dim=1) + u * D) * F.silu(z)


SCANS: dict[str, Callable[..., torch.Tensor]] = {"ours": ours, "mambapy": mambapy, "loop": loop}


def clock(call: Callable[[], object]) -> tuple[float, float, object]:
    """Wall and CPU seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def measure(name: str, length: int) -> dict:
    """Best times and peak memory of one implementation, in this process."""
    scan, backward_too = SCANS[name], name != "loop"

    def run(tensors: Tensors, weight: torch.Tensor) -> dict[str, float]:
        leaves = {k: v.requires_grad_(backward_too) for k, v in tensors.items()}
        wall, cpu, out = clock(lambda: scan(**leaves))
        times = {"forward_s": wall, "forward_cpu_s": cpu}
        if backward_too:
            wall, cpu, _ = clock(lambda: torch.autograd.grad(out, list(leaves.values()), weight))
            times |= {"both_s": times["forward_s"] + wall, "both_cpu_s": times["forward_cpu_s"] + cpu}
        return times

    run(inputs(64), torch.ones(1, 64, CHANNELS))
    tensors, weight = inputs(length), torch.randn(1, length, CHANNELS)
    before = psutil.Process().memory_info().rss
    runs = [run(tensors, weight) for _ in range(REPEATS[name])]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return {k: min(r[k] for r in runs) for k in runs[0]} | {"peak_mb": peak / 2**20}


def largest_errors(length: int) -> dict[str, float]:
    """Largest difference between ours and mambapy's, over the largest value, of the output and all gradients."""
    results = []
    for scan in (ours, mambapy):
        leaves = {k: v.requires_grad_() for k, v in inputs(length).items()}
        out = scan(**leaves)
        results.append([out, *torch.autograd.grad(out.square().sum(), list(leaves.values()))])
    names = ["out", *(f"d{k}" for k in leaves)]
    return {n: ((a - b).abs().max() / b.abs().max()).item() for n, a, b in zip(names, *results, strict=True)}


def ratios(found: dict[str, dict]) -> None:
    """What ours gains over the others, by the wall clock and by CPU seconds."""
    us = found["ours"]
    for other, times in found.items():
        for key, text in (("both", "forward + backward"), ("forward", "forward")):
            if other != "ours" and f"{key}_s" in times:
                wall, cpu = (times[f"{key}{unit}"] / us[f"{key}{unit}"] for unit in ("_s", "_cpu_s"))
                print(f"{text:19s} {other} / ours: {wall:7.1f} x wall, {cpu:7.1f} x CPU")
    if "mambapy" in found:
        print(f"memory, ours / mambapy: {us['peak_mb'] / found['mambapy']['peak_mb']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SCANS)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--child", choices=SCANS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.length)))
        return
    found = {}
    for name in [options.only] if options.only else SCANS:
        command = [sys.executable, __file__, "--child", name, "--length", str(options.length)]
        found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{name:8s}", "  ".join(f"{k} {v:.3f}" if v < 100 else f"{k} {v:.0f}" for k, v in found[name].items()))
    if options.only is None:
        ratios(found)
        errors = largest_errors(min(options.length, 1000))
        print("relative difference from mambapy:", "  ".join(f"{k} {v:.1e}" for k, v in errors.items()))


if __name__ == "__main__":
    main()
