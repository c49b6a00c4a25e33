"""Every metric of every task as a function of plain arrays: the code that the tasks score with.

A task reports more than one number of a metric (of each donor, of each class, with intervals over donors); these
functions give the number of the cells that they are given.

=============  =================================================================================================
task           functions
=============  =================================================================================================
doublet        :func:`auprc` (headline), :func:`auroc`, :func:`precision`, :func:`recall`, :func:`tnr`, :func:`f1`,
               :func:`called_fraction`; :func:`at_rate` (``precision@10%`` and the like)
annotation     :func:`f1_macro` (headline), :func:`f1_micro`, :func:`f1_weighted`, :func:`f1_macro_union`,
               :func:`balanced_accuracy`, :func:`coverage`, :func:`accuracy_assigned`, :func:`unseen_fraction`,
               :func:`unseen_rejected`, :func:`accuracy_at_level`, :func:`f1_macro_at_level`, :func:`log_loss`,
               :func:`brier`, :func:`ece`, :func:`set_coverage`, :func:`set_size`; :func:`by_class` (F1, precision and
               recall of each class)
imputation     :func:`mse` (headline), :func:`pearson`, :func:`slope`, :func:`pearson_cell`, :func:`pearson_gene`,
               :func:`zeros_turned_on` (with :func:`zeros_of_other_types`), :func:`correlation_inflation`
integration    :func:`nmi_oracle` (headline), :func:`ari_oracle`, :func:`nmi`, :func:`ari`, :func:`ilisi`,
               :func:`cilisi`, :func:`kbet_per_label`, :func:`bras`, :func:`clisi`,
               :func:`graph_connectivity`; :func:`zeros_turned_on`
deg            :func:`overlap` (headline; ``truth_recall``, ``pseudobulk_recall``), :func:`overlap_gain`,
               :func:`jaccard`, :func:`deg_precision` (``precision``, ``truth_precision``, ``pseudobulk_precision``),
               :func:`rank_correlation`, :func:`deg_auprc` (``truth_auprc``), :func:`fpr` (``fpr_cells``,
               ``fpr_donors``); :func:`deg_signs` tells which genes are DEGs;
               on `halves` :func:`overlap_found` (``overlap_floor``) and :func:`overlap_ceiling`
=============  =================================================================================================

Examples
--------
>>> import bench
>>> bench.metrics.auroc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
0.75
"""

from bench.tasks.annotation.functions import (
    accuracy_assigned,
    accuracy_at_level,
    balanced_accuracy,
    brier,
    by_class,
    coverage,
    ece,
    f1_macro,
    f1_macro_at_level,
    f1_macro_union,
    f1_micro,
    f1_weighted,
    log_loss,
    set_coverage,
    set_size,
    unseen_fraction,
    unseen_rejected,
)
from bench.tasks.deg.functions import (
    deg_auprc,
    deg_precision,
    deg_signs,
    fpr,
    jaccard,
    overlap,
    overlap_ceiling,
    overlap_found,
    overlap_gain,
    rank_correlation,
)
from bench.tasks.doublet.functions import at_rate, auprc, auroc, called_fraction, f1, precision, recall, tnr
from bench.tasks.imputation.functions import (
    correlation_inflation,
    mse,
    pearson,
    pearson_cell,
    pearson_gene,
    slope,
    zeros_of_other_types,
    zeros_turned_on,
)
from bench.tasks.integration.functions import (
    ari,
    ari_oracle,
    bras,
    cilisi,
    clisi,
    graph_connectivity,
    ilisi,
    kbet_per_label,
    nmi,
    nmi_oracle,
)

__all__ = [
    "accuracy_assigned",
    "accuracy_at_level",
    "ari",
    "ari_oracle",
    "at_rate",
    "auprc",
    "auroc",
    "balanced_accuracy",
    "bras",
    "brier",
    "by_class",
    "called_fraction",
    "cilisi",
    "clisi",
    "correlation_inflation",
    "coverage",
    "deg_auprc",
    "deg_precision",
    "deg_signs",
    "ece",
    "f1",
    "f1_macro",
    "f1_macro_at_level",
    "f1_macro_union",
    "f1_micro",
    "f1_weighted",
    "fpr",
    "graph_connectivity",
    "ilisi",
    "jaccard",
    "kbet_per_label",
    "log_loss",
    "mse",
    "nmi",
    "nmi_oracle",
    "overlap",
    "overlap_ceiling",
    "overlap_found",
    "overlap_gain",
    "pearson",
    "pearson_cell",
    "pearson_gene",
    "precision",
    "rank_correlation",
    "recall",
    "set_coverage",
    "set_size",
    "slope",
    "tnr",
    "unseen_fraction",
    "unseen_rejected",
    "zeros_of_other_types",
    "zeros_turned_on",
]
