"""Where one training step of scMamba goes on CPU, and how near it is to what the machine allows.

Masked expression loss, forward and backward, bfloat16 autocast where asked for; one cell of 19,306 genes and the
paper's model unless told otherwise. The bound is the matrix products at the rate measured for large square ones, plus
the selective scans as they are; the share of the step that the bound makes up is what counts, the rest is everything
between. It is given by the wall clock and by CPU seconds, which a busy machine stretches less.

    python benchmarks/training_step.py --bf16
    python benchmarks/training_step.py --preset tiny --genes 2500 --cells 32
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from bench.methods.nn.kernels.cpu_tensors import keep_freed_memory
from bench.methods.nn.models.scmamba import ScMambaConfig, masked_expression_model

GENES, REPEATS = 19_306, 5


def best_times(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall seconds and least CPU seconds of some calls."""
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def matmul_times(dtype: torch.dtype, flops: float) -> tuple[float, float]:
    """Wall and CPU seconds of so many FLOPs at the best rate measured for a square product of 2,048."""
    a, b, out = (torch.randn(2048, 2048, dtype=dtype) for _ in range(3))
    wall, cpu = best_times(lambda: torch.mm(a, b, out=out), 30)
    return wall * flops / (2 * 2048**3), cpu * flops / (2 * 2048**3)


def matmul_flops(config: ScMambaConfig) -> float:
    """FLOPs of all matrix products of a step for one cell; backward has two for each of the forward pass."""
    inner, rank = config.expand * config.d_model, -(-config.d_model // 16)
    direction = inner * (rank + 2 * config.d_state) + rank * inner
    layer = config.d_model * 2 * inner + 2 * direction + inner * config.d_model
    return 3 * 2 * config.n_genes * config.n_layers * layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--genes", type=int, default=GENES)
    parser.add_argument("--cells", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()  # as training does
    torch.manual_seed(0)
    config = ScMambaConfig.from_preset(options.preset, options.genes)
    model, shape = masked_expression_model(config), (options.cells, options.genes)
    cells = torch.rand(shape) * 5 * (torch.rand(shape) < 0.1)
    masked = (cells > 0) & (torch.rand(shape) < 0.15)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            predicted = model(cells, masked)
        (predicted.float() - cells)[masked].square().mean().backward()
        model.zero_grad()

    step()
    seconds = best_times(step, REPEATS)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    averages = profiled.key_averages()
    total = sum(e.self_cpu_time_total for e in averages)
    for event in sorted(averages, key=lambda e: -e.self_cpu_time_total)[:10]:
        print(f"{event.self_cpu_time_total / total:6.1%}  {event.count:4d} x  {event.key}")
    scans = sum(e.self_cpu_time_total for e in averages if e.key in ("CpuScan", "CpuScanBackward")) / total
    flops = options.cells * matmul_flops(config)
    products = matmul_times(torch.bfloat16 if options.bf16 else torch.float32, flops)
    for clock, step_s, products_s in zip(("wall", "CPU "), seconds, products, strict=True):
        bound = products_s / step_s + scans
        print(
            f"{clock}: step {step_s:.2f} s = {options.cells / step_s:.2f} cells/s; {flops / 1e12:.3f} TFLOP of products"
            f" {products_s:.2f} s + scans {scans * step_s:.2f} s = {bound:.0%} of the step"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


if __name__ == "__main__":
    main()
