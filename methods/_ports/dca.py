"""The deep count autoencoder: network, loss and training as in dca 0.3.4 (Eraslan et al. 2019).

What is particular to it: batch norms as in Keras, without scale; the learning rate falls and training ends by the loss
of the *last* tenth of the cells, which is never shuffled in; the weights of the last epoch are kept, not the best;
gradients are clipped by value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from bench.blocks import row_blocks
from bench.methods._ports.negative_binomial import MEAN, NegativeLogLikelihood
from bench.normalise import totals

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_HIDDEN = (64, 32, 64)
#: Keras' defaults of batch norm (momentum in torch's sense) and RMSprop.
_NORM_EPS, _NORM_MOMENTUM = 1e-3, 0.01
_LR, _RHO, _RMS_EPS, _LR_FACTOR, _LEAST_GAIN = 1e-3, 0.9, 1e-7, 0.1, 1e-4
_CLIP, _VALIDATION = 5.0, 0.1


@dataclass(frozen=True)
class Scaling:
    """Scaling of counts to the network's input: per median library, log1p, then mean 0 and variance 1 of each gene.

    Parameters
    ----------
    median
        Median counts of a cell.
    mean, sd
        Of each gene's log values over the cells.
    """

    median: float
    mean: NDArray[np.float32]
    sd: NDArray[np.float32]

    @classmethod
    def of(cls, X: csr_matrix) -> Scaling:
        """Learned from counts (cells, genes), none of the cells empty."""
        median = float(np.median(totals(X)))
        n, n_genes = X.shape
        mean, square = np.zeros(n_genes), np.zeros(n_genes)
        for rows in row_blocks(X.shape):
            part = X[rows]
            logged = _logged(part, median)
            mean += np.bincount(part.indices, logged, n_genes) / n
            square += np.bincount(part.indices, logged**2, n_genes)
        variance = np.maximum(square - n * mean**2, 0) / (n - 1)
        return cls(median, mean.astype(np.float32), np.sqrt(np.where(variance > 1e-12, variance, 1)).astype(np.float32))

    def apply(self, X: csr_matrix) -> tuple[torch.Tensor, torch.Tensor]:
        """Input (cells, genes) and size factors (cells, 1)."""
        from scipy.sparse import csr_matrix

        logged = csr_matrix((_logged(X, self.median).astype(np.float32), X.indices, X.indptr), shape=X.shape)
        size = totals(X)[:, None] / self.median
        dense = logged.toarray()
        dense -= self.mean
        dense /= self.sd
        return torch.from_numpy(dense), torch.from_numpy(size.astype(np.float32))


def _logged(X: csr_matrix, median: float) -> NDArray[np.float64]:
    """ln(1 + counts per median library) of the stored counts."""
    return np.log1p(X.data * np.repeat(median / totals(X), np.diff(X.indptr)))


class _Norm(nn.Module):
    """Batch norm of Keras without scale: its running variance is that of the batch (torch's is n / (n - 1) of it).

    Batches are small and the last one smaller still: with torch's, expression comes out nearer to the truth by 8 % of
    the squared error than the package's (10 seeds on the input of the parity test).
    """

    running_mean: torch.Tensor
    running_variance: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_variance", torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised cells (cells, width)."""
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            mean, variance = x.mean(0), x.var(0, unbiased=False)
            self.running_mean.lerp_(mean.detach(), _NORM_MOMENTUM)
            self.running_variance.lerp_(variance.detach(), _NORM_MOMENTUM)
        return (x - mean) * torch.rsqrt(variance + _NORM_EPS) + self.bias


class Network(nn.Module):
    """Mean, dispersion and (zero-inflated) dropout of every gene from a bottleneck of 32.

    Parameters
    ----------
    n_genes
        Genes in and out.
    zero_inflated
        ZINB instead of NB.
    """

    def __init__(self, n_genes: int, *, zero_inflated: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, last in zip(_HIDDEN, (n_genes, *_HIDDEN), strict=False):
            layers += [_linear(last, width), _Norm(width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.mean = _linear(_HIDDEN[-1], n_genes)
        self.dispersion = _linear(_HIDDEN[-1], n_genes)
        self.dropout = _linear(_HIDDEN[-1], n_genes) if zero_inflated else None

    def means(self, scaled: torch.Tensor) -> torch.Tensor:
        """Expected counts of a median library."""
        return self.mean(self.body(scaled)).exp_().clamp_(*MEAN)

    def loss(self, scaled: torch.Tensor, size: torch.Tensor, at: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Mean negative log likelihood; ``counts`` are those above 0, ``at`` their positions, rows end to end."""
        decoded = self.body(scaled)
        dropout = None if self.dropout is None else self.dropout(decoded)
        total = NegativeLogLikelihood.apply(self.mean(decoded), self.dispersion(decoded), dropout, size, at, counts)
        return total / (len(size) * self.mean.out_features)


def _linear(n_in: int, n_out: int) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def train(
    network: Network,
    X: csr_matrix,
    scaling: Scaling,
    *,
    epochs: int,
    batch_size: int,
    reduce_lr: int,
    early_stop: int,
    report: Callable[[float, str], None] = lambda done, line: None,
) -> list[float]:
    """Train in place on counts (cells, genes); returns the validation loss after every epoch.

    Order of batches and initial weights follow from torch's random state.
    """
    device = network.mean.weight.device
    n = X.shape[0]
    n_train = int(n * (1 - _VALIDATION))
    parameters = list(network.parameters())
    optimiser = torch.optim.RMSprop(parameters, lr=_LR, alpha=_RHO, eps=_RMS_EPS)
    losses: list[float] = []
    lowest, lowest_for_lr, since, since_for_lr = np.inf, np.inf, 0, 0
    for epoch in range(1, epochs + 1):
        network.train()
        order = torch.randperm(n_train).numpy()
        for start in range(0, n_train, batch_size):
            rows = order[start : start + batch_size]
            if len(rows) == 1:
                continue  # a batch norm needs two
            optimiser.zero_grad()
            _loss(network, X[rows], scaling, device).backward()
            nn.utils.clip_grad_value_(parameters, _CLIP)
            optimiser.step()
        losses.append(_validation_loss(network, X[n_train:], scaling, batch_size, device))
        report(epoch / epochs, f"epoch {epoch}, validation loss {losses[-1]:.4g}")
        lowest_for_lr, since_for_lr = (
            (losses[-1], 0) if losses[-1] < lowest_for_lr - _LEAST_GAIN else (lowest_for_lr, since_for_lr + 1)
        )
        if since_for_lr >= reduce_lr:
            optimiser.param_groups[0]["lr"] *= _LR_FACTOR
            since_for_lr = 0
        lowest, since = (losses[-1], 0) if losses[-1] < lowest else (lowest, since + 1)
        if since >= early_stop:
            break
    network.eval()
    return losses


def mean(network: Network, X: csr_matrix, scaling: Scaling) -> NDArray[np.float32]:
    """Denoised expression (cells, genes) of a median library."""
    device = network.mean.weight.device
    with torch.no_grad():
        return network.means(scaling.apply(X)[0].to(device)).cpu().numpy()


def _loss(network: Network, X: csr_matrix, scaling: Scaling, device: torch.device) -> torch.Tensor:
    scaled, size = scaling.apply(X)
    above = X.data > 0
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    at = torch.from_numpy((row * X.shape[1] + X.indices)[above])
    counts = torch.from_numpy(X.data[above].astype(np.float32))
    return network.loss(scaled.to(device), size.to(device), at.to(device), counts.to(device))


def _validation_loss(network: Network, X: csr_matrix, scaling: Scaling, batch_size: int, device: torch.device) -> float:
    network.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, X.shape[0], batch_size):
            part = X[start : start + batch_size]
            total += float(_loss(network, part, scaling, device)) * part.shape[0]
    return total / X.shape[0]
