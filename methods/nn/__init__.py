"""What the sequence models share: the selective scan, the networks, and their sizes."""

from bench.methods.nn._scan import selective_scan
from bench.methods.nn.scmamba_net import ScMambaConfig, cell_classifier, masked_expression_model

__all__ = ["ScMambaConfig", "cell_classifier", "masked_expression_model", "selective_scan"]
