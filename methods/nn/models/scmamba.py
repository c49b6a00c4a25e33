"""scMamba: its sizes, its options, and the two models made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bench.methods.nn.models.architecture import Architecture
from bench.methods.nn.models.heads import CellClassifier, MaskedExpressionModel, Vocabulary, gene_embedding
from bench.methods.nn.models.mixer import BidirectionalMixer, Encoder
from bench.methods.nn.models.presets import preset
from bench.methods.nn.models.settings import Size, check_settings


@dataclass(frozen=True)
class ScMambaConfig:
    """Sizes and options of scMamba; the defaults are the paper's.

    Parameters
    ----------
    n_genes
        Genes of every cell, zeros included, in ascending order of Ensembl ID.
    d_model, n_layers
        Width and number of blocks.
    d_state, d_conv, expand
        States per channel, taps of the convolution, inner channels per outer channel.
    vocabulary
        Rows of the gene table. ``paper``: the official layout, which reserves 1,005 rows of which only [CLS] is used
        (20,312 rows for 19,306 genes). ``tight``: one row a gene and one for [CLS]; same function, fewer parameters.
    zero_backward_dt_bias
        Default true, as in the official code: its backward direction starts with a step-size bias of 0, hence with a
        memory of a few genes, because an initialisation meant for other layers overwrites it. False starts it like
        the forward direction.

    References
    ----------
    Oh et al., scMamba, arXiv 2502.19429, and its official code.
    """

    n_genes: Size
    d_model: Size = 256
    n_layers: Size = 6
    d_state: Size = 16
    d_conv: Size = 4
    expand: Size = 2
    vocabulary: Vocabulary = "paper"
    zero_backward_dt_bias: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def from_preset(cls, name: str, n_genes: int) -> Self:
        """Sizes of a preset (``paper``, ``small``, ``tiny``) for so many genes."""
        return cls(n_genes=n_genes, **preset("scmamba", name)["sizes"])


def masked_expression_model(config: ScMambaConfig) -> MaskedExpressionModel:
    """The model for pre-training and imputation, freshly initialised from torch's random state."""
    return MaskedExpressionModel(gene_embedding(config.n_genes, config.d_model, config.vocabulary), _encoder(config))


def cell_classifier(config: ScMambaConfig, n_classes: int) -> CellClassifier:
    """The model for cell types or doublets, freshly initialised from torch's random state."""
    return CellClassifier(
        gene_embedding(config.n_genes, config.d_model, config.vocabulary), _encoder(config), n_classes
    )


class ScMambaArchitecture(Architecture):
    """scMamba to training: masked genes are scored by their squared error, every parameter is fine-tuned."""

    name = "scmamba"
    config_class = ScMambaConfig

    def masked_model(self, config: ScMambaConfig) -> MaskedExpressionModel:
        """The model for pre-training and imputation."""
        return masked_expression_model(config)

    def classifier(self, config: ScMambaConfig, n_classes: int) -> CellClassifier:
        """The model for cell types or doublets."""
        return cell_classifier(config, n_classes)


def _encoder(config: ScMambaConfig) -> Encoder:
    mixers = [
        BidirectionalMixer(
            config.d_model,
            config.d_state,
            config.d_conv,
            config.expand,
            config.n_layers,
            zero_backward_dt_bias=config.zero_backward_dt_bias,
        )
        for _ in range(config.n_layers)
    ]
    return Encoder([*mixers], config.d_model)
