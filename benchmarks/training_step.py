"""Where one training step of scMamba at the paper's size goes on CPU, and how near it is to what the machine allows.

One cell of 19,306 genes, the paper's model, masked expression loss, forward and backward, bfloat16 autocast where asked
for. The bound is the matrix products at the rate measured for large square ones, plus the selective scans as they are;
the share of the step that the bound makes up is what counts, the rest is everything between.

    python benchmarks/training_step.py --bf16
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from torch.profiler import ProfilerActivity, profile

from bench.methods.nn import ScMambaConfig, masked_expression_model
from bench.methods.nn._cpu_tensors import keep_freed_memory

GENES, REPEATS = 19_306, 5


def matmul_rate(dtype: torch.dtype) -> float:
    """Best measured FLOP/s of a square product of 2,048."""
    a, b, out = (torch.randn(2048, 2048, dtype=dtype) for _ in range(3))
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def matmul_flops(config: ScMambaConfig) -> float:
    """FLOPs of all matrix products of a step; the backward pass has two for each of the forward pass."""
    inner, rank = config.expand * config.d_model, config.d_model // 16
    direction = inner * (rank + 2 * config.d_state) + rank * inner
    layer = config.d_model * 2 * inner + 2 * direction + inner * config.d_model
    return 3 * 2 * config.n_genes * config.n_layers * layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    bf16 = parser.parse_args().bf16
    keep_freed_memory()  # as training does
    torch.manual_seed(0)
    config = ScMambaConfig.from_preset("paper", GENES)
    model = masked_expression_model(config)
    cell = torch.rand(1, GENES) * 5 * (torch.rand(1, GENES) < 0.1)
    masked = (cell > 0) & (torch.rand(1, GENES) < 0.15)

    def step() -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            predicted = model(cell, masked)
        (predicted.float() - cell)[masked].square().mean().backward()
        model.zero_grad()
        return time.perf_counter() - start

    step()
    seconds = min(step() for _ in range(REPEATS))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    averages = profiled.key_averages()
    total = sum(e.self_cpu_time_total for e in averages)
    for event in sorted(averages, key=lambda e: -e.self_cpu_time_total)[:10]:
        print(f"{event.self_cpu_time_total / total:6.1%}  {event.count:4d} x  {event.key}")
    scans = seconds * sum(e.self_cpu_time_total for e in averages if e.key in ("CpuScan", "CpuScanBackward")) / total
    rate = matmul_rate(torch.bfloat16 if bf16 else torch.float32)
    products = matmul_flops(config) / rate
    print(f"step {seconds:.2f} s; matrix products {matmul_flops(config) / 1e12:.3f} TFLOP at {rate / 1e9:.0f} GFLOP/s")
    print(f"bound {products:.2f} s products + {scans:.2f} s scans = {(products + scans) / seconds:.0%} of the step")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


if __name__ == "__main__":
    main()
