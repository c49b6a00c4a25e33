"""scHyena: its sizes, its options, and the two models made from them.

**No number below is confirmed by scHyena's paper or code.** Of the paper only the abstract was at hand: a linear
adapter, gene embeddings, a bidirectional Hyena operator, all genes. What the scMamba paper says of the scHyena it
compares with is taken from there: the same data, masks and heads as scMamba, three [CLS] where the original had one.
Everything else (width, depth, MLP, order of the operator, filter network, window, dropout, initialisation) is
HyenaDNA's, and that of CellPainTR, a later model of one of scHyena's authors that cites scHyena as its architecture.

Where these two differ, or do what may not have been meant, an option of the configuration says so. What cannot have
been meant is not an option: in HyenaDNA's ``bidirectional`` mode no position reads its neighbours; in CellPainTR the
window grows a millionfold on one side, and the filter shifts when a sequence is shorter than the longest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, TypeVar

from torch import nn

from bench.methods.nn.models.architecture import Architecture
from bench.methods.nn.models.heads import CellClassifier, MaskedExpressionModel, Vocabulary, gene_embedding
from bench.methods.nn.models.hyena import Bands, Encoder, HyenaOperator, ImplicitFilter, ShortFilter
from bench.methods.nn.models.presets import preset
from bench.methods.nn.models.settings import Share, Size, check_settings

Model = TypeVar("Model", bound=nn.Module)

_INITIAL_STD = 0.02


@dataclass(frozen=True)
class ScHyenaConfig:
    """Sizes and options of scHyena; none of the defaults is confirmed by its paper.

    Parameters
    ----------
    n_genes
        Genes of every cell, zeros included, in ascending order of Ensembl ID. A lag of so many positions is 1 to the
        filters.
    d_model, n_layers
        Width and number of blocks. The defaults, CellPainTR's, make the model about as large as scMamba.
    expand
        Width of the MLP inside, per ``d_model``.
    filter_width
        Width inside the network that gives the long filters.
    vocabulary
        Rows of the gene table, as scMamba's.
    embed_dropout
        Share of the embeddings' entries dropped in training, in both sources.
    bands
        Default ``linspace``, as in HyenaDNA: the filter network is given the lag's cosine and sine at 1e-4 and at 1
        period over all genes. ``constant``: 1e-4 for both, as in CellPainTR, so that they hardly vary.
    window_shift
        Default 0.05, as in CellPainTR: weight that remains at any distance. HyenaDNA has 0.
    short_filter
        Default ``causal``, as in both sources: the three taps before the gates read two genes back and none ahead.
        ``centred``: one on either side.

    References
    ----------
    Oh et al., scHyena, arXiv 2310.02713 (its abstract). Oh et al., scMamba, arXiv 2502.19429. Nguyen et al., HyenaDNA,
    arXiv 2306.15794. Caruzzo and Ye, CellPainTR, 2025.
    """

    n_genes: Size
    d_model: Size = 256
    n_layers: Size = 4
    expand: Size = 4
    filter_width: Size = 64
    vocabulary: Vocabulary = "paper"
    embed_dropout: Share = 0.1
    bands: Bands = "linspace"
    window_shift: float = 0.05
    short_filter: ShortFilter = "causal"

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def from_preset(cls, name: str, n_genes: int) -> Self:
        """Sizes of a preset (``paper``, ``small``, ``tiny``) for so many genes."""
        return cls(n_genes=n_genes, **preset("schyena", name)["sizes"])


class ScHyenaArchitecture(Architecture):
    """scHyena to training: masked genes are scored by their squared error, every parameter is fine-tuned."""

    name = "schyena"
    config_class = ScHyenaConfig

    def masked_model(self, config: ScHyenaConfig) -> MaskedExpressionModel:
        """The model for pre-training and imputation."""
        embedding = gene_embedding(config.n_genes, config.d_model, config.vocabulary)
        return _initialised(MaskedExpressionModel(embedding, _encoder(config)), config)

    def classifier(self, config: ScHyenaConfig, n_classes: int) -> CellClassifier:
        """The model for cell types or doublets."""
        embedding = gene_embedding(config.n_genes, config.d_model, config.vocabulary)
        return _initialised(CellClassifier(embedding, _encoder(config), n_classes), config)


def _encoder(config: ScHyenaConfig) -> Encoder:
    operators = [
        HyenaOperator(
            config.d_model,
            ImplicitFilter(config.d_model, config.filter_width, bands=config.bands, window_shift=config.window_shift),
            short_filter=config.short_filter,
        )
        for _ in range(config.n_layers)
    ]
    return Encoder(
        operators, config.d_model, config.expand, embed_dropout=config.embed_dropout, lag_unit=config.n_genes
    )


def _initialised(model: Model, config: ScHyenaConfig) -> Model:
    """All linear maps normal and without bias, the filters' too; smaller where a block adds to the residual."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            adds_to_residual = name.endswith(("out_proj", "narrow"))
            nn.init.normal_(
                module.weight, std=_INITIAL_STD / (math.sqrt(2 * config.n_layers) if adds_to_residual else 1)
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
