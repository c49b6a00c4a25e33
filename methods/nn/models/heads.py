"""Inputs and outputs of scMamba: embeddings of expression and gene, [MASK], [CLS], and the two heads.

They stand around any encoder from (batch, length, d_model) to the same shape.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from bench.errors import BenchError
from bench.methods.nn.models.architecture import MaskedModel

Vocabulary = Literal["paper", "tight"]

N_CLS = 3

# The official vocabulary follows BERT's: [CLS] is word 101, genes come after 1,005 reserved words, padded to eights.
_PAPER_CLS_ROW, _PAPER_RESERVED_ROWS, _PAPER_MULTIPLE = 101, 1005, 8


class ExpressionEmbedding(nn.Module):
    """One vector a gene: a linear map of its expression plus a learned vector of the gene.

    A gene without counts is embedded like any other (as the bias of the map plus its own vector).

    Parameters
    ----------
    n_genes, d_model
        Genes, in the order in which every cell gives them, and width.
    rows, first_gene_row, cls_row
        Size of the table of gene vectors and what lies where in it.
    """

    def __init__(self, n_genes: int, d_model: int, *, rows: int, first_gene_row: int, cls_row: int) -> None:
        super().__init__()
        self.n_genes, self.first_gene_row, self.cls_row = n_genes, first_gene_row, cls_row
        self.adapter = nn.Linear(1, d_model)
        nn.init.zeros_(self.adapter.bias)
        self.genes = nn.Embedding(rows, d_model)
        nn.init.normal_(self.genes.weight, std=0.02)

    def forward(
        self, expression: torch.Tensor, masked: torch.Tensor | None = None, mask_token: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Embed ``expression`` (cells, genes), ln(1 + CP10K); result (cells, genes, d_model).

        Where ``masked`` (cells, genes) is true, ``mask_token`` takes the place of the expression part; the gene's
        vector stays, or else the model would not know which gene it is asked for.
        """
        if expression.shape[-1] != self.n_genes:
            raise BenchError(
                f"The model has {self.n_genes} genes, the cells have {expression.shape[-1]}",
                fix="align the cells to the model's genes first",
            )
        values = self.adapter(expression[..., None])
        if masked is not None and mask_token is not None:
            values = torch.where(masked[..., None], mask_token.to(values.dtype), values)
        return values + self.gene_vectors

    @property
    def gene_vectors(self) -> torch.Tensor:
        """Learned vectors of the genes, (genes, d_model)."""
        return self.genes.weight[self.first_gene_row : self.first_gene_row + self.n_genes]

    @property
    def cls_vector(self) -> torch.Tensor:
        """The table's vector of [CLS], (d_model,)."""
        return self.genes.weight[self.cls_row]


def gene_embedding(n_genes: int, d_model: int, vocabulary: Vocabulary) -> ExpressionEmbedding:
    """The embedding, its table laid out as in the official code (``paper``) or without unused rows (``tight``)."""
    if vocabulary == "tight":
        rows, first_gene_row, cls_row = n_genes + 1, 0, n_genes
    else:
        first_gene_row, cls_row = _PAPER_RESERVED_ROWS, _PAPER_CLS_ROW
        rows = -(-(first_gene_row + n_genes) // _PAPER_MULTIPLE) * _PAPER_MULTIPLE
    return ExpressionEmbedding(n_genes, d_model, rows=rows, first_gene_row=first_gene_row, cls_row=cls_row)


class MaskedExpressionModel(MaskedModel):
    """Predicts the expression of every gene from the genes that are not masked: pre-training and imputation."""

    def __init__(self, embedding: ExpressionEmbedding, encoder: nn.Module) -> None:
        super().__init__()
        d_model = embedding.genes.embedding_dim
        self.embedding, self.encoder = embedding, encoder
        self.mask_token = nn.Parameter(torch.zeros(d_model))
        self.regressor = nn.Linear(d_model, 1)
        nn.init.zeros_(self.regressor.bias)

    def encode(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Final hidden states, (cells, genes, d_model)."""
        return self.encoder(self.embedding(expression, hidden, self.mask_token))

    def forward(self, expression: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Predicted expression (cells, genes); it may be negative, nothing clips it here."""
        return self.regressor(self.encode(expression, hidden)).squeeze(-1)

    @property
    def gene_vectors(self) -> torch.Tensor:
        """Learned vectors of the genes, (genes, d_model)."""
        return self.embedding.gene_vectors


class CellClassifier(nn.Module):
    """Classifies cells from three [CLS] positions, at the start, in the middle and at the end of the genes.

    The three share one token and one row of the gene table, so that they differ by position only.
    """

    def __init__(self, embedding: ExpressionEmbedding, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        d_model = embedding.genes.embedding_dim
        self.embedding, self.encoder = embedding, encoder
        self.cls_token = nn.Parameter(torch.zeros(d_model))
        self.head = nn.Linear(N_CLS * d_model, n_classes, bias=False)

    def forward(self, expression: torch.Tensor) -> torch.Tensor:
        """Logits, (cells, classes)."""
        genes = self.embedding(expression)
        cls = self.cls_token + self.embedding.cls_vector
        hidden = self.encoder(with_cls(genes, cls))
        return self.head(hidden[:, cls_positions(expression.shape[-1])].flatten(1))


def cls_positions(n_genes: int) -> list[int]:
    """Positions of the three [CLS] once they are inserted among the genes."""
    return [0, n_genes // 2 + 1, n_genes + N_CLS - 1]


def with_cls(genes: torch.Tensor, cls: torch.Tensor) -> torch.Tensor:
    """Insert ``cls`` (d_model,) before the genes, after the first ``n // 2`` of them, and at the end."""
    half = genes.shape[1] // 2
    cls = cls.to(genes.dtype).expand(len(genes), 1, -1)
    return torch.cat([cls, genes[:, :half], cls, genes[:, half:], cls], dim=1)
