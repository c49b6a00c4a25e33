"""The protocol that `seurat` and `seurat-py` share: which markers, which training cells, and the clusters' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import NotApplicableError, UnknownNameError
from bench.methods._ports.seurat_markers import MIN_CELLS, dot_plot_scores, name_clusters
from bench.methods._ports.seurat_preprocess import library_sizes, log_normalise
from bench.methods._shared.annotation import training_set

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.method import Context
    from bench.problem import Inputs, Prediction

#: Where markers come from.
SOURCES = ("train", "brain")
#: Fewer cells are not clustered: each has 20 neighbours, itself among them.
FEWEST_CELLS = 21

#: The genes that the scMamba paper names for its eight cell types (Methods, cell type annotation), and by which words a
#: dataset's class is known as that type. Of the paper's 40 genes only these are given.
BRAIN: dict[str, tuple[str, tuple[str, ...]]] = {
    "oligodendrocyte precursor": (r"opcs?|oligo[a-z]* (precursor|progenitor)s?", ("PDGFRA", "VCAN")),
    "oligodendrocyte": (r"ol|oli|oligo[a-z]*", ("CLDN11", "MBP")),
    "astrocyte": (r"ac|ast|astro[a-z]*", ("AQP4", "ALDH1L1")),
    "microglia": (r"mg|mic|microgl[a-z]*", ("C1QC", "CSF1R")),
    "endothelial": (r"ec|end|endo[a-z]*", ("CLDN5", "FLT1")),
    "pericyte": (r"pc|per|pericyt[a-z]*", ("PDGFRB",)),
    "excitatory neuron": (r"ex|exn|exc[a-z]*|glut[a-z]*", ("SYT1", "SLC17A7", "SLC17A6")),
    "inhibitory neuron": (r"in|inn|inh[a-z]*|gaba[a-z]*", ("SYT1", "GAD1", "GAD2")),
}

#: (training counts, class of each, classes, ctx) -> marker columns of each class.
FindMarkers = Callable[["csr_matrix", np.ndarray, int, "Context"], list[np.ndarray]]
#: (counts, ctx) -> cluster of each cell.
FindClusters = Callable[["csr_matrix", "Context"], np.ndarray]


def annotate(
    inputs: Inputs,
    ctx: Context,
    *,
    source: str,
    cells_per_class: int,
    find_markers: FindMarkers,
    find_clusters: FindClusters,
) -> Prediction:
    """Cluster the cells, find the classes' markers, and give each cluster the class whose markers it shows most.

    Raises
    ------
    bench.errors.NotApplicableError
        If there are too few cells, or no class has a marker.
    """
    if source not in SOURCES:
        raise UnknownNameError("source of markers", source, SOURCES, where="parameter markers")
    train, codes, classes = training_set(inputs)
    n = len(inputs.cells.obs)
    if len(classes) == 1:
        return {"label": np.repeat(np.asarray(classes), n), "probability": np.ones(n)}
    if n < FEWEST_CELLS:
        raise NotApplicableError(f"{n} cells are too few to cluster", fix=f"give {FEWEST_CELLS} cells or more")
    with ctx.phase("fit"):
        if source == "brain":
            markers = brain_markers(classes, symbols(inputs))
        else:
            rows = some_of_each(codes, cells_per_class, ctx.seed)
            markers = find_markers(train.X[rows], codes[rows], len(classes), ctx)
    named = only_nameable(markers, codes, classes, source, ctx)
    ctx.progress(0.5, "markers found")
    with ctx.phase("predict"):
        order = np.random.default_rng(ctx.seed).permutation(n)
        clusters = np.empty(n, int)
        clusters[order] = find_clusters(inputs.cells.X[order], ctx)
        if named is not None:
            labels = np.repeat(named, clusters.max() + 1)
        else:
            X = inputs.cells.X
            genes = np.unique(np.concatenate(markers))
            L = log_normalise(X[:, genes].astype(np.float64), library_sizes(X))
            scores = dot_plot_scores(L, clusters, [np.searchsorted(genes, own) for own in markers])
            labels = name_clusters(scores, classes, str(inputs.info["unassigned"]))
    ctx.log.info("%d clusters: %s", len(labels), ", ".join(map(str, labels)))
    return {"label": labels[clusters], "probability": np.ones(n)}


def only_nameable(
    markers: Sequence[np.ndarray], codes: np.ndarray, classes: list[str], source: str, ctx: Context
) -> str | None:
    """The one class that can be named at all, if it is the only one of enough cells; classes that cannot are told."""
    without = [name for name, own in zip(classes, markers, strict=True) if not len(own)]
    enough = np.flatnonzero(np.bincount(codes, minlength=len(classes)) >= MIN_CELLS)
    if len(without) == len(classes):
        if source == "train" and len(enough) == 1:
            ctx.note(f"only {classes[enough[0]]} has {MIN_CELLS} training cells or more: every cell gets it")
            return classes[enough[0]]
        origin = "training cells" if source == "train" else "known brain types and genes of the counts"
        raise NotApplicableError(f"no class has a marker gene among the {origin}")
    if without:
        examples = ", ".join(without[:5]) + (" ..." if len(without) > 5 else "")
        ctx.note(f"{len(without)} of {len(classes)} classes have no marker gene and are never given: {examples}")
    return None


def some_of_each(codes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Sorted rows with at most ``most`` random cells of each class (0: all)."""
    if not most:
        return np.arange(len(codes))
    rank = np.random.default_rng(seed).permutation(len(codes))
    order = np.lexsort((rank, codes))
    starts = np.searchsorted(codes[order], codes[order])
    return np.sort(order[np.arange(len(codes)) - starts < most])


def symbols(inputs: Inputs) -> np.ndarray:
    """Gene symbols in upper case, where the dataset knows them, else the genes' names."""
    var = inputs.cells.var
    names = var["symbol"] if "symbol" in var else var.index
    return np.char.upper(np.asarray(names, dtype=str))


def brain_markers(classes: Sequence[str], names: np.ndarray) -> list[np.ndarray]:
    """Columns of the known markers of each class; none for a class that is not called as a type is (so no subtype)."""
    markers = []
    for name in classes:
        words = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
        words = re.sub(r" (neuron|cell)s?$", "", words)
        genes = next((g for pattern, g in BRAIN.values() if re.fullmatch(pattern, words)), ())
        markers.append(np.flatnonzero(np.isin(names, genes)))
    return markers
