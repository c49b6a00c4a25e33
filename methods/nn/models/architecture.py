"""The interface of an architecture to training, checkpoints and embeddings: how it is made, masked and scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn


@dataclass(frozen=True)
class MaskRates:
    """Share of genes with counts, and of genes without, that is masked in every cell."""

    nonzero: float
    zero: float = 0.0


@dataclass(frozen=True)
class Corruption:
    """Genes that are masked, boolean, both (cells, genes).

    Parameters
    ----------
    scored
        The loss asks for these.
    hidden
        The model is shown [MASK] in place of these; part of ``scored``.
    """

    scored: torch.Tensor
    hidden: torch.Tensor


class MaskedModel(nn.Module, ABC):
    """A model that is pre-trained by predicting masked genes. Expression is (cells, genes), ln(1 + CP10K)."""

    @abstractmethod
    def encode(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Final hidden state of every gene, (cells, genes, d_model)."""

    @abstractmethod
    def forward(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Predictions that the loss compares with the truth, one entry (or row) per cell and gene."""

    @property
    @abstractmethod
    def gene_vectors(self) -> torch.Tensor:
        """Learned vector of every gene, (genes, d_model)."""


class Architecture(ABC):
    """Architecture of one of the pre-trained models.

    Attributes
    ----------
    name
        Name of the model and of its section in ``presets.json``.
    config_class
        Frozen dataclass of its sizes and options; its first field is ``n_genes``.
    fresh
        A tensor whose name contains one of these words is not loaded from a pre-trained model.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Any]]
    fresh: ClassVar[tuple[str, ...]] = ("head", "token", "decoder")

    @abstractmethod
    def masked_model(self, config: Any) -> MaskedModel:
        """The model for pre-training (and imputation), freshly initialised from torch's random state."""

    @abstractmethod
    def classifier(self, config: Any, n_classes: int) -> nn.Module:
        """The model for cell types or doublets: expression (cells, genes) to logits (cells, classes)."""

    def corrupt(self, expression: torch.Tensor, rates: MaskRates, generator: torch.Generator) -> Corruption:
        """Mask each gene of each cell by itself with the rate of its kind."""
        chance = torch.where(expression > 0, rates.nonzero, rates.zero)
        scored = torch.rand(expression.shape, generator=generator).to(expression.device) < chance
        return Corruption(scored, scored)

    def losses(self, predicted: torch.Tensor, expression: torch.Tensor, scored: torch.Tensor) -> torch.Tensor:
        """Loss of every scored gene, (scored,); the squared error."""
        return (predicted[scored].to(expression.dtype) - expression[scored]).square()

    def trained(self, classifier: nn.Module) -> list[nn.Parameter]:
        """Parameters that fine-tuning changes; all of them."""
        return list(classifier.parameters())
