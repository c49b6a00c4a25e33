"""Numbers that a paper reports and we did not run."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files

import pandas as pd


@dataclass(frozen=True)
class Source:
    """A paper whose numbers stand beside ours.

    Parameters
    ----------
    file
        Table shipped with this package: ``task, track, dataset, method, metric, value`` (empty: its authors have none).
    remarks
        Task -> what a reader must know before comparing.
    notes
        (task, track, dataset, method, metric) -> what makes the number doubtful.
    our_names
        (task, track, metric) -> our name of that metric, where the paper's name means another of ours.
    """

    title: str
    reference: str
    file: str
    remarks: dict[str, str] = field(default_factory=dict)
    notes: dict[tuple[str, str, str, str, str], str] = field(default_factory=dict)
    our_names: dict[tuple[str, str, str], str] = field(default_factory=dict)


SCMAMBA = Source(
    title="scMamba (Oh, Choi, Jin, Jung and Ye, 2025)",
    reference="arXiv 2502.19429: Supplementary Table 4 and the plotting data behind Fig. 4b, c",
    file="published_scmamba_2025.csv",
    remarks={
        "doublet": "The paper's simulated doublets are unrounded averages: those of track simulated-paper, no other.",
        "annotation": "For cell types the paper's macro F1 is over all classes in truth or answers, our "
        "f1_macro_union; for subtypes and subclusters it is our f1_macro. Seurat was not run on subclusters.",
    },
    notes={
        (
            "doublet",
            "invivo",
            "Lau",
            "solo",
            "auprc",
        ): "Shown as reported. It contradicts the AUROC (.9242) and F1 (.64) of "
        "the same row and the method's other AUPRCs; .4372 or similar would fit: probably a typing error.",
        (
            "doublet",
            "simulated-paper",
            "Zhu",
            "solo",
            "auprc",
        ): "Shown as reported. Above cxds (.6735) and hybrid (.6438), "
        "although its AUROC (.8415) and F1 (.5032) are below theirs: doubtful.",
    },
    our_names={("annotation", "celltype", "f1_macro"): "f1_macro_union"},
)
SOURCES = (SCMAMBA,)


def published(task: str) -> list[tuple[Source, pd.DataFrame]]:
    """Sources with numbers on ``task``, each with its table.

    ``metric`` is what we call a metric (so that like stands beside like), ``reported_as`` what the paper does; ``note``
    is what makes a number doubtful.
    """
    sources = []
    for source in SOURCES:
        with (files(__package__) / source.file).open(encoding="utf-8") as stream:
            table = pd.read_csv(stream)
        table = table[table["task"] == task].reset_index(drop=True)
        table["value"] = pd.to_numeric(table["value"])
        keys = zip(table["task"], table["track"], table["dataset"], table["method"], table["metric"], strict=True)
        table["note"] = [source.notes.get(key, "") for key in keys]
        names = zip(table["task"], table["track"], table["metric"], strict=True)
        table = table.rename(columns={"metric": "reported_as"})
        table["metric"] = [source.our_names.get(name, name[-1]) for name in names]
        if len(table):
            sources.append((source, table))
    return sources
