"""scBERT: its tokens, its sizes and options, the two models made from them, and what is particular in their training.

Deviations from the official code, besides those that are options: any list of genes in place of 16,906 fixed ones;
learned positions unless the user gives gene2vec vectors, which are not distributed with this package; random features
in all directions alike (:func:`bench.methods.nn.models.favor.orthogonal_features`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import nn

from bench.errors import BenchError
from bench.methods.nn.models.architecture import Architecture, Corruption, MaskedModel, MaskRates
from bench.methods.nn.models.gene2vec import Gene2Vec
from bench.methods.nn.models.performer import Performer
from bench.methods.nn.models.presets import preset
from bench.methods.nn.models.settings import Positive, Size, check_settings

HIGHEST_LEVEL = 5
MASK = HIGHEST_LEVEL + 1
N_TOKENS = MASK + 1
_SHOWN_AS_MASK = 0.9  # of the genes that are scored; the others keep their token
# Of ln(1 + CP10K): more than the last bit of float32 at level 5, 2.4e-7, and less than whole counts can come to a level
# from below in cells of up to 100,000 counts, 1 / (total x 2^level).
_ROUNDING = 2.8e-7
_STARTS = [level * math.log(2) - _ROUNDING for level in range(1, HIGHEST_LEVEL + 1)]


@dataclass(frozen=True)
class ScBertConfig:
    """Sizes and options of scBERT; the defaults are those of its official code.

    Parameters
    ----------
    n_genes
        Genes of every cell, zeros included.
    dim, depth, heads, dim_head, ff_mult
        Width, layers, heads a layer, width of a head (which does not follow from the two before it), width of the
        feed-forward network in multiples of ``dim``.
    head_hidden
        Widths of the two hidden layers of the classification head.
    collapse_bias
        Where the bias of the head's first map starts; None (officially): near zero. In narrow models that map is then
        negative at nearly all positions for half of all seeds, and the ReLU after it lets nothing through, ever;
        presets ``small`` and ``tiny`` start at 2.
    embedding_std
        Standard deviation of the tables of tokens and of learned positions at the start; officially 1, torch's default.
        Short trainings start better with less: presets ``small`` and ``tiny`` have 0.02, as the other models here.
    positions
        ``learned``: a vector a gene, trained with the rest. ``gene2vec``: as in the official code, vectors from a file
        (see :meth:`TokenEmbedding.use_gene2vec`), which stay as they are.
    key_maximum
        Over what the maximum in the exponents of the keys is taken. ``cell``: each cell and head. ``batch``: the whole
        batch, as in the official code, where the result for a cell depends weakly on the others.
    redraw_every
        Forward passes in training after which the random features of attention are drawn anew for the next one.
    fine_tune
        ``official``: only the last but one layer, the final LayerNorm and the head; the last layer stays frozen, as in
        the official code, where that may be an oversight. ``all``: everything (but gene2vec).

    References
    ----------
    Yang et al., scBERT, Nature Machine Intelligence 2022, doi 10.1038/s42256-022-00534-z, and its official code.
    """

    n_genes: Size
    dim: Size = 200
    depth: Size = 6
    heads: Size = 10
    dim_head: Size = 64
    ff_mult: Size = 4
    head_hidden: tuple[Size, Size] = (512, 128)
    collapse_bias: float | None = None
    embedding_std: Positive = 1.0
    positions: Literal["learned", "gene2vec"] = "learned"
    key_maximum: Literal["cell", "batch"] = "cell"
    redraw_every: Size = 1000
    fine_tune: Literal["official", "all"] = "official"

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def from_preset(cls, name: str, n_genes: int) -> Self:
        """Sizes of a preset (``paper``, ``small``, ``tiny``) for so many genes."""
        return cls(n_genes=n_genes, **preset("scbert", name)["sizes"])


def tokens_of(expression: torch.Tensor) -> torch.Tensor:
    """Expression as levels 0 to 5: log2(1 + CP10K) rounded down, at most 5.

    Parameters
    ----------
    expression
        ln(1 + CP10K), of any shape. That 1, 3, 7, ... CP10K, where the next level starts, reach it is not left to the
        rounding of ``expression``.
    """
    starts = torch.tensor(_STARTS, dtype=expression.dtype, device=expression.device)
    return torch.bucketize(expression, starts, right=True)


class TokenEmbedding(nn.Module):
    """One vector a gene: that of its token plus that of its position, which here says which gene it is.

    A further position with token 0 follows at the end of every cell, as in the official code.
    """

    def __init__(self, config: ScBertConfig) -> None:
        super().__init__()
        self.n_genes, self.frozen_positions = config.n_genes, config.positions == "gene2vec"
        self.tokens = nn.Embedding(N_TOKENS, config.dim)
        self.positions = nn.Embedding(config.n_genes + 1, config.dim)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=config.embedding_std)
        if self.frozen_positions:
            nn.init.zeros_(self.positions.weight).requires_grad_(False)

    def forward(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Embed ``expression`` (cells, genes), ln(1 + CP10K), to (cells, genes + 1, dim).

        Where ``hidden`` (cells, genes) is true, the token is MASK; the position stays.
        """
        if expression.shape[-1] != self.n_genes:
            raise BenchError(
                f"The model has {self.n_genes} genes, the cells have {expression.shape[-1]}",
                fix="align the cells to the model's genes first",
            )
        tokens = tokens_of(expression)
        if hidden is not None:
            tokens = tokens.masked_fill(hidden, MASK)
        return self.tokens(F.pad(tokens, (0, 1))) + self.positions.weight

    @property
    def gene_vectors(self) -> torch.Tensor:
        """Vectors of the genes, (genes, dim)."""
        return self.positions.weight[: self.n_genes]

    def use_gene2vec(self, gene2vec: Gene2Vec) -> None:
        """Take the genes' vectors from gene2vec; that of the further position stays zero.

        Raises
        ------
        BenchError
            The model was not made with ``positions="gene2vec"``, or has other sizes.
        """
        if not self.frozen_positions:
            raise BenchError("This model learns its positions", fix='make it with positions="gene2vec"')
        if gene2vec.vectors.shape != self.gene_vectors.shape:
            shape, own_shape = tuple(gene2vec.vectors.shape), tuple(self.gene_vectors.shape)
            raise BenchError(
                f"gene2vec gives (genes, dim) = {shape}, the model has {own_shape}",
                fix="make the model with the genes and the dim of the vectors (the published ones have dim 200)",
            )
        with torch.no_grad():
            self.gene_vectors.copy_(gene2vec.vectors)


class ScBertMaskedModel(MaskedModel):
    """Predicts the token of every gene from the tokens that are not masked."""

    def __init__(self, config: ScBertConfig) -> None:
        super().__init__()
        self.embedding, self.encoder = TokenEmbedding(config), _encoder(config)
        self.to_logits = nn.Linear(config.dim, N_TOKENS)

    def encode(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Final hidden states of the genes, (cells, genes, dim)."""
        return self.encoder(self.embedding(expression, hidden))[:, :-1]

    def forward(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of the tokens, (cells, genes, 7)."""
        return self.to_logits(self.encode(expression, hidden))

    @property
    def gene_vectors(self) -> torch.Tensor:
        """The genes' vectors of position, (genes, dim)."""
        return self.embedding.gene_vectors


class ScBertHead(nn.Module):
    """One number a position, then a network with two hidden layers over all positions.

    The first step is the official convolution of one filter as wide as the hidden states, hence a linear map.
    """

    def __init__(
        self, length: int, dim: int, hidden: tuple[int, int], n_classes: int, collapse_bias: float | None = None
    ) -> None:
        super().__init__()
        self.collapse = nn.Linear(dim, 1)
        if collapse_bias is not None:
            nn.init.constant_(self.collapse.bias, collapse_bias)
        self.network = nn.Sequential(
            nn.Linear(length, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], n_classes),
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(cells, length, dim) to logits (cells, classes)."""
        return self.network(F.relu(self.collapse(states).squeeze(-1)))


class ScBertClassifier(nn.Module):
    """Classifies cells from the final hidden states of all genes and of the position after them."""

    def __init__(self, config: ScBertConfig, n_classes: int) -> None:
        super().__init__()
        self.fine_tune = config.fine_tune
        self.embedding, self.encoder = TokenEmbedding(config), _encoder(config)
        self.head = ScBertHead(config.n_genes + 1, config.dim, config.head_hidden, n_classes, config.collapse_bias)

    def forward(self, expression: torch.Tensor) -> torch.Tensor:
        """Logits, (cells, classes)."""
        return self.head(self.encoder(self.embedding(expression)))


class ScBertArchitecture(Architecture):
    """scBERT: cross-entropy on masked tokens; fine-tuning takes over all but the head and trains little of it."""

    name = "scbert"
    config_class = ScBertConfig
    fresh = ("head",)

    def masked_model(self, config: ScBertConfig) -> ScBertMaskedModel:
        """The model for pre-training, freshly initialised from torch's random state."""
        return ScBertMaskedModel(config)

    def classifier(self, config: ScBertConfig, n_classes: int) -> ScBertClassifier:
        """The model for cell types or doublets, freshly initialised from torch's random state."""
        return ScBertClassifier(config, n_classes)

    def corrupt(self, expression: torch.Tensor, rates: MaskRates, generator: torch.Generator) -> Corruption:
        """Score an exact share of the tokens of each kind in each cell, rounded up; hide each of them with chance 0.9.

        What is without counts for this purpose is what has token 0, which includes low counts in large cells.
        """
        level = tokens_of(expression).cpu()
        scored = _exact_share(level > 0, rates.nonzero, generator) | _exact_share(level == 0, rates.zero, generator)
        hidden = scored & (torch.rand(scored.shape, generator=generator) < _SHOWN_AS_MASK)
        return Corruption(scored.to(expression.device), hidden.to(expression.device))

    def losses(self, predicted: torch.Tensor, expression: torch.Tensor, scored: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of every scored gene's token, (scored,)."""
        logits = predicted[scored].to(expression.dtype)
        return F.cross_entropy(logits, tokens_of(expression[scored]), reduction="none")

    def trained(self, classifier: nn.Module) -> list[nn.Parameter]:
        """Parameters that the configuration's ``fine_tune`` names."""
        net: Any = classifier
        official = [net.encoder.layers[-2:][0], net.encoder.norm, net.head]
        parts = official if net.fine_tune == "official" else [net]
        return [p for part in parts for p in part.parameters() if p.requires_grad]


def _encoder(config: ScBertConfig) -> Performer:
    return Performer(
        config.dim,
        config.depth,
        config.heads,
        config.dim_head,
        config.ff_mult,
        redraw_every=config.redraw_every,
        maximum_over_batch=config.key_maximum == "batch",
    )


def _exact_share(among: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Of each row's true places ceil(rate x their number), chosen at random."""
    if rate == 0:
        return torch.zeros_like(among)
    n_chosen = (among.sum(1, keepdim=True).double() * rate - 1e-9).ceil()  # 0.1 x 30 is a little more than 3
    order = torch.rand(among.shape, generator=generator).masked_fill(~among, 2.0).argsort(dim=1)
    return torch.zeros_like(among).scatter(1, order, torch.arange(among.shape[1]) < n_chosen)
