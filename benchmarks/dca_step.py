"""One training step of dca-torch: its loss against the package's formula, walked back by autograd.

Counts are those of ``benchmarks/imputation_scale.py`` (19,306 genes, 6 % not zero), batches of 32 cells. Both take
turns on the same batches. CPU seconds are what counts: a busy machine stretches the wall clock.

    OMP_NUM_THREADS=1 python benchmarks/dca_step.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch
from imputation_scale import simulate
from torch.nn.functional import softplus

from bench.methods._ports import dca
from bench.methods._ports.negative_binomial import DISPERSION, EPS, MEAN

CELLS, BATCH, REPEATS = 1_024, 32, 25


def plain_loss(network: dca.Network, shown: torch.Tensor, size: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The formula of dca 0.3.4 at every entry."""
    decoded = network.body(shown)
    mu = network.mean(decoded).exp().clamp(*MEAN) * size
    theta = softplus(network.dispersion(decoded)).clamp(*DISPERSION)
    nb = torch.lgamma(theta + EPS) + torch.lgamma(counts + 1) - torch.lgamma(counts + theta + EPS)
    nb = nb + (theta + counts) * torch.log1p(mu / (theta + EPS))
    nb = nb + counts * (torch.log(theta + EPS) - torch.log(mu + EPS))
    if network.dropout is None:
        return nb.mean()
    pi = torch.sigmoid(network.dropout(decoded))
    at_zero = -torch.log(pi + (1 - pi) * torch.pow(theta / (theta + mu + EPS), theta) + EPS)
    return torch.where(counts < 1e-8, at_zero, nb - torch.log(1 - pi + EPS)).mean()


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    X = simulate(CELLS)[0].astype(np.float32)
    X = X[:, np.flatnonzero(np.asarray(X.sum(axis=0)).ravel())]
    scaling, cpu = dca.Scaling.of(X), torch.device("cpu")
    threads, load, density = torch.get_num_threads(), os.getloadavg()[0], X.nnz / np.prod(X.shape)
    print(
        f"{X.shape[1]:,} genes with counts, {density:.1%} not zero; {threads} threads, load of the machine {load:.1f}"
    )
    print(f"milliseconds, the median of {REPEATS}")
    for kind in ("nb", "zinb"):
        torch.manual_seed(0)
        network = dca.Network(X.shape[1], zero_inflated=kind == "zinb")

        def plain(part, network=network):
            shown, size = scaling.apply(part)
            return plain_loss(network, shown, size, torch.from_numpy(part.toarray()))

        def ours(part, network=network):
            return dca._loss(network, part, scaling, cpu)

        report(kind, network, X, {"plain": plain, "ours": ours})


def report(kind: str, network: dca.Network, X, losses: dict[str, Callable]) -> None:
    """Loss with its gradients, and the whole step, of both; the optimiser stands still, so that batches stay alike."""
    parameters = list(network.parameters())
    optimiser = torch.optim.RMSprop(parameters, lr=0.0)
    times: dict[str, list] = {name: [] for name in losses}
    for k in range(REPEATS + 3):
        part = X[(np.arange(BATCH) + BATCH * k) % CELLS]
        for name, loss in losses.items():
            marks = [(time.perf_counter(), time.process_time())]
            optimiser.zero_grad()
            loss(part).backward()
            marks.append((time.perf_counter(), time.process_time()))
            torch.nn.utils.clip_grad_value_(parameters, 5.0)
            optimiser.step()
            marks.append((time.perf_counter(), time.process_time()))
            times[name].append(marks)
    taken = {name: 1e3 * np.median(np.diff(marks[3:], axis=1), axis=0) for name, marks in times.items()}
    for i, clock in enumerate(("wall", "CPU")):
        for what, part in (("loss", slice(1)), ("step", slice(2))):
            plain, ours = (taken[name][part, i].sum() for name in ("plain", "ours"))
            print(f"{kind:4s} {clock:4s} {what}: plain {plain:5.1f} / ours {ours:5.1f} = {plain / ours:.2f} x")


if __name__ == "__main__":
    main()
